"""Scores of classes whose order means something: how far off a prediction is, in steps of the order."""

import numpy as np

from bench.metrics.counts import Floats, Ints


def quadratic_kappa(confusion: Ints) -> float:
    """Cohen's kappa with quadratic weights (Cohen, Weighted kappa, Psychological Bulletin 70, 1968).

    1 less the mean squared distance between label and prediction, divided by what it would be between rows that have
    nothing to do with each other: 1 where all are right, 0 by chance, and 0 where either side has one class alone.

    Args:
        confusion: Rows, [label, prediction], classes in their order.
    """
    table = confusion.astype(np.float64)
    places = np.arange(len(table))
    squared = (places[:, None] - places) ** 2
    chance = float((np.outer(table.sum(1), table.sum(0)) * squared).sum())
    return 1 - float((table * squared).sum()) * float(table.sum()) / chance if chance else 0.0


def distances(truth: Ints, predicted: Ints) -> Floats:
    """How many steps each prediction is off, float64 [rows]."""
    found: Floats = np.abs(truth - predicted).astype(np.float64)
    return found
