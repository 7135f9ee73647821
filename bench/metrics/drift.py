"""Whether rows of now are distributed as rows of before, by how many of each lie in the same bins.

Bins are all that is kept of the rows of before: a few counts, and no text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.metrics.counts import Floats
from bench.metrics.intervals import Interval

BINS = 10


@dataclass(frozen=True)
class Shift:
    """How far two distributions over the same bins lie apart.

    Attributes:
        index: The population stability index Σ (q − p) · ln(q / p), half a row added to each bin (Siddiqi, Credit Risk
            Scorecards, 2006, which calls less than 0.1 stable and more than 0.25 a large change).
        p: Of the chi-square test that both are draws from one distribution.
    """

    index: float
    p: float


def edges_of(values: npt.ArrayLike, bins: int = BINS) -> tuple[float, ...]:
    """The inner edges of about as many equally full bins; fewer where values repeat."""
    found = np.quantile(np.asarray(values, dtype=np.float64), np.arange(1, bins) / bins)
    return tuple(float(f"{edge:.6g}") for edge in np.unique(found))


def binned(values: npt.ArrayLike, edges: Sequence[float]) -> tuple[int, ...]:
    """How many values lie in each bin; an edge belongs to the bin below it."""
    places = np.searchsorted(edges, np.asarray(values, dtype=np.float64), side="left")
    return tuple(np.bincount(places, minlength=len(edges) + 1).tolist())


def shift(before: npt.ArrayLike, now: npt.ArrayLike) -> Shift:
    """Compare counts of the same bins; both sides hold at least one row."""
    from scipy.stats import chi2_contingency

    table = np.array([before, now], dtype=np.float64)
    smoothed = (table + 0.5) / (table + 0.5).sum(axis=1, keepdims=True)
    index = float(((smoothed[1] - smoothed[0]) * np.log(smoothed[1] / smoothed[0])).sum())
    # a bin that both leave empty says nothing, and of a single one there is nothing to say
    table = _pooled(table[:, table.sum(axis=0) > 0])
    p = float(chi2_contingency(table, correction=False).pvalue) if table.shape[1] > 1 else 1.0
    return Shift(index, p)


def _pooled(table: Floats, least: float = 5.0) -> Floats:
    """Bins joined, the smallest first, until five rows or more are expected in each on either side (Cochran, 1954)."""
    share = table.sum(axis=1).min() / table.sum()
    table = table[:, np.argsort(table.sum(axis=0), kind="stable")]
    while table.shape[1] > 1 and share * table[:, 0].sum() < least:
        table = np.column_stack([table[:, 0] + table[:, 1], table[:, 2:]])
        table = table[:, np.argsort(table.sum(axis=0), kind="stable")]
    return table


def difference_of(now: Interval, before: Interval) -> Interval:
    """The difference of two statistics of independent rows, now − before, from the interval of each.

    The bounds are recovered from those of the two (MOVER: Zou and Donner, Statistics in Medicine 27, 2008), so that a
    skewed interval stays skewed, and nothing of the rows of before has to be kept.
    """
    value = now.value - before.value
    low = value - np.hypot(now.value - now.low, before.high - before.value)
    high = value + np.hypot(now.high - now.value, before.value - before.low)
    return Interval(value, float(low), float(high))
