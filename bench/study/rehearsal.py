"""How long candidates take to train: one is, on made-up features of the data's own size, before there are real ones."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.datasets.dataset import Dataset
from bench.evaluation.protocol import Protocol
from bench.heads import Job, fit
from bench.heads.screening import Screening
from bench.heads.untrained import compared
from bench.screening.growth import Growth
from bench.space.candidates import ModelShape
from bench.space.enumeration import typical_heads
from bench.space.schema import SearchSpace
from bench.specs import Candidate, HeadSettings, Source
from bench.tasks import TASKS

if TYPE_CHECKING:
    import torch

ROWS, WIDTH = 400, 512
"""Larger features are not rehearsed: time grows with either in proportion."""
FUSED = 0.7
"""Of the width that the most and widest sources would have, a typical candidate's share."""
GIVEN_UP = 0.5
"""Share of candidates that are given up after their first repetition."""
DEAR = 0.3
"""Share of candidates that a screened search trains another head on than the cheapest."""
WRITTEN = 0.1
"""Seconds in which a candidate is proposed, scored and written down."""
FRONT = 8
"""How many candidates a front has, about."""


@dataclass(frozen=True)
class Pace:
    """Seconds of a typical candidate: one repetition of the search, one seed of the confirmation; of all screening."""

    repetition: float
    confirmed: float
    screening: float

    def search(self, candidates: int, repetitions: int) -> float:
        """Seconds of trying so many."""
        return candidates * (self.repetition * (1 + (1 - GIVEN_UP) * (repetitions - 1)) + WRITTEN)

    def confirm(self, baselines: int, protocol: Protocol) -> float:
        """Seconds of confirming a front of usual size beside so many baselines, which the search has not scored."""
        scored = baselines * protocol.repetitions * self.repetition
        return scored + (FRONT + baselines) * protocol.confirm * self.confirmed


def rehearse(
    space: SearchSpace, shapes: Mapping[str, ModelShape], dataset: Dataset, protocol: Protocol, *, screened: bool
) -> Pace:
    """Train each kind of head of the space once, as often as one repetition does, and screen one representation."""
    widths = sorted((shape.width for shape in shapes.values()), reverse=True)
    wide = FUSED * sum(widths[: space.sources.at_most])
    rows = min(ROWS, len(dataset.train))
    width = min(WIDTH, round(wide))
    grown = (len(dataset.train) / rows) * (wide / width)
    whole = protocol.name == "paper" or TASKS[dataset.task].ranks
    parts = 1 if whole or protocol.uses_validation_split(len(dataset.train)) else protocol.folds
    taken = [grown * _seconds(head, dataset, rows, width, parts) for head in typical_heads(space)]
    mean = sum(taken) / len(taken)
    if not screened:
        return Pace(mean, mean / parts, 0.0)
    each = _screening(dataset, min(space.screen.rows, len(dataset.train)), width, protocol)
    searched = mean if space.head.searched else DEAR * mean + (1 - DEAR) * min(taken)
    return Pace(searched, searched / parts, Growth(space, shapes, {}).most * each)


def _screening(dataset: Dataset, rows: int, width: int, protocol: Protocol) -> float:
    """Seconds of one representation; a first one is not counted, which opens libraries."""
    features, labels = _made_up(dataset, rows, width)
    folds = np.tile(np.arange(rows) % protocol.folds, (protocol.repetitions, 1))
    screening = Screening(lambda _: features, labels, len(dataset.labels), folds)
    sources = tuple(Source(model="", layer=layer, pooling="") for layer in range(2))
    for fusion, used in (("none", sources[:1]), ("concat", sources)):
        started = time.perf_counter()
        screening.score(Candidate(sources=used, fusion=fusion))
    return time.perf_counter() - started


def _seconds(head: HeadSettings, dataset: Dataset, rows: int, width: int, parts: int) -> float:
    features, labels = _made_up(dataset, rows, width)
    place = np.arange(rows)
    jobs = [Job(train=place[place % 5 != part % 5], predict=place[:1], seed=part) for part in range(parts)]
    candidate = Candidate(sources=(Source(model="", layer=0, pooling=""),), head=head)
    outputs = TASKS[dataset.task].outputs(dataset.labels)
    started = time.perf_counter()
    if TASKS[dataset.task].ranks:
        compared(candidate, [features], [features], place, outputs, [job.seed for job in jobs], dataset.task)
    else:
        fit([features], labels, outputs, jobs, candidate, task=dataset.task)
    return time.perf_counter() - started


def _made_up(dataset: Dataset, rows: int, width: int) -> tuple["torch.Tensor", np.ndarray]:
    """Features of no meaning, float32 [rows, width], and labels of the data's own."""
    import torch

    features = torch.randn(rows, width, generator=torch.Generator().manual_seed(0))
    return features, dataset.train.labels[np.linspace(0, len(dataset.train) - 1, rows).astype(int)]
