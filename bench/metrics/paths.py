"""Hierarchical F1: what classes that are paths have in common."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from bench.metrics.counts import Floats, Ints

LEVEL_SIGN = "/"
"""Between the levels of a path."""


def ancestors(path: str) -> tuple[str, ...]:
    """The nodes of a path from the top, itself the last: ``a/b`` has ``a`` and ``a/b``."""
    parts = path.split(LEVEL_SIGN)
    return tuple(LEVEL_SIGN.join(parts[: depth + 1]) for depth in range(len(parts)))


@lru_cache(maxsize=8)
def shared_nodes(paths: tuple[str, ...]) -> Floats:
    """How many nodes each two paths share, float64 [paths, paths]: on the diagonal their depths."""
    sets = [ancestors(path) for path in paths]
    place = {node: number for number, node in enumerate(dict.fromkeys(node for each in sets for node in each))}
    held = np.zeros((len(paths), len(place)))
    for row, each in enumerate(sets):
        held[row, [place[node] for node in each]] = 1
    found: Floats = held @ held.T
    return found


def hierarchical_f1(confusion: Ints, paths: Sequence[str]) -> float:
    """F1 over pairs of a row and a node: each path counts with its ancestors, the root left out.

    Kiritchenko, Matwin, Nock and Famili, Learning and evaluation in the presence of class hierarchies, Canadian AI
    2006, section 4: precision and recall over the sets of all rows together. A part of the tree that is never said
    counts by the rows that have it.

    Args:
        confusion: Rows, [path, prediction].
        paths: The paths.
    """
    shared = shared_nodes(tuple(paths))
    depth = np.diag(shared)
    both = float((confusion * (depth[:, None] + depth)).sum())
    return float(2 * (confusion * shared).sum() / both) if both else 0.0
