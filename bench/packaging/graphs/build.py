"""Graphs made of a fitted pipeline, into its folder, and held against the search and the package that torch runs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench import files
from bench.backends.layout import limit
from bench.backends.probe import PROBE
from bench.backends.tokenizer import Tokenizer
from bench.errors import BenchError
from bench.evaluation.words import WordTable
from bench.heads import FittedHead
from bench.packaging.graphs import graph_classifier
from bench.packaging.graphs.graph_classifier import MANIFEST
from bench.packaging.graphs.manifest import (
    FOLDER,
    SERVES,
    AskedGraphs,
    GraphInput,
    GraphManifest,
    GraphStage,
    SavedTokenizer,
    input_names,
)
from bench.packaging.graphs.measured import Answer, measure
from bench.packaging.graphs.module import StageModule
from bench.packaging.graphs.runtimes import Fed, Runtime, exported, runtime_for
from bench.packaging.requirements import pinned
from bench.version import __version__
from bench.views import PLACE

if TYPE_CHECKING:
    from bench.datasets.dataset import Dataset
    from bench.material import Material
    from bench.measures import Predictions
    from bench.packaging.pipeline import Fitted, PackagedPipeline
    from bench.progress import Progress

CALIBRATED_ON = 128
"""Training rows by which int8 is calibrated."""
PROBED = 1e-3
"""Of probabilities: what padding may change in float32; a mask that is wrong changes more."""


def refuse_unsuited(dataset: Dataset, asked: AskedGraphs) -> None:
    """Raise BenchError where no graph can be made for what the texts and labels are, or not here."""
    if dataset.task != "classification":
        raise BenchError(f"The labels are for {dataset.task}, of which no graph is made yet: leave out `format`.")
    if dataset.fields:
        raise BenchError("The texts have several fields, which no graph reads yet: leave out `format`.")
    runtime_for(asked.runtime, asked.precision)


def add_graphs(
    folder: Path,
    made: PackagedPipeline,
    heads: Sequence[Fitted],
    material: Material,
    plain: Answer,
    found: Predictions,
    asked: AskedGraphs,
    progress: Progress,
) -> GraphManifest:
    """Write the graphs of a pipeline into its folder, with all that answers by them.

    Args:
        folder: The pipeline's.
        made: Its description.
        heads: Those of its stages.
        material: Its models and rows.
        plain: How the pipeline answers by torch.
        found: What the search's evaluation says of all test rows, at the pipeline's temperature.
        asked: Which graphs.
        progress: Who is told.

    Raises:
        BenchError: a stage cannot become a graph, or a graph says something else.
    """
    runtime, place = runtime_for(*asked), folder / FOLDER
    place.mkdir()
    settings = {name: material.settings_of(name) for name in made.candidate.models}
    if quantised := [name for name, each in settings.items() if each.quantization != "none"]:
        raise BenchError(f"'{quantised[0]}' is quantised while it is loaded, which no graph is: leave out `format`.")
    tokenizers = [_tokenizer(name, number, material, place) for number, name in enumerate(settings, 1)]
    temperature = 1.0 if made.sureness is None else made.sureness.temperature
    rows = np.random.default_rng(made.seed).permutation(len(material.dataset.train))[:CALIBRATED_ON].tolist()
    texts = [material.dataset.train.texts[row] for row in rows] if asked.precision == "int8" else []
    stages: list[GraphStage] = []
    with progress.task(f"graphs of {runtime.title} in {asked.precision}", len(heads), "stages") as task:
        for number, (candidate, head) in enumerate(zip(made.stages, heads, strict=True), 1):
            threshold = dict(enumerate(made.thresholds, 1)).get(number)
            about = {"candidate": str(candidate), "threshold": threshold}
            if isinstance(head, FittedHead):
                inputs = _inputs(candidate.models, tokenizers)
                module = StageModule(
                    candidate,  # type: ignore[arg-type]  # a head on hidden states is a candidate's
                    head,
                    material.models,
                    {name: each.storage_dtype for name, each in settings.items()},
                    temperature,
                )
                stage = GraphStage(kind="graph", file=f"stage-{number}{runtime.ending}", inputs=inputs, **about)
                own = [limit(material.models[name], settings[name]) for name in candidate.models]
                _write_graph(module, stage, tokenizers, place, min(own), runtime, asked, texts)
            else:
                stage = GraphStage(kind="words", file=f"stage-{number}.json", **about)
                _write_words(head, place / stage.file)
            stages.append(stage)
            task.advance()
    shutil.copyfile(str(graph_classifier.__file__), place / "graph_classifier.py")
    needed = ("numpy", "tokenizers", *SERVES[asked.runtime])
    (place / "requirements.txt").write_text("\n".join(pinned((), needed)) + "\n", encoding="utf-8")
    manifest = GraphManifest(
        bench=__version__,
        study=made.study,
        title=made.title,
        runtime=asked.runtime,
        precision=asked.precision,
        versions={name: version(name) for name in ("torch", "transformers", "tokenizers", *SERVES[asked.runtime])},
        searched_in={name: each.dtype for name, each in settings.items()},
        labels=made.labels,
        strip=made.strip,
        tokenizers=tuple(tokenizers),
        stages=tuple(stages),
        temperature=temperature,
        reject_below=made.reject_below,
        costs=made.costs,
    )
    files.write_json(place / MANIFEST, manifest.model_dump(mode="json"))
    measured = measure(place, plain, material.dataset.test.texts, found, asked, progress)
    manifest = manifest.model_copy(update={"measured": measured, "bytes": files.size(place)})
    files.write_json(place / MANIFEST, manifest.model_dump(mode="json"))
    return manifest


def _tokenizer(name: str, number: int, material: Material, place: Path) -> SavedTokenizer:
    from bench.models import hub

    model = material.models[name]
    if model.pooled != "all" or model.prompt.partition(PLACE)[2]:
        raise BenchError(
            f"'{name}' has a prompt that goes on behind the text, or is left out of what is pooled, which no graph "
            "does yet: leave out `format`."
        )
    if not model.framing.plain:
        raise BenchError(
            f"'{name}' reads long texts otherwise than cut, or texts with something behind them or twice, which no "
            "graph does yet: leave out `format`."
        )
    file = f"tokenizer-{number}.json"
    saved = Tokenizer(model, material.settings_of(name)).saved()
    (place / file).write_text(saved, encoding="utf-8")
    padding = hub.read_config(model.folder).get("pad_token_id")
    return SavedTokenizer(
        model=name,
        file=file,
        prompt=model.prompt if PLACE in model.prompt else model.prompt + PLACE,
        lowercase=model.lowercase,
        padding=padding if isinstance(padding, int) and padding >= 0 else 0,
    )


def _inputs(models: Sequence[str], tokenizers: Sequence[SavedTokenizer]) -> tuple[GraphInput, ...]:
    places = {each.model: place for place, each in enumerate(tokenizers)}
    named = zip(models, input_names(models), strict=True)
    return tuple(GraphInput(tokenizer=places[model], ids=ids, mask=mask) for model, (ids, mask) in named)


def _write_graph(
    module: StageModule,
    stage: GraphStage,
    tokenizers: Sequence[SavedTokenizer],
    place: Path,
    longest: int,
    runtime: Runtime,
    asked: AskedGraphs,
    calibration: Sequence[str],
) -> None:
    """Write a stage's graph, which is shown to say of texts in a batch what the module says of each alone.

    Raises:
        BenchError: it cannot be made, or says something else.
    """
    names = [name for each in stage.inputs for name in (each.ids, each.mask)]
    opened = {
        each.tokenizer: graph_classifier.Tokenized(place, tokenizers[each.tokenizer].model_dump())
        for each in stage.inputs
    }

    def fed(texts: Sequence[str]) -> Fed:
        batch: dict[str, np.ndarray] = {}
        for each in stage.inputs:
            tokenizer = opened[each.tokenizer]
            batch[each.ids], batch[each.mask] = tokenizer.padded(tokenizer.ids(texts))
        return batch

    def alone(text: str) -> np.ndarray:
        batch = fed([text])
        with torch.inference_mode():
            said: np.ndarray = module(*(torch.from_numpy(batch[name]) for name in names))[0].numpy()
        return said

    program = exported(module, names, longest)
    runtime.write(program, names, place / stage.file, asked.precision, [fed([text]) for text in calibration])
    if asked.precision != "float32":
        return
    session = graph_classifier.SESSIONS[asked.runtime](place / stage.file, asked.precision, torch.get_num_threads())
    error = np.abs(session(fed(PROBE))[0] - np.concatenate([alone(text) for text in PROBE])).max()
    if not error < PROBED:
        raise BenchError(
            f"The graph of {stage.candidate} says something else than the candidate does (probabilities differ by "
            f"{error:.2g}): export it without `format`, as a model that torch runs."
        )


def _write_words(head: Any, file: Path) -> None:
    """A classifier of words in a form that needs numpy alone.

    Raises:
        BenchError: it is another than that of bench.
    """
    if not isinstance(head, WordTable):
        raise BenchError(f"A {type(head).__name__} has no form beside a graph, as TF-IDF has: leave out `format`.")
    files.write_json(file, {"terms": head.terms, "pairs": head.settings.pairs, "factor": head.temperature})
    numbers: dict[str, Any] = head.arrays()
    np.savez(file.with_suffix(".npz"), **numbers)
