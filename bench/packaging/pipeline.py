"""What a packaged pipeline is: its description, its head, and checksums by which a changed file gives itself away."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from bench import files
from bench.errors import BenchError
from bench.foreign import require_parts
from bench.heads import FittedHead
from bench.models.resolve import ResolvedModel
from bench.specs import DEFAULT_TASK, Candidate, ExtractionSettings, Spec
from bench.tasks import TASKS

FORMAT = 1
DESCRIPTION, HEAD = "pipeline.json", "head.safetensors"


class PackedBody(Spec):
    """A model's weights inside the package; the fields are those of `ResolvedModel`, `layers` of the whole model."""

    folder: str
    architecture: str
    layers: int
    width: int
    causal: bool
    max_positions: int
    prompt: str
    lowercase: bool = False
    vocabulary: int | None = None

    def resolved(self, name: str, pipeline: Path) -> ResolvedModel:
        """The model as it lies in the folder of the pipeline; its files are known by the package's checksums."""
        fields = self.model_dump(exclude={"folder"})
        return ResolvedModel(
            name=name,
            folder=pipeline / self.folder,
            row=None,
            revision=None,
            remote_code=False,
            identity={},
            **fields,
        )


class PackagedModel(Spec):
    """One language model of a pipeline.

    `name` is the candidate's; `reference` what it is resolved by when the package is opened, unless its weights are
    `packed`. Layers beyond `deepest` of `layers` are not loaded. `identity` is that of the search's extraction.
    """

    name: str
    reference: str
    layers: int
    deepest: int
    settings: ExtractionSettings
    identity: Mapping[str, Any]
    packed: PackedBody | None = None


class Latency(Spec):
    """Milliseconds a text in batches: what the search predicted, and what the package takes on the same `texts`."""

    predicted_ms: float
    measured_ms: float
    texts: int

    @property
    def ratio(self) -> float:
        """Measured over predicted."""
        return self.measured_ms / self.predicted_ms


class Agreement(Spec):
    """Of `rows` test rows, `same` get the label that the search's own evaluation gave them."""

    rows: int
    same: int


class PackagedPipeline(Spec):
    """The description of a packaged candidate.

    `chosen` is how it was chosen among the study's trials, by search scores. `task` is what the labels are. `seed` is
    the confirmation's seed that the head was trained under, on all `rows` training rows. `strip`: white space around a
    text is removed, as the data set's loader did. `remote_code`: a model runs code from its repository. `search` and
    `test` are its scores. `plugins`: what of the candidate comes from plugins, and a hash of its source.
    """

    format: int = FORMAT
    bench: str
    study: str
    trial: int
    chosen: str
    candidate: Candidate
    task: str = DEFAULT_TASK
    labels: tuple[str, ...]
    dataset: str
    dataset_fingerprint: str
    rows: int
    seed: int
    strip: bool
    remote_code: bool
    models: tuple[PackagedModel, ...]
    search: Mapping[str, float | None]
    test: Mapping[str, float | None]
    plugins: Mapping[str, str] = Field(default_factory=dict)
    latency: Latency | None = None
    agreement: Agreement | None = None


def write(folder: Path, pipeline: PackagedPipeline, head: FittedHead) -> None:
    """Write description, head and checksums beside what lies in `folder` already."""
    files.write_tensors(folder / HEAD, head.state(), {"candidate": pipeline.candidate.fingerprint()})
    files.write_json(folder / DESCRIPTION, pipeline.model_dump(mode="json"))
    files.write_checksums(folder)


def read(folder: Path) -> tuple[PackagedPipeline, FittedHead]:
    """The pipeline in `folder`, after every file of it was checked.

    Raises:
        BenchError: there is none, a file was altered or is missing, or another version of bench wrote it.
    """
    from safetensors.torch import load_file

    if not (folder / files.CHECKSUMS).is_file():
        raise BenchError(f"{folder} holds no pipeline of bench: give what bench export wrote.")
    # before anything is read: an altered description may be no JSON any more
    if flaw := files.altered(folder):
        raise BenchError(f"{folder}: {flaw} after the export, so that the package is not used. Export it again.")
    try:
        content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"{folder / DESCRIPTION} cannot be read ({error}): export it again.") from error
    if content.get("format") != FORMAT:
        raise BenchError(
            f"{folder} has format {content.get('format')}, and this bench reads {FORMAT}: use bench "
            f"{content.get('bench')}, or MLflow, which runs the code inside the package."
        )
    require_parts(content.get("plugins", {}))
    try:
        pipeline = PackagedPipeline.model_validate(content)
    except ValidationError as error:
        raise BenchError(f"{folder / DESCRIPTION} cannot be read: {error}") from error
    link = TASKS[pipeline.task].link
    return pipeline, FittedHead.from_state(pipeline.candidate.fusion, load_file(folder / HEAD), link)
