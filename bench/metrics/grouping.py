"""Scores of groups that nobody named: how rows of each class lie in groups that a system made of them.

All are functions of a table of rows by class and group, [..., classes, groups], whose leading axes are resamples. The
number of a group means nothing: the table with its columns in another order has the same scores. And they are the
higher the fewer rows there are, whoever grouped: rows that are drawn twice agree with themselves. Draws are therefore
moved so that their mean is the score of all rows, as `bench.metrics.selection.corrected` moves rows left out.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bench.metrics.counts import Floats, Ints
from bench.metrics.intervals import Interval
from bench.metrics.resampling import PairedTest, tested


def v_measure(tables: Floats) -> Floats:
    """The harmonic mean of homogeneity and completeness (Rosenberg and Hirschberg, EMNLP-CoNLL 2007), 0 to 1.

    As scikit-learn's `v_measure_score`: 1 where there is one class and one group.
    """
    classes, groups = _entropy(tables.sum(-1)), _entropy(tables.sum(-2))
    shared = classes + groups - _entropy(tables.reshape(*tables.shape[:-2], -1))
    whole = classes + groups
    found: Floats = np.divide(2 * shared.clip(0), whole, out=np.ones_like(whole), where=whole > 0)
    return found


def adjusted_rand(tables: Floats) -> Floats:
    """Pairs of rows on which classes and groups agree, corrected for chance (Hubert and Arabie, 1985), −0.5 to 1.

    As scikit-learn's `adjusted_rand_score`.
    """
    rows = tables.sum((-1, -2))
    together, pairs = _pairs(tables).sum((-1, -2)), _pairs(rows)
    classes, groups = _pairs(tables.sum(-1)).sum(-1), _pairs(tables.sum(-2)).sum(-1)
    expected = np.divide(classes * groups, pairs, out=np.zeros_like(pairs), where=pairs > 0)
    most = (classes + groups) / 2
    found: Floats = np.divide(together - expected, most - expected, out=np.ones_like(pairs), where=most != expected)
    return found


def table_of(truth: Ints, groups: Ints) -> Floats:
    """How many rows of each class are in each group, [classes, groups]."""
    width = int(groups.max(initial=0)) + 1
    counts = np.bincount(truth * width + groups, minlength=(int(truth.max(initial=0)) + 1) * width)
    return counts.reshape(-1, width).astype(np.float64)


def tables_of(truth: Ints, groups: Ints, weights: npt.NDArray[np.float32]) -> Floats:
    """The same where each row counts so often, [draws, classes, groups] from weights [draws, rows]."""
    from scipy.sparse import csr_array

    width, height = int(groups.max(initial=0)) + 1, int(truth.max(initial=0)) + 1
    places = truth * width + groups
    rows = np.arange(len(truth))
    cells = csr_array((np.ones(len(rows), np.float32), (places, rows)), shape=(height * width, len(rows)))
    found: Floats = (cells @ weights.T).T.reshape(-1, height, width).astype(np.float64)
    return found


def moved(values: Floats, whole: Floats, weights: npt.NDArray[np.float32]) -> Floats:
    """Scores of draws [draws, repetitions], so that their mean is the score of all rows, `whole` [repetitions].

    A draw that takes every row once, by its weights [draws, rows], is no draw.
    """
    drawn = ~(weights == 1).all(axis=1)
    found = values.copy()
    if drawn.any():
        found[drawn] += whole - values[drawn].mean(axis=0)
    return found


def interval_of(values: Floats, level: float = 0.95) -> Interval:
    """Of the first value over the others, which are its draws."""
    low, high = np.quantile(values[1:], [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values[0]), float(low), float(high))


def drawn_test(differences: Sequence[float] | Floats) -> PairedTest:
    """Whether the first difference is none, from the others, which are its draws: these are moved to have the mean 0.

    Numbers of groups mean nothing, so that what two systems say of a row cannot be swapped.
    """
    found = np.asarray(differences, dtype=np.float64)
    null = found[1:] - found[1:].mean()
    return tested(float(found[0]), null, differ=bool(null.any()))


def _entropy(counts: Floats) -> Floats:
    """In nats, over the last axis."""
    total = counts.sum(-1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    found: Floats = -(shares * logs).sum(-1)
    return found


def _pairs(counts: Floats) -> Floats:
    return counts * (counts - 1) / 2
