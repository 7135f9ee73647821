"""Folds within a job's training rows, where a head tunes a setting of its own."""

import numpy as np
import torch
from torch import Tensor

NEVER = -1
"""The fold of rows that are never held out."""


def inner_folds(labels: Tensor, groups: Tensor | None, count: int, seed: int) -> Tensor:
    """A fold for each row, int64 [n]; `NEVER` where without the row's group a class would be missing among the others.

    Groups are dealt out one after the other in random order: class by class, each with the rarest class that it holds,
    and the larger before the smaller. So every fold gets its share of each class, and no group is in two of them.

    Args:
        labels: Class indices, int64 [n].
        groups: Rows of one number stay together, int64 [n]; None: each row is on its own.
        count: How many folds.
        seed: Of the order.
    """
    y = labels.cpu().numpy()
    places = np.arange(len(y)) if groups is None else np.unique(groups.cpu().numpy(), return_inverse=True)[1]
    rows = np.bincount(y)
    rarest = np.lexsort((y, rows[y], places))
    # the first row of each group, which stands for it
    first = rarest[np.unique(places[rarest], return_index=True)[1]]
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.lexsort((-np.bincount(places)[order], y[first[order]]))]
    dealt = np.empty(len(first), dtype=np.int64)
    dealt[order] = np.arange(len(first)) % count
    held = np.zeros((len(rows), count), dtype=bool)
    held[y, dealt[places]] = True
    needed = np.unique(places[held.sum(1)[y] == 1])
    dealt[needed] = NEVER
    return torch.from_numpy(dealt[places]).to(labels.device)
