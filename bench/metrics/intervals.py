"""Confidence intervals that cover as often as they say, also where a class has a handful of rows.

The plain bootstrap fails there: a resample that loses a class scores it as if it had never been learnt, and one row of
a class that was hit is hit in every resample. Here every row, or group of rows, has a random weight instead of a random
number of copies (the Bayesian bootstrap; Rubin, The Annals of Statistics 9, 1981), so that none is ever lost, and each
class has beside its rows one *unseen* row: half of it is predicted as rows are in the mean over classes, half by
chance. It weighs little among a hundred rows, and says of a single one that it could have been otherwise.

What is covered is the value over the classes that the rows hold. `tests/perf/verdicts.py` measures how often.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.metrics.counts import Counts, Floats, Ints, accuracy, macro_f1
from bench.metrics.patterns import Patterns, members

Statistic = Callable[[Counts], Floats] | Literal["f1", "accuracy"]
"""What is resampled: a function of counts (see `bench.metrics.counts`); two go by name."""
NAMED: dict[str, Callable[[Counts], Floats]] = {"f1": macro_f1, "accuracy": accuracy}

LEAST, MOST = 2_000, 20_000
"""Draws of an interval."""
WIDEST = 0.7
"""The least shape of a unit's weight."""
# About how many numbers a block of draws may hold.
BLOCK = 1 << 22


@dataclass(frozen=True)
class Interval:
    """A statistic and the bounds of its confidence interval."""

    value: float
    low: float
    high: float


def bootstrap_interval(
    y_true: npt.ArrayLike,
    predictions: npt.ArrayLike,
    classes: int,
    statistic: Statistic = "f1",
    *,
    seed: int,
    groups: npt.ArrayLike | None = None,
    level: float = 0.95,
    draws: int | None = None,
) -> Interval:
    """The interval over test rows that could as well have been drawn, seeds averaged within each draw.

    Args:
        y_true: Labels [n].
        predictions: [seeds, n].
        classes: Length of the label list.
        statistic: ``"f1"`` (macro), ``"accuracy"``, or another function of counts that stays when all are doubled.
        seed: Of the draws.
        groups: Of which group each row is, [n]: groups are drawn as wholes. By default every row is on its own.
        level: How often the interval is to hold the true value, that of the classes which the rows hold.
        draws: Their number; by default enough for 50 beyond the interval, and 2000 at least.
    """
    patterns = Patterns.of(y_true, [predictions], classes, groups)
    return _interval(patterns, (1,), statistic, seed, level, draws)


def paired_interval(
    y_true: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    classes: int,
    statistic: Statistic = "f1",
    *,
    seed: int,
    groups: npt.ArrayLike | None = None,
    level: float = 0.95,
    draws: int | None = None,
) -> Interval:
    """The interval of the difference a − b over rows drawn for both at once, seeds averaged; nil if they never differ.

    Arguments as those of `bootstrap_interval` and `paired_permutation`.
    """
    patterns = Patterns.of(y_true, [a, b], classes, groups)
    first, second = patterns.predictions
    if np.array_equal(first, second):
        return Interval(0.0, 0.0, 0.0)
    return _interval(patterns, (1, -1), statistic, seed, level, draws)


def row_interval(
    value: Callable[[Ints], float],
    rows: int,
    *,
    seed: int,
    groups: npt.ArrayLike | None = None,
    level: float = 0.95,
    draws: int = 500,
) -> Interval:
    """The percentile interval of what is no function of counts: `value` takes the places of resampled rows.

    It is called once a draw, which takes its time: hence the fewer draws. With `groups` [rows] whole groups are drawn.
    """
    rng, held = np.random.default_rng(seed), members(groups, rows)

    def drawn() -> Ints:
        chosen = rng.integers(len(held), size=len(held))
        return chosen if len(held) == rows else np.concatenate([held[unit] for unit in chosen])

    values = [value(drawn()) for _ in range(draws)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value(np.arange(rows)), float(low), float(high))


def blocks(draws: int, each: int, most: int = BLOCK) -> Iterator[int]:
    """Sizes of blocks of at most so many draws, `each` of so many numbers, of which a block fits in `BLOCK`."""
    size = max(1, min(most, BLOCK // each))
    for start in range(0, draws, size):
        yield min(size, draws - start)


def _interval(
    patterns: Patterns, signs: Sequence[int], statistic: Statistic, seed: int, level: float, draws: int | None
) -> Interval:
    """The interval of the sum of the systems' statistics, each with its sign, averaged over seeds."""
    value = NAMED[statistic] if isinstance(statistic, str) else statistic
    if draws is None:
        draws = min(MOST, max(LEAST, round(50 / (1 - level))))
    rng, unseen = np.random.default_rng(seed), _Unseen.of(patterns)
    rows = patterns.counts[None].astype(np.float64)
    observed = sum(
        sign * np.mean([value(patterns.counted(said, rows))[0] for said in system])
        for sign, system in zip(signs, patterns.predictions, strict=True)
    )
    shapes = _shapes(patterns.units_by_class, level)
    values = [_drawn(patterns, signs, value, unseen, rng, size, shapes) for size in blocks(draws, patterns.size)]
    one = float(observed)
    low, high = np.quantile(np.concatenate(values), [(1 - level) / 2, (1 + level) / 2])
    # unseen rows pull a statistic away from its bounds, which all rows together may have reached
    return Interval(one, min(one, float(low)), max(one, float(high)))


def _shapes(units: Floats, level: float) -> Floats:
    """The shape of the gamma distribution by which each unit is weighed, by class, from units of each class [classes].

    A mean under Dirichlet(a, …, a) weights of n units has the variance s²(n − 1)/n / (na + 1): this a makes the
    interval as wide as that of Student's t, which matters below a hundred units; below eight it is held at `WIDEST`.
    """
    from scipy.stats import norm, t

    several = np.maximum(units, 2)
    wider = (t.ppf((1 + level) / 2, several - 1) / norm.ppf((1 + level) / 2)) ** 2
    shapes: Floats = np.clip(((several - 1) / wider - 1) / several, WIDEST, 1)
    return shapes


@dataclass(frozen=True, eq=False)
class _Unseen:
    """One unit more of each class, by what each system says of it.

    Attributes:
        right: Whether each system is right, of each of 2^systems cells: bool [cells, systems].
        shapes: The unit's expected share of each cell, which is the shape of a gamma distribution, [cells, classes].
        size: Rows of the class in a unit that has any, [classes].
        elsewhere: Which class it is mistaken for, [classes, classes]: in proportion to labels and predictions.
    """

    right: npt.NDArray[np.bool_]
    shapes: Floats
    size: Floats
    elsewhere: Floats

    @classmethod
    def of(cls, patterns: Patterns) -> "_Unseen":
        """Half of it is as rows are in the mean over classes; half may as well have any outcome."""
        onehot, counts = patterns.onehot, patterns.counts.astype(np.float64)
        rows = patterns.rows_by_class
        there = rows > 0
        hit = np.stack([each == patterns.labels for each in patterns.predictions])  # [systems, seeds, P]
        right = np.array(list(product((True, False), repeat=len(hit))))
        within = np.stack([(hit == cell[:, None, None]).all(0).mean(0) for cell in right])  # [cells, P]
        shares = np.divide((within * counts) @ onehot, rows, out=np.zeros((len(right), len(rows))), where=there)
        mean = shares[:, there].mean(1, keepdims=True)
        shapes = np.where(there, (mean + 1 / len(right)) / 2, 0)
        said = sum(counts @ patterns.indicator(each) for system in patterns.predictions for each in system)
        elsewhere = np.tile(rows * hit.shape[0] * hit.shape[1] + said, (len(rows), 1))
        np.fill_diagonal(elsewhere, 0)
        elsewhere /= np.maximum(elsewhere.sum(1, keepdims=True), 1)
        size = rows / np.maximum(patterns.units_by_class, 1)
        return cls(right, shapes, size, elsewhere)


def _drawn(
    patterns: Patterns,
    signs: Sequence[int],
    value: Callable[[Counts], Floats],
    unseen: _Unseen,
    rng: np.random.Generator,
    draws: int,
    shapes: Floats,
) -> Floats:
    """The sum of the systems' statistics of so many draws, each with its sign."""
    weights = patterns.weighed(rng, draws, shapes)
    cells = unseen.size * rng.standard_gamma(unseen.shapes, size=(draws, *unseen.shapes.shape))
    # what is not seen says how a class is predicted, and nothing of how frequent it is
    rows = weights @ patterns.onehot
    kept = np.divide(rows, rows + cells.sum(1), out=np.ones_like(rows), where=rows > 0)
    weights, cells = weights * kept[:, patterns.labels], cells * kept[:, None]
    total = np.zeros(draws)
    for sign, right, system in zip(signs, unseen.right.T, patterns.predictions, strict=True):
        hits, missed = cells[:, right].sum(1), cells[:, ~right].sum(1)
        more = Counts(hits, hits + missed @ unseen.elsewhere, hits + missed)
        for said in system:
            total += sign * value(patterns.counted(said, weights) + more) / len(system)
    return total
