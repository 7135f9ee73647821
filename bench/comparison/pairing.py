"""Scores of two sides paired: over the test rows, by seed and fold, and example by example."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.comparison.contenders import Contender
from bench.evaluation.by_fold import SeedDifference, redrawn
from bench.evaluation.by_fold import by_seed as searched_by_seed
from bench.evaluation.scoring import Scored
from bench.measures import Measure, score
from bench.metrics import Redrawn
from bench.study.verdicts import Difference

_WRITTEN = {"f1": "macro_f1"}
"""What a comparison's JSON calls a measure, where that is not its name."""


@dataclass(frozen=True)
class Paired:
    """One score of two sides over the same `rows` and `seeds`.

    Attributes:
        title: The score's name for people.
        difference: A − B.
        low: Of its interval over test rows (or groups), as is `high`: what is left out is `level`.
        p: Corrected over all pairs that are compared, as `level` and `resolvable` are.
        retrained: The difference out of fold, as other training rows would have given it; None where not known.
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
    level: float
    p: float
    resolvable: float
    retrained: Redrawn | None


@dataclass(frozen=True)
class Examples:
    """Test rows by which side is right under more seeds; `ids` name up to ten of each that tell them apart most."""

    a_better: int
    b_better: int
    equal: int
    a_ids: tuple[str, ...]
    b_ids: tuple[str, ...]


def paired(found: Difference, a: Scored, b: Scored) -> Paired:
    """What was judged of two sides, beside their means over seeds."""
    measure = score(found.measure)
    means = [side.summary(measure).mean for side in (a, b)]
    return Paired(
        statistic=_WRITTEN.get(measure.name, measure.name),
        title=measure.title,
        rows=len(a.repetitions[0].rows),
        seeds=len(a.repetitions),
        a=means[0],
        b=means[1],
        difference=found.value,
        low=found.low,
        high=found.high,
        level=found.level,
        p=found.p,
        resolvable=found.resolvable,
        retrained=found.retrained,
    )


def same_training_rows(a: Contender, b: Contender) -> bool:
    """Whether both were trained on the same texts, labels and groups."""
    first, second = (side.study.material.dataset.train.fingerprint for side in (a, b))
    return first == second


def by_seed(a: Contender, b: Contender, measures: Sequence[Measure]) -> tuple[SeedDifference, ...]:
    """Differences over the training rows, out of fold; none where the two were not searched on the same folds."""
    if not (same_training_rows(a, b) and a.out_of_fold and b.out_of_fold):
        return ()
    protocol, other = (side.study.request.protocol for side in (a, b))
    if protocol != other:
        return ()
    return searched_by_seed(a.searched, b.searched, measures, a.study.material.dataset, protocol)


def retrained(a: Contender, b: Contender, measure: Measure, level: float) -> Redrawn | None:
    """The difference as other training rows would have given it; None where it is not known."""
    found = by_seed(a, b, [measure])
    return redrawn(found, a.study.request.protocol, level) if found else None


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
