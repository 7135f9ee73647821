"""Scores of rankings: of each text the others that were found, the nearest first, and which of them are relevant."""

import numpy as np

from bench.metrics.counts import Floats, Ints

FOUND = 10
"""How many of the nearest are looked at."""


def ndcg(gains: Ints, relevant: Ints) -> Floats:
    """Normalised discounted cumulative gain of each query, [queries]; 0 of one that nothing is relevant to.

    Σ gain / log₂(1 + place) over the places, by what it is where all that is relevant comes first (Järvelin and
    Kekäläinen, ACM TOIS 20, 2002). As scikit-learn's `ndcg_score` where no two scores of a query are equal.

    Args:
        gains: Whether what stands there is relevant, 0 or 1 [queries, places].
        relevant: How many there are to be found, [queries].
    """
    discounts = 1 / np.log2(np.arange(gains.shape[1]) + 2)
    ideal = np.concatenate([[0.0], discounts.cumsum()])[np.minimum(relevant, gains.shape[1])]
    found: Floats = np.divide(gains @ discounts, ideal, out=np.zeros(len(gains)), where=ideal > 0)
    return found


def precision(gains: Ints) -> Floats:
    """The share of what was found that is relevant, [queries], from gains as above."""
    found: Floats = gains.mean(axis=1)
    return found


def judged(found: Ints, truth: Ints, groups: Ints) -> Ints:
    """What of the found is relevant, 0 or 1 [queries, places], and behind it how many there were to be found.

    Relevant are other texts of the query's class, but none of its own group.

    Args:
        found: Places of the nearest among the queries themselves, [queries, places]; −1 where there is none.
        truth: Classes, [queries].
        groups: Texts of one number belong together, [queries].
    """
    gains = (truth[found] == truth[:, None]) & (found >= 0)
    _, pair, sizes = np.unique(np.stack([groups, truth]), axis=1, return_inverse=True, return_counts=True)
    others = np.bincount(truth)[truth] - sizes[pair.ravel()]
    return np.column_stack([gains.astype(np.int64), others])
