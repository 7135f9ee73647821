"""What a test set can and cannot tell apart: intervals and tests that draw its rows again.

They draw over distinct patterns of (label, predictions) instead of rows. Rows of one pattern are
interchangeable, so multinomial (bootstrap) and binomial (permutation) counts of patterns have exactly the distribution
that drawing rows one by one has, and there are far fewer patterns than rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.metrics.counts import Counts, Floats, Ints, accuracy, macro_f1

Statistic = Callable[[Counts], Floats] | Literal["f1", "accuracy"]
"""What is resampled: a function of counts (see `bench.metrics.counts`); two go by name."""
NAMED: dict[str, Callable[[Counts], Floats]] = {"f1": macro_f1, "accuracy": accuracy}

# About how many numbers a block of draws may hold.
BLOCK = 1 << 22
# z for a two-sided level of 5 % plus z for a power of 80 %.
LEVEL_AND_POWER = 1.959964 + 0.841621


@dataclass(frozen=True)
class Interval:
    """A statistic and the bounds of its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedTest:
    """Two systems on the same rows.

    Attributes:
        difference: Statistic of the first minus that of the second.
        p: Two-sided.
        resolvable: The smallest true difference that a test of level 5 % on these rows would find with 80 %
            probability: 2.8 standard errors of the null distribution. NaN where the two never differ.
    """

    difference: float
    p: float
    resolvable: float


def bootstrap_interval(
    y_true: npt.ArrayLike,
    predictions: npt.ArrayLike,
    classes: int,
    statistic: Statistic = "f1",
    *,
    seed: int,
    level: float = 0.95,
    draws: int = 2000,
) -> Interval:
    """The percentile interval over resampled test rows, seeds averaged within each draw.

    Args:
        y_true: Labels [n].
        predictions: [seeds, n].
        classes: Length of the label list.
        statistic: ``"f1"`` (macro), ``"accuracy"``, or another function of counts.
        seed: Of the draws.
        level: Share of the draws within the interval.
        draws: Number of resamples.
    """
    patterns = _Patterns.of(y_true, [predictions])

    def value(counts: Ints) -> Floats:
        return _statistic(patterns, patterns.predictions[0], counts, classes, statistic)

    return _percentiles(patterns, value, seed, level, draws)


def row_interval(
    value: Callable[[Ints], float], rows: int, *, seed: int, level: float = 0.95, draws: int = 500
) -> Interval:
    """The percentile interval of what is no function of counts: `value` takes the places of resampled rows, [rows].

    It is called once a draw, which takes its time: hence the fewer draws.
    """
    rng = np.random.default_rng(seed)
    values = [value(rng.integers(rows, size=rows)) for _ in range(draws)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value(np.arange(rows)), float(low), float(high))


def paired_interval(
    y_true: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    classes: int,
    statistic: Statistic = "f1",
    *,
    seed: int,
    level: float = 0.95,
    draws: int = 2000,
) -> Interval:
    """The percentile interval of the difference a − b over rows resampled for both at once, seeds averaged.

    Arguments as those of `bootstrap_interval` and `paired_permutation`.
    """
    patterns = _Patterns.of(y_true, [a, b])

    def difference(counts: Ints) -> Floats:
        first, second = patterns.predictions
        return _statistic(patterns, first, counts, classes, statistic) - _statistic(
            patterns, second, counts, classes, statistic
        )

    return _percentiles(patterns, difference, seed, level, draws)


def paired_permutation(
    y_true: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    classes: int,
    statistic: Statistic = "f1",
    *,
    seed: int,
    draws: int = 10_000,
) -> PairedTest:
    """Whether two systems differ, by swapping their predictions row by row (for all seeds of a row at once).

    p = (1 + draws at least as far from 0 as the observed difference) / (1 + draws).

    Args:
        y_true: Labels [n].
        a: Predictions of the first system, [seeds, n]; seeds are averaged within each draw.
        b: Predictions of the second, [seeds, n]; its number of seeds must be that of `a`.
        classes: Length of the label list.
        statistic: ``"f1"`` (macro), ``"accuracy"``, or another function of counts.
        seed: Of the draws.
        draws: Number of permutations.
    """
    patterns = _Patterns.of(y_true, [a, b])
    first, second = patterns.predictions
    rng = np.random.default_rng(seed)

    def difference(swapped: Ints) -> Floats:
        kept = patterns.counts - swapped
        # Under a swap of m rows, the first system holds its own predictions on the rest and the second's on those m.
        return _statistic(patterns, first, kept, classes, statistic, second, swapped) - _statistic(
            patterns, second, kept, classes, statistic, first, swapped
        )

    observed = float(difference(np.zeros((1, len(patterns.counts)), dtype=np.int64))[0])
    null = np.concatenate(
        [
            difference(rng.binomial(patterns.counts, 0.5, size=(size, len(patterns.counts))))
            for size in _blocks(draws, len(patterns.counts))
        ]
    )
    return _tested(observed, null, differ=bool((first != second).any()))


def _tested(observed: float, null: Floats, *, differ: bool) -> PairedTest:
    """The test of a difference against its null distribution, [draws]."""
    # Sums in another order: equal differences may part in their last digits.
    extreme = int((np.abs(null) >= abs(observed) - 1e-12).sum())
    spread = float(np.sqrt(np.mean(null**2)))
    resolvable = LEVEL_AND_POWER * spread if differ else float("nan")
    return PairedTest(observed, (1 + extreme) / (1 + len(null)), resolvable)


def row_permutation(
    difference: Callable[[npt.NDArray[np.bool_]], float], rows: int, *, seed: int, draws: int = 1000
) -> PairedTest:
    """`paired_permutation` of what is no function of counts.

    `difference` takes which rows are swapped, bool [rows], and is called once a draw: hence the fewer draws.
    """
    rng = np.random.default_rng(seed)
    observed = difference(np.zeros(rows, dtype=bool))
    null = np.array([difference(rng.random(rows) < 0.5) for _ in range(draws)])
    return _tested(observed, null, differ=bool(null.any()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given (family-wise error)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    values: list[float] = adjusted.tolist()
    return values


@dataclass(frozen=True, eq=False)
class _Patterns:
    """Distinct rows of (label, every system's predictions of every seed), and how often each occurs."""

    labels: Ints
    predictions: list[Ints]
    counts: Ints

    @classmethod
    def of(cls, y_true: npt.ArrayLike, systems: Sequence[npt.ArrayLike]) -> "_Patterns":
        """The patterns of labels [n] and systems' predictions [seeds, n]."""
        matrices = [np.atleast_2d(np.asarray(system, dtype=np.int64)) for system in systems]
        table, counts = np.unique(np.vstack([np.asarray(y_true), *matrices]), axis=1, return_counts=True)
        ends = np.cumsum([len(matrix) for matrix in matrices])[:-1]
        return cls(table[0], np.split(table[1:], ends), counts.astype(np.int64))


def _percentiles(patterns: _Patterns, value: Callable[[Ints], Floats], seed: int, level: float, draws: int) -> Interval:
    """The observed value and its percentile interval; `value` takes rows per draw and pattern, [draws, K]."""
    rng = np.random.default_rng(seed)
    total = patterns.counts.sum()
    values = [
        value(rng.multinomial(total, patterns.counts / total, size=size))
        for size in _blocks(draws, len(patterns.counts))
    ]
    low, high = np.quantile(np.concatenate(values), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value(patterns.counts[None])[0]), float(low), float(high))


def _statistic(
    patterns: _Patterns,
    predictions: Ints,
    counts: Ints,
    classes: int,
    statistic: Statistic,
    others: Ints | None = None,
    other_counts: Ints | None = None,
) -> Floats:
    """The statistic per draw, averaged over seeds.

    Args:
        patterns: K of them.
        predictions: [seeds, K].
        counts: Rows per draw and pattern, [draws, K].
        classes: Length of the label list.
        statistic: Which.
        others: Predictions that hold on `other_counts` further rows of each pattern.
        other_counts: [draws, K].
    """
    parts = [(predictions, counts.astype(np.float64))]
    if others is not None and other_counts is not None:
        parts.append((others, other_counts.astype(np.float64)))
    total = sum(weights for _, weights in parts)
    value = NAMED[statistic] if isinstance(statistic, str) else statistic
    support = total @ np.eye(classes)[patterns.labels]
    values = np.zeros(len(counts))
    for seed in range(len(predictions)):
        hits = sum(
            weights @ (np.eye(classes)[patterns.labels] * (p[seed] == patterns.labels)[:, None]) for p, weights in parts
        )
        predicted = sum(weights @ np.eye(classes)[p[seed]] for p, weights in parts)
        values += value(Counts(hits, predicted, support))
    return values / len(predictions)


def _blocks(draws: int, patterns: int) -> Iterator[int]:
    """Sizes of blocks of draws whose counts fit in `BLOCK` numbers."""
    size = max(1, BLOCK // patterns)
    for start in range(0, draws, size):
        yield min(size, draws - start)
