"""Folds of rows that are in several strata at once.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, On the stratification of multi-label data, ECML PKDD 2011,
algorithm 1): again and again the rows of the stratum that has fewest left are dealt out, each to the fold that lacks
most of that stratum; of several the one that lacks most rows; of these one that is drawn. So what is rare is spread
first, while there is still a choice. Groups of rows are dealt out as wholes, the larger ones first.
"""

import numpy as np


def dealt(strata: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each row, int64 [rows].

    Args:
        strata: 0 or 1 [rows, strata].
        groups: Rows of one number are in one fold, int [rows].
        folds: Their number.
        seed: Of the order of groups, and of what is drawn.
    """
    random = np.random.default_rng(seed)
    _, units = np.unique(groups, return_inverse=True)
    sizes = np.bincount(units)
    held = np.zeros((len(sizes), strata.shape[1]))
    np.add.at(held, units, strata > 0)
    order = random.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    lacks_rows = np.full(folds, len(strata) / folds)
    lacks = np.tile(held.sum(0) / folds, (folds, 1))
    fold = np.full(len(sizes), -1)

    def deal(unit: int, wanted: np.ndarray) -> None:
        best = np.flatnonzero(wanted >= wanted.max() - 1e-9)
        best = best[lacks_rows[best] >= lacks_rows[best].max() - 1e-9]
        fold[unit] = chosen = random.choice(best)
        lacks[chosen] -= held[unit]
        lacks_rows[chosen] -= sizes[unit]

    left = held.sum(0)
    while (left > 0).any():
        stratum = int(np.where(left > 0, left, np.inf).argmin())
        for unit in [unit for unit in order if fold[unit] < 0 and held[unit, stratum]]:
            deal(unit, lacks[:, stratum])
            left -= held[unit]
    for unit in order[fold[order] < 0]:
        deal(unit, lacks_rows)
    found: np.ndarray = fold[units]
    return found
