"""Whether two systems differ on the same rows: what they say of a row, or of a group of rows, is swapped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.metrics.counts import Floats
from bench.metrics.intervals import NAMED, Statistic, blocks
from bench.metrics.patterns import Patterns

LEVEL, POWER = 0.05, 0.8
ENOUGH = 100
"""Draws beyond the observed difference after which no more are made: p is then known to a tenth of itself."""
LOOK = 1000
"""Draws between two looks at how many were beyond."""


@dataclass(frozen=True)
class PairedTest:
    """Two systems on the same rows.

    Attributes:
        difference: Statistic of the first minus that of the second.
        p: Two-sided.
        error: Standard error of the difference where the two are equally good; NaN where they never differ.
    """

    difference: float
    p: float
    error: float

    def resolvable_at(self, level: float) -> float:
        """The smallest true difference that a two-sided test of this level would find on these rows with 80 % power."""
        from scipy.stats import norm

        return self.error * float(norm.ppf(1 - level / 2) + norm.ppf(POWER))

    @property
    def resolvable(self) -> float:
        """The same at 5 %: 2.8 standard errors."""
        return self.resolvable_at(LEVEL)


def paired_permutation(
    y_true: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    classes: int,
    statistic: Statistic = "f1",
    *,
    seed: int,
    groups: npt.ArrayLike | None = None,
    draws: int = 10_000,
) -> PairedTest:
    """Whether two systems differ, by swapping their predictions row by row (for all seeds of a row at once).

    p = (1 + draws at least as far from 0 as the observed difference) / (1 + draws). No more are made once `ENOUGH`
    were that far, which leaves p valid (Besag and Clifford, Biometrika 78, 1991).

    Args:
        y_true: Labels [n].
        a: Predictions of the first system, [seeds, n]; seeds are averaged within each draw.
        b: Predictions of the second, [seeds, n]; its number of seeds must be that of `a`.
        classes: Length of the label list.
        statistic: ``"f1"`` (macro), ``"accuracy"``, or another function of counts.
        seed: Of the draws.
        groups: Of which group each row is, [n]: the rows of a group are swapped together. By default each on its own.
        draws: Number of permutations at most.
    """
    patterns = Patterns.of(y_true, [a, b], classes, groups)
    first, second = patterns.predictions
    value = NAMED[statistic] if isinstance(statistic, str) else statistic
    rng = np.random.default_rng(seed)

    def difference(swapped: Floats) -> Floats:
        kept = patterns.counts - swapped
        # where m rows are swapped, each system holds its own predictions on the others and the other's on those m
        total = np.zeros(len(swapped))
        for one, other in zip(first, second, strict=True):
            total += value(patterns.counted(one, kept) + patterns.counted(other, swapped))
            total -= value(patterns.counted(other, kept) + patterns.counted(one, swapped))
        return total / len(first)

    observed = float(difference(np.zeros((1, len(patterns.counts))))[0])
    null: list[Floats] = []
    for block in blocks(draws, patterns.size, LOOK):
        null.append(difference(patterns.swapped(rng, block)))
        if sum(_beyond(observed, each) for each in null) >= ENOUGH:
            break
    return tested(observed, np.concatenate(null), differ=bool((first != second).any()))


def row_permutation(
    difference: Callable[[npt.NDArray[np.bool_]], float],
    rows: int,
    *,
    seed: int,
    groups: npt.ArrayLike | None = None,
    draws: int = 1000,
) -> PairedTest:
    """`paired_permutation` of what is no function of counts.

    `difference` takes which rows are swapped, bool [rows], and is called once a draw: hence the fewer draws.
    """
    rng = np.random.default_rng(seed)
    unit = np.arange(rows) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
    observed = difference(np.zeros(rows, dtype=bool))
    null = np.array([difference((rng.random(unit.max() + 1) < 0.5)[unit]) for _ in range(draws)])
    return tested(observed, null, differ=bool(null.any()))


def tested(observed: float, null: Floats, *, differ: bool) -> PairedTest:
    """The test of a difference against its null distribution, [draws]."""
    error = float(np.sqrt(np.mean(null**2))) if differ else float("nan")
    return PairedTest(observed, (1 + _beyond(observed, null)) / (1 + len(null)), error)


def _beyond(observed: float, null: Floats) -> int:
    """How many are at least as far from 0; sums in another order may part in their last digits."""
    return int((np.abs(null) >= abs(observed) - 1e-12).sum())


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given (family-wise error)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    values: list[float] = adjusted.tolist()
    return values
