"""One path a row (``sport/hockey``): classes in a tree, where a wrong leaf of the right branch is the smaller mistake.

Heads are those of classes, one output for each path that training rows have. A path says its own ancestors, so that no
prediction contradicts itself: who says ``sport/hockey`` says ``sport``, and an ancestor is as probable as the paths
under it together. Of all paths the one is predicted whose expected distance from the truth is least, counted in nodes
that one of the two has and the other lacks (the symmetric difference; Cesa-Bianchi, Gentile and Zaniboni, Incremental
algorithms for hierarchical classification, JMLR 7, 2006, section 3).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.metrics.paths import LEVEL_SIGN, ancestors, shared_nodes
from bench.tasks.classification import CLASSIFICATION, label_and_probabilities, read_class
from bench.tasks.face import TASKS, Labels

NAME = "hierarchy"


def reading(sign: str | None, _: Sequence[Any]) -> Callable[[Any, Labels | None], str]:
    """What reads paths whose levels `sign` parts, a slash where None; written they are parted by slashes."""

    def read(value: Any, names: Labels | None) -> str:
        levels = [part.strip() for part in read_class(value, names).split(sign or LEVEL_SIGN)]
        if not all(levels):
            raise ValueError(f"the path '{value}' has a level without a name")
        return LEVEL_SIGN.join(levels)

    return read


def far(labels: Labels) -> np.ndarray:
    """How many nodes one of two paths has and the other lacks, float64 [labels, labels]."""
    shared = shared_nodes(tuple(labels))
    depth = np.diag(shared)
    found: np.ndarray = depth[:, None] + depth - 2 * shared
    return found


def say(scores: np.ndarray, labels: Labels) -> list[dict[str, Any]]:
    """The path, the probability of every path, and that of every node above one: the sum of what is under it."""
    rows = label_and_probabilities(scores, labels, TASKS[NAME].decided(scores, labels))
    above = [ancestors(label)[:-1] for label in labels]
    nodes = list(dict.fromkeys(node for each in above for node in each))
    under = np.array([[node in each for node in nodes] for each in above], scores.dtype).reshape(len(labels), -1)
    for row, sums in zip(rows, scores @ under, strict=True):
        row["ancestors"] = dict(zip(nodes, sums, strict=True))
    return rows


TASKS.add(
    NAME,
    replace(
        CLASSIFICATION,
        name=NAME,
        like=CLASSIFICATION.name,
        reading=reading,
        apart=far,
        measures=("hierarchical_f1", "accuracy"),
        columns={**CLASSIFICATION.columns, "ancestors": "numbers by name"},
        say=say,
    ),
)
