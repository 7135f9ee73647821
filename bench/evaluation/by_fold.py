"""Two candidates on the training rows, out of fold: by repetition, fold by fold, and as other rows would have it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np

from bench.datasets.dataset import Dataset
from bench.evaluation.protocol import Protocol, folds
from bench.evaluation.scoring import Scored
from bench.measures import Measure
from bench.metrics import Redrawn, corrected_resampled
from bench.tasks import TASKS


@dataclass(frozen=True)
class SeedDifference:
    """One repetition of the search: the score of A minus that of B, over all rows and fold by fold.

    `beside` holds the differences over all rows by the other measures, by name.
    """

    seed: int
    difference: float
    folds: tuple[float, ...]
    beside: Mapping[str, float]


def by_seed(
    a: Scored, b: Scored, measures: Sequence[Measure], dataset: Dataset, protocol: Protocol
) -> tuple[SeedDifference, ...]:
    """Differences of two that were searched by the same protocol on the same rows, the first measure's fold by fold.

    There are none under a protocol that is not out of fold; where no head is trained, there are no folds.
    """
    if protocol.name == "paper":
        return ()
    found = []
    for first, second in zip(a.repetitions, b.repetitions, strict=True):
        sides = first.predictions, second.predictions
        parts = []
        for rows in () if TASKS[dataset.task].ranks else _predicted(dataset, protocol, first.seed):
            where = np.searchsorted(first.rows, rows)
            scores = [measures[0].compute(each.at(where)) for each in sides]
            parts.append(scores[0] - scores[1])
        whole, *others = [sides[0].value(each) - sides[1].value(each) for each in measures]
        beside = {each.name: value for each, value in zip(measures[1:], others, strict=True)}
        found.append(SeedDifference(first.seed, whole, tuple(parts), beside))
    return tuple(found)


@lru_cache(maxsize=32)
def _predicted(dataset: Dataset, protocol: Protocol, seed: int) -> tuple[np.ndarray, ...]:
    """The rows of each fold, ascending; groups are placed one by one, and a front asks again for every pair."""
    strata = TASKS[dataset.task].fold_strata(dataset.train.labels)
    return tuple(np.sort(fold.predict) for fold in folds(strata, dataset.train.groups, protocol, seed))


def redrawn(differences: tuple[SeedDifference, ...], protocol: Protocol, level: float = 0.95) -> Redrawn | None:
    """The difference as other training rows would have given it; unknown where one fixed split stands for the folds."""
    each = list(chain.from_iterable(seed.folds for seed in differences))
    if len(each) < len(differences) * protocol.folds:
        return None
    return corrected_resampled(each, 1 / (protocol.folds - 1), level=level)
