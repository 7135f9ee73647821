"""What is written down of a package's graphs; `graph_classifier` beside this file reads it without bench."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from bench.errors import BenchError
from bench.packaging.graphs.graph_classifier import MANIFEST
from bench.specs import Spec

FORMAT = 1
FOLDER = "graph"
"""In the folder of a pipeline."""
SERVES: Mapping[str, tuple[str, ...]] = {"onnx": ("onnxruntime",), "openvino": ("openvino",)}
"""Distributions that a runtime's graphs take to answer, beside numpy and tokenizers."""
Form = Literal["mlflow", "onnx", "openvino"]
Precision = Literal["float32", "bfloat16", "int8"]


class AskedGraphs(NamedTuple):
    """The `runtime` and the `precision` that graphs are asked for in."""

    runtime: Literal["onnx", "openvino"]
    precision: Precision


class SavedTokenizer(Spec):
    """A model's tokenizer: its `file`, and the id that batches are padded with.

    `prompt` is what is read of a text, in the place of ``{text}``, and in lower case where it says so.
    """

    model: str
    file: str
    prompt: str
    lowercase: bool
    padding: int


class GraphInput(Spec):
    """What a graph is fed with: the tokenizer by its place, and the names of its ids and of its mask."""

    tokenizer: int
    ids: str
    mask: str


class GraphStage(Spec):
    """A candidate that answers by a graph, or by words. `threshold`: at which margin; the last one has none."""

    kind: Literal["graph", "words"]
    file: str
    candidate: str
    inputs: tuple[GraphInput, ...] = ()
    threshold: float | None = None


class Speed(Spec):
    """Milliseconds of texts that come one by one, and texts a second in batches."""

    p50_ms: float
    p99_ms: float
    per_second: float


class MeasuredGraphs(Spec):
    """What graphs are beside the search and beside the package that torch runs, where they were made.

    Of `rows` test rows, `same` get the label that the search's own evaluation gave them; no probability of theirs lies
    further than `furthest` from the search's. `graph` and `torch` were timed in turn, on `threads` threads each.
    """

    rows: int
    same: int
    furthest: float
    graph: Speed
    torch: Speed
    threads: int

    @property
    def ratio(self) -> float:
        """The median of single texts, over that of torch's package."""
        return self.graph.p50_ms / self.torch.p50_ms


class GraphManifest(Spec):
    """The graphs of a pipeline: files, labels, and how an answer follows from what they say.

    `bytes` is what their folder takes. `temperature` is in the graphs already, and for words alone. `searched_in` is
    the dtype by model that the search computed in.
    """

    format: int = FORMAT
    bench: str
    study: str
    title: str
    runtime: Literal["onnx", "openvino"]
    precision: Precision
    versions: Mapping[str, str]
    searched_in: Mapping[str, str]
    labels: tuple[str, ...]
    strip: bool
    tokenizers: tuple[SavedTokenizer, ...]
    stages: tuple[GraphStage, ...]
    temperature: float
    reject_below: float
    costs: Mapping[str, Mapping[str, float]] | None
    bytes: int = 0
    measured: MeasuredGraphs | None = None


def read_manifest(pipeline: Path) -> GraphManifest | None:
    """That of the graphs in a pipeline's folder; None where it has none.

    Raises:
        BenchError: it cannot be read.
    """
    file = pipeline / FOLDER / MANIFEST
    if not file.is_file():
        return None
    try:
        return GraphManifest.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise BenchError(f"{file} cannot be read, perhaps of another bench: export it again.") from error


def input_names(models: Sequence[str]) -> list[tuple[str, str]]:
    """The names of ids and mask of each model of a graph, as most graphs have them where there is one model."""
    if len(models) == 1:
        return [("input_ids", "attention_mask")]
    return [(f"input_ids_{place}", f"attention_mask_{place}") for place in range(1, len(models) + 1)]
