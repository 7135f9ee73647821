"""Scores of two sides paired: over the test rows, by seed and fold, and example by example."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.comparison.contenders import Contender
from bench.evaluation.by_fold import SeedDifference
from bench.evaluation.by_fold import by_seed as searched_by_seed
from bench.measures import MEASURES, Measure, Predictions
from bench.tasks import TASKS

_WRITTEN = {"f1": "macro_f1"}
"""What a comparison's JSON calls a measure, where that is not its name."""


@dataclass(frozen=True)
class Paired:
    """One score of two sides over the same `rows` and `seeds`; `difference` is A − B, `p` is corrected by Holm.

    `title` is the score's name for people.
    """

    statistic: str
    title: str
    rows: int
    seeds: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    resolvable: float


@dataclass(frozen=True)
class Examples:
    """Test rows by which side is right under more seeds; `ids` name up to ten of each that tell them apart most."""

    a_better: int
    b_better: int
    equal: int
    a_ids: tuple[str, ...]
    b_ids: tuple[str, ...]


def paired(measure: Measure, a: Sequence[Predictions], b: Sequence[Predictions]) -> Paired:
    """One score over the test rows; the predictions are a side's, one a seed. Its `p` is not corrected yet."""
    test, interval = measure.paired(a, b, seed=0), measure.difference(a, b, seed=0)
    means = [float(np.mean([each.value(measure) for each in side])) for side in (a, b)]
    return Paired(
        statistic=_WRITTEN.get(measure.name, measure.name),
        title=measure.title,
        rows=len(a[0].truth),
        seeds=len(a),
        a=means[0],
        b=means[1],
        difference=test.difference,
        low=interval.low,
        high=interval.high,
        p=test.p,
        resolvable=test.resolvable,
    )


def same_training_rows(a: Contender, b: Contender) -> bool:
    """Whether both were trained on the same texts, labels and groups."""
    first, second = (side.study.material.dataset.train.fingerprint for side in (a, b))
    return first == second


def by_seed(a: Contender, b: Contender) -> tuple[SeedDifference, ...]:
    """Differences over the training rows, out of fold; none where the two were not searched on the same folds."""
    if not same_training_rows(a, b):
        return ()
    protocol, other = (side.study.request.protocol for side in (a, b))
    if protocol != other:
        return ()
    dataset = a.study.material.dataset
    measures = [MEASURES[name] for name in TASKS[dataset.task].measures]
    return searched_by_seed(a.searched, b.searched, measures, dataset, protocol)


def examples(truth: np.ndarray, predicted: Sequence[np.ndarray], ids: Sequence[str]) -> Examples:
    """Test rows by the side that gets them right under more of its seeds; `predicted` as in `paired`."""
    right = [(each == truth).sum(axis=0) for each in predicted]
    lead = right[0] - right[1]
    order = np.argsort(-lead, kind="stable")

    def named(rows: np.ndarray) -> tuple[str, ...]:
        return tuple(str(ids[row]) for row in rows[:10])

    return Examples(
        a_better=int((lead > 0).sum()),
        b_better=int((lead < 0).sum()),
        equal=int((lead == 0).sum()),
        a_ids=named(order[lead[order] > 0]),
        b_ids=named(order[::-1][lead[order[::-1]] < 0]),
    )
