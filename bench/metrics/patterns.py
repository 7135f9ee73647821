"""Scored rows as what is drawn again: patterns of (label, predictions), and the groups that rows come in.

Rows of one pattern are interchangeable, and there are far fewer patterns than rows: what is drawn is how often each
pattern counts. Where rows come in groups (the clauses of a contract), a group is drawn as a whole: its rows share their
luck, so that a thousand rows in twenty groups say about as much as twenty rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.metrics.counts import Counts, Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class Patterns:
    """Distinct rows of (label, every system's predictions under every seed), and how often each occurs.

    Attributes:
        labels: Of each of P patterns, [P].
        predictions: Of each system, [seeds, P].
        counts: Rows of each pattern, [P].
        classes: Length of the label list.
        groups: Rows of each pattern in each of G groups, [G, P]; None where every row is on its own.
    """

    labels: Ints
    predictions: tuple[Ints, ...]
    counts: Ints
    classes: int
    groups: "csr_array[Any] | None" = None

    @classmethod
    def of(
        cls,
        y_true: npt.ArrayLike,
        systems: Sequence[npt.ArrayLike],
        classes: int,
        groups: npt.ArrayLike | None = None,
    ) -> "Patterns":
        """The patterns of labels [n], systems' predictions [seeds, n] and, where they matter, groups [n]."""
        matrices = [np.atleast_2d(np.asarray(system, dtype=np.int64)) for system in systems]
        stacked = np.vstack([np.asarray(y_true, dtype=np.int64), *matrices])
        table, places, counts = np.unique(stacked, axis=1, return_inverse=True, return_counts=True)
        ends = np.cumsum([len(matrix) for matrix in matrices])[:-1]
        held = None if groups is None else _rows_by_group(np.asarray(groups), places.ravel(), len(counts))
        return cls(table[0], tuple(np.split(table[1:], ends)), counts.astype(np.int64), classes, held)

    @property
    def units(self) -> int:
        """How many rows or groups are drawn independently of one another."""
        return int(self.counts.sum()) if self.groups is None else int(self.groups.shape[0])

    @property
    def size(self) -> int:
        """How many numbers a draw takes."""
        return max(len(self.counts), 0 if self.groups is None else self.units)

    @property
    def rows_by_class(self) -> Floats:
        """Rows of each class, [classes]."""
        rows: Floats = self.counts @ self.onehot
        return rows

    @property
    def units_by_class(self) -> Floats:
        """Units that have a row of each class, [classes]."""
        if self.groups is None:
            return self.rows_by_class
        held: Floats = (self.groups @ self.onehot > 0).sum(axis=0)
        return held

    @property
    def onehot(self) -> Floats:
        """Which class each pattern is of, [P, classes]."""
        return self.indicator(self.labels)

    def indicator(self, chosen: Ints) -> Floats:
        """Which class is chosen for each pattern, [P, classes]."""
        table: Floats = np.eye(self.classes)[chosen]
        return table

    def weighed(self, rng: np.random.Generator, draws: int, shapes: Floats) -> Floats:
        """Rows that each pattern stands for where units have random weights, [draws, P].

        A unit's weight is 1 in the mean and drawn from a gamma distribution of its class's shape, [classes]; of a group
        of several classes, of the mean over its rows.
        """
        own = shapes[self.labels]
        if self.groups is None:
            # the sum of so many gammas is one gamma
            return rng.standard_gamma(own * self.counts, size=(draws, len(self.counts))) / own
        of_groups = (self.groups @ own) / self.groups.sum(axis=1)
        return self._of_groups(rng.standard_gamma(of_groups, size=(draws, self.units)) / of_groups)

    def swapped(self, rng: np.random.Generator, draws: int) -> Floats:
        """Rows of each pattern that are swapped where every unit is with probability one half, [draws, P]."""
        if self.groups is None:
            return rng.binomial(self.counts, 0.5, size=(draws, len(self.counts))).astype(np.float64)
        return self._of_groups((rng.random((draws, self.units)) < 0.5).astype(np.float64))

    def counted(self, said: Ints, rows: Floats) -> Counts:
        """Counts by class of predictions [P] where each pattern stands for so many rows, [draws, P]."""
        hits = rows @ (self.onehot * (said == self.labels)[:, None])
        return Counts(hits, rows @ self.indicator(said), rows @ self.onehot)

    def _of_groups(self, weights: Floats) -> Floats:
        """Rows of each pattern, from the weight of each group, [draws, G]."""
        assert self.groups is not None
        rows: Floats = (self.groups.T @ weights.T).T
        return rows


def _rows_by_group(groups: npt.NDArray[Any], places: Ints, patterns: int) -> "csr_array[Any] | None":
    """Rows of each pattern in each group, [groups, patterns]; None where no group has two rows."""
    from scipy.sparse import csr_array

    names, numbers = np.unique(groups, return_inverse=True)
    if len(names) == len(groups):
        return None
    return csr_array((np.ones(len(groups)), (numbers.ravel(), places)), shape=(len(names), patterns))


def members(groups: npt.ArrayLike | None, rows: int) -> list[Ints]:
    """The places of the rows of each group [rows]; of each row alone where there are no groups."""
    order = np.arange(rows) if groups is None else np.argsort(groups, kind="stable")
    _, counts = (None, np.ones(rows, int)) if groups is None else np.unique(groups, return_counts=True)
    return np.split(order, np.cumsum(counts)[:-1])
