"""The stages of a pipeline at work: each for the texts that the one before leaves to it, and nothing computed twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from bench.backends.passes import Pass
from bench.cascade import deferred, margins
from bench.extraction import STORAGE
from bench.heads import FittedHead
from bench.pooling import parts
from bench.specs import AnyCandidate, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from bench.backends.base import Backend
    from bench.packaging.pipeline import Fitted

HELD_BYTES = 512 << 20
"""About how much the token states may take that wait for a later stage; texts are answered in groups as large."""


@dataclass(frozen=True)
class Stretch:
    """What a stage runs of `model`: up to the deepest layer of `sources`, from where an earlier stage has stopped.

    The sources are those that this stage or a later one reads on the way. `last`: no later stage goes deeper.
    """

    model: str
    sources: tuple[Source, ...]
    last: bool


def stretches(stages: Sequence[AnyCandidate]) -> list[list[Stretch]]:
    """What each stage runs: of each of its models the layers that none before it has reached."""
    reached: dict[str, int] = {}
    found: list[list[Stretch]] = []
    for number, stage in enumerate(stages):
        found.append([])
        wanted = dict.fromkeys(part for each in stages[number:] for source in each.sources for part in _parts(source))
        for model in stage.models:
            depth, before = _depth(stage.sources, model), reached.get(model, -1)
            if depth <= before:
                continue
            sources = tuple(each for each in wanted if each.model == model and before < each.layer <= depth)
            found[-1].append(Stretch(model, sources, last=depth == _depth(wanted, model)))
            reached[model] = depth
    return found


class Representations:
    """Some texts as the stages read them: sources are read from the models when they are asked for.

    Of texts that were left out nothing is computed any more.
    """

    def __init__(self, backends: Mapping[str, Backend], texts: Sequence[str]) -> None:
        self._backends, self._texts = backends, texts
        self._rows = np.arange(len(texts))
        self._passes: dict[str, tuple[Pass, NDArray[np.int64]]] = {}
        self._matrices: dict[Source, Tensor] = {}

    def run(self, stretch: Stretch) -> None:
        """Read the sources of a stretch, for the texts that are still here."""
        opened = self._backends[stretch.model]
        if stretch.model not in self._passes:
            self._passes[stretch.model] = Pass(opened, self.texts), self._rows
        walk, begun = self._passes[stretch.model]
        layers = sorted({source.layer for source in stretch.sources})
        at_layers = [layers.index(source.layer) for source in stretch.sources]
        at_poolings = [opened.poolings.index(source.pooling) for source in stretch.sources]

        def read(states: Tensor) -> Tensor:
            stored = states.to(STORAGE[opened.settings.storage_dtype]).float()
            return stored[:, at_layers, at_poolings]

        rows = np.searchsorted(begun, self._rows).tolist()
        matrices = walk.states(rows, layers, read, last=stretch.last)
        self._matrices |= {source: matrices[:, place].contiguous() for place, source in enumerate(stretch.sources)}

    @property
    def texts(self) -> list[str]:
        """Those that are still here."""
        return [self._texts[row] for row in self._rows.tolist()]

    def features(self, stage: AnyCandidate) -> list[Tensor]:
        """What the stage's head reads, float32 [texts, width] a source, rounded as in the store it was trained from."""
        return [self._mean([self._matrices[part] for part in _parts(source)]) for source in stage.sources]

    @staticmethod
    def _mean(found: list[Tensor]) -> Tensor:
        return found[0] if len(found) == 1 else sum(found[1:], found[0]) / len(found)

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Leave out the other texts."""
        self._rows = self._rows[chosen]
        mask = torch.from_numpy(chosen)
        self._matrices = {source: matrix[mask] for source, matrix in self._matrices.items()}


class StageAnswers(NamedTuple):
    """What was said of n texts: scores, float32 [n, outputs], and the stage that said it, from 0, int64 [n].

    `distances` float32 [n]: how unlike the training rows they are to the first stage (see `FittedHead.distances`).
    """

    scores: NDArray[np.float32]
    stages: NDArray[np.int64]
    distances: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Stages:
    """Candidates with their trained heads, which answer in turn under `thresholds` (see `bench.cascade`)."""

    candidates: Sequence[AnyCandidate]
    heads: Sequence[Fitted]
    thresholds: Sequence[float]
    backends: Mapping[str, Backend]

    def answer(self, texts: Sequence[str]) -> StageAnswers:
        """What the first stage that is sure says of each text, or the last stage; there is at least one text.

        Raises:
            BenchError: memory is too small for a text.
        """
        plan = stretches(self.candidates)
        parts = [self._answer(group, plan) for group in self._groups(texts, plan)]
        return StageAnswers(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _answer(self, texts: Sequence[str], plan: Sequence[Sequence[Stretch]]) -> StageAnswers:
        reading, here = Representations(self.backends, texts), np.arange(len(texts))
        found: StageAnswers | None = None
        for number, (candidate, head) in enumerate(zip(self.candidates, self.heads, strict=True)):
            for stretch in plan[number]:
                reading.run(stretch)
            scores, distances = _said(head, reading.features(candidate), reading.texts)
            if found is None:
                found = StageAnswers(scores, np.zeros(len(texts), dtype=np.int64), distances)
            else:
                found.scores[here], found.stages[here] = scores, number
            if number == len(self.thresholds):
                break
            left = deferred(margins(scores), self.thresholds[number])
            if not left.any():
                break
            reading.keep(left)
            here = here[left]
        assert found is not None
        return found

    def _groups(self, texts: Sequence[str], plan: Sequence[Sequence[Stretch]]) -> Iterator[Sequence[str]]:
        """Runs of texts whose token states, where they wait for a later stage, stay about within `HELD_BYTES`."""
        waiting = {self.backends[stretch.model] for stage in plan for stretch in stage if not stretch.last}
        start = held = 0
        for row, text in enumerate(texts):
            size = sum(_held(opened, text) for opened in waiting)
            if row > start and held + size > HELD_BYTES:
                yield texts[start:row]
                start, held = row, 0
            held += size
        yield texts[start:]


def _said(head: Fitted, features: list[Tensor], texts: list[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scores [rows, outputs] and distances [rows] of texts, or of the features that a head reads instead."""
    if isinstance(head, FittedHead):
        return head.predict(features, np.arange(len(texts))), head.distances(features)
    return np.exp(head.logs(texts)), head.distances(texts)


def _held(opened: Backend, text: str) -> int:
    """Bytes of a text's token states behind one layer, at about a token a character at most."""
    tokens = len(text) + len(opened.model.prompt)
    if opened.model.framing.long != "chunks":
        tokens = min(opened.settings.max_length, tokens)
    return tokens * opened.model.width * STORAGE[opened.settings.dtype].itemsize


def _parts(source: Source) -> list[Source]:
    """What is read of a model for a source: itself, or what its pooling is the mean of."""
    return [
        Source(model=source.model, layer=layer, pooling=pooling)
        for layer, pooling in parts(source.layer, source.pooling)
    ]


def _depth(sources: Sequence[Source] | Mapping[Source, None], model: str) -> int:
    return max(source.layer for source in sources if source.model == model)
