"""A packaged pipeline at work: texts in, labels and probabilities out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.backends.base import Backend
from bench.backends.forms import under
from bench.backends.resolution import applying
from bench.backends.resolution import resolve as resolve_settings
from bench.cascade import margins
from bench.datasets.checks import mended
from bench.datasets.columns import is_missing
from bench.errors import BenchError
from bench.evaluation.mistakes import REJECTED
from bench.evaluation.rule import LIKELIEST, Rule
from bench.extraction import identity
from bench.identity import PINNED, KeyGroup, group_of
from bench.models.resolve import resolve
from bench.packaging.graphs.graph_classifier import GraphClassifier
from bench.packaging.graphs.manifest import FOLDER, read_manifest
from bench.packaging.pipeline import Fitted, PackagedModel, PackagedPipeline, read
from bench.packaging.stages import StageAnswers, Stages
from bench.proof import open_model
from bench.tasks import TASKS, Task
from bench.views import require_fields

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.backends.settings import ResolvedSettings
    from bench.models.resolve import ResolvedModel
    from bench.specs import ExtractionSettings
    from bench.tasks.face import Column

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Predicted:
    """A label a text in its written form, and `probabilities`: the head's scores, float32 [texts, outputs].

    In classification these are the probabilities of the pipeline's labels in their order, as the heads say them (see
    `PackagedPipeline.calibrated`). `stages` [texts] int64 are
    those that answered, from 0. `distances` [texts] float32 are from the training rows (see `FittedHead.distances`).
    """

    labels: list[str]
    probabilities: NDArray[np.float32]
    stages: NDArray[np.int64]
    distances: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Classifier:
    """An open pipeline, which holds its models' weights up to the deepest layer that it uses. Threads take turns.

    Stages of a cascade share a model's weights, and what was computed of a text. `rule` says how an answer follows.
    Where the package has `graphs`, they answer in the place of models.
    """

    pipeline: PackagedPipeline
    heads: Sequence[Fitted]
    backends: Mapping[str, Backend]
    rule: Rule = LIKELIEST
    graphs: GraphClassifier | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def open(
        cls, folder: Path, store: Path, *, trust_remote_code: bool = False, device: str | None = None
    ) -> Classifier:
        """Check and load what `bench.packaging.build` wrote to `folder`; `store` is for models that it names.

        Whatever the folder says, a model's own code runs only with `trust_remote_code`, and only if it is what was
        searched. `device` is the one to run on; None is the one of the search's settings.

        Raises:
            BenchError: a file was altered, or a model cannot be had here or is not the one that was searched.
        """
        pipeline, heads = read(folder)
        if read_manifest(folder) is not None:
            return cls(pipeline, heads, {}, pipeline.rule, _graphs(folder / FOLDER))
        backends: dict[str, Backend] = {}
        try:
            opened: dict[tuple[str, ExtractionSettings], Backend] = {}
            for model in pipeline.models:
                asked = applying(model.settings)
                settings = resolve_settings(asked if device is None else asked.model_copy(update={"device": device}))
                resolved = _resolved(pipeline, model, settings, folder, store, trust_remote_code=trust_remote_code)
                key = (model.reference, model.settings)
                if key in opened:
                    backends[model.name] = under(opened[key], resolved)
                    continue
                backends[model.name] = opened[key] = open_model(resolved, settings, store, deepest=model.deepest)
        except BaseException:
            _close(backends)
            raise
        return cls(pipeline, heads, backends, pipeline.rule)

    @property
    def task(self) -> Task:
        """What the pipeline's labels are."""
        return TASKS[self.pipeline.task]

    @property
    def columns(self) -> Mapping[str, Column]:
        """What is said of a text, by column."""
        return self.pipeline.columns(self.rule)

    def under(self, rule: Rule) -> Classifier:
        """The same, which shares all that it holds, with answers under another rule.

        Raises:
            BenchError: the labels are no classes.
        """
        require_classes(rule, self.pipeline.task)
        return replace(self, rule=rule)

    def predict(self, texts: Sequence[Any]) -> Predicted:
        """Classify `texts`.

        Raises:
            BenchError: a text is no string or blank, or memory is too small for it.
        """
        if not texts:
            none = np.empty((0, self.task.outputs(self.pipeline.labels)), dtype=np.float32)
            return Predicted([], none, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
        cleaned = [self._cleaned(text, number) for number, text in enumerate(texts, 1)]
        with self._turn:
            answered = self._answered(cleaned)
        labels = self.task.written(self._decided(answered.scores), self.pipeline.labels)
        return Predicted(labels, answered.scores, answered.stages, answered.distances)

    def _decided(self, scores: NDArray[np.float32]) -> NDArray[Any]:
        return self.task.decided(scores, self.pipeline.labels)

    def _answered(self, texts: list[str]) -> StageAnswers:
        if self.graphs is not None:
            said = self.graphs.scored(texts)
            return StageAnswers(said.scores, said.stages, said.distances)
        return Stages(self.pipeline.stages, self.heads, self.pipeline.thresholds, self.backends).answer(texts)

    def answers(
        self, texts: Sequence[str | None], number: Callable[[np.float32], float] = float
    ) -> list[dict[str, Any]]:
        """What is said of each text, in order; of one that is None or blank, None in every column.

        Raises:
            BenchError: a text is no string, or memory is too small for it.
        """
        rows = [row for row, text in enumerate(texts) if not is_missing(text)]
        said = dict(zip(rows, self.said(self.predict([texts[row] for row in rows]), number), strict=True))
        return [said.get(row) or dict.fromkeys(self.columns) for row in range(len(texts))]

    def said(self, predictions: Predicted, number: Callable[[np.float32], float] = float) -> list[dict[str, Any]]:
        """The columns of an answer, a mapping a text; `number` makes their numbers plain."""
        scores = self.pipeline.calibrated(predictions.probabilities)
        rows = self.task.say(scores, self.pipeline.labels)
        if self.pipeline.thresholds:
            sure = margins(predictions.probabilities).astype(np.float32)
            for row, stage, margin in zip(rows, predictions.stages.tolist(), sure, strict=True):
                row |= {"stage": stage + 1, "margin": margin}
        if not self.rule.plain:
            decided = self.rule.decide(scores, self._decided(scores))
            for row, place in zip(rows, decided.tolist(), strict=True):
                rejected = place == REJECTED
                row["label"] = None if rejected else self.pipeline.labels[place]
                row |= {"rejected": rejected} if self.rule.rejects else {}
        return [{name: _plain(value, number) for name, value in row.items()} for row in rows]

    def close(self) -> None:
        """Free the weights; the classifier cannot be used afterwards."""
        _close(self.backends)

    def _cleaned(self, text: Any, number: int) -> str:
        if not isinstance(text, str):
            raise BenchError(f"Text {number} is no text but {type(text).__name__}: give strings.")
        if not text or text.isspace():
            raise BenchError(f"Text {number} is empty: leave it out.")
        require_fields(text, self.pipeline.fields, f"Text {number}")
        return mended(text.strip() if self.pipeline.strip else text)


def _graphs(folder: Path) -> GraphClassifier:
    try:
        return GraphClassifier(folder, torch.get_num_threads())
    except ImportError as error:
        raise BenchError(
            f"The package's graphs need {error.name}: python -m pip install -r {folder / 'requirements.txt'}."
        ) from error


def require_classes(rule: Rule, task: str) -> None:
    """Raise BenchError where a rule is for classes, and the labels of the task are none."""
    if not rule.plain and not TASKS[task].by_class:
        raise BenchError(f"The labels are for {task}: only classes are rejected or have costs.")


def _resolved(
    pipeline: PackagedPipeline,
    model: PackagedModel,
    settings: ResolvedSettings,
    folder: Path,
    store: Path,
    *,
    trust_remote_code: bool,
) -> ResolvedModel:
    """The model, whose identity is that of the search.

    Raises:
        BenchError: it cannot be had, or is another.
    """
    if model.packed is not None:
        found = model.packed.resolved(model.name, folder)
    else:
        found = resolve(model.reference, store, trust_remote_code=trust_remote_code, recorded=model.identity)
    asked = tuple({source.pooling for stage in pipeline.stages for source in stage.sources})
    found = replace(found, view=model.view, pooled=model.pooled, framing=model.framing, asked=asked)
    now = identity(found, settings)
    # What is packed is known by the package's checksums.
    left_out = {KeyGroup.LABEL, KeyGroup.WEIGHTS} if model.packed else {KeyGroup.LABEL}
    different = [
        name
        for name in sorted(model.identity.keys() | now)
        if group_of(name) not in left_out and str(model.identity.get(name)) != str(now.get(name))
    ]
    shown = [f"{name}: {_short(model.identity.get(name))} → {_short(now.get(name))}" for name in different]
    if any(group_of(name) in PINNED for name in different):
        raise BenchError(
            f"The model '{model.reference}' is not what the pipeline was searched and trained with "
            f"({'; '.join(shown)}). Get that version of it again, or search and export anew."
        )
    if shown:
        log.warning(
            "%s runs otherwise than in the search, so that values may round otherwise: %s", model.name, "; ".join(shown)
        )
    return found


def _plain(value: Any, number: Callable[[np.float32], float]) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each, number) for name, each in value.items()}
    return number(value) if isinstance(value, np.floating) else value


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) > 40 else text


def _close(backends: Mapping[str, Backend]) -> None:
    for opened in backends.values():
        opened.close()
