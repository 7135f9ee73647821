"""Test sets whose truth is known: labels, and what classifiers of given recalls say of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

R8 = (0.291, 0.046, 0.518, 0.0075, 0.035, 0.038, 0.02, 0.0445)
"""Shares of its classes: the rarest has one row in 133."""
R8_RECALLS = (0.97, 0.9, 0.99, 0.6, 0.75, 0.8, 0.65, 0.9)


@dataclass(frozen=True)
class World:
    """Rows of classes in given shares; what is mistaken is so in proportion to the other classes' shares.

    Attributes:
        name: For tables.
        shares: Of the classes.
        recalls: Of a classifier, by class.
        rows: How many are drawn.
        group: Rows of a group; 70 % of them share one piece of luck.
        others: Recalls of a second classifier; those of the first by default.
    """

    name: str
    shares: tuple[float, ...]
    recalls: tuple[float, ...]
    rows: int
    group: int = 1
    others: tuple[float, ...] | None = None

    @property
    def classes(self) -> int:
        return len(self.shares)

    @property
    def prior(self) -> np.ndarray:
        return np.array(self.shares) / sum(self.shares)

    def confusion(self, recalls: tuple[float, ...] | None = None) -> np.ndarray:
        """How likely each class is said of a row of each, [label, prediction]."""
        right = np.array(recalls or self.recalls)
        table = np.tile(self.prior, (self.classes, 1))
        np.fill_diagonal(table, 0)
        table *= ((1 - right) / table.sum(1))[:, None]
        np.fill_diagonal(table, right)
        return table

    def f1(self, recalls: tuple[float, ...] | None = None) -> np.ndarray:
        """The true F1 of each class."""
        table = self.confusion(recalls)
        return 2 * self.prior * np.diag(table) / (self.prior @ table + self.prior)

    def accuracy(self, recalls: tuple[float, ...] | None = None) -> float:
        return float(self.prior @ np.diag(self.confusion(recalls)))

    def drawn(self, seed: int, seeds: int = 3) -> "Drawn":
        """A test set, and what two classifiers say of it under so many seeds; they agree on about two rows in three."""
        rng = np.random.default_rng(seed)
        labels = rng.choice(self.classes, self.rows, p=self.prior)
        groups = np.arange(self.rows) // self.group
        common = self._luck(rng, groups)

        def said(recalls: tuple[float, ...] | None, luck: np.ndarray) -> np.ndarray:
            bounds = np.cumsum(self.confusion(recalls), axis=1)[labels]
            found: np.ndarray = np.minimum((luck[:, None] > bounds).sum(1), self.classes - 1)
            return found

        def under_seeds(recalls: tuple[float, ...] | None, agreed: float) -> np.ndarray:
            own = np.where(rng.random(groups[-1] + 1)[groups] < agreed, common, self._luck(rng, groups))
            return np.stack(
                [said(recalls, np.where(rng.random(self.rows) < 0.9, own, rng.random(self.rows))) for _ in range(seeds)]
            )

        return Drawn(labels, groups, under_seeds(None, 1.0), under_seeds(self.others, 0.7))

    def _luck(self, rng: np.random.Generator, groups: np.ndarray) -> np.ndarray:
        """What decides about each row, uniform in 0 … 1."""
        alone, shared = rng.random(len(groups)), rng.random(groups.max() + 1)[groups]
        return alone if self.group == 1 else np.where(rng.random(len(groups)) < 0.7, shared, alone)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A test set: labels and groups [rows], and predictions of two classifiers, [seeds, rows]."""

    labels: np.ndarray
    groups: np.ndarray
    a: np.ndarray
    b: np.ndarray

    def held(self, *said: np.ndarray) -> np.ndarray:
        """The classes that rows or predictions hold."""
        return np.unique(np.concatenate([self.labels, *map(np.ravel, said)]))


WORLDS = (
    World("two classes, 600 rows", (1, 1), (0.8, 0.75), 600),
    World("two classes, 60 rows", (1, 1), (0.8, 0.75), 60),
    World("two classes, 60 rows, nearly all right", (1, 1), (0.97, 0.95), 60),
    World("three classes, 60 rows", (1, 1, 1), (0.7, 0.8, 0.6), 60),
    World("70/20/10, 50 rows", (7, 2, 1), (0.9, 0.7, 0.5), 50),
    World("R8, 600 rows", R8, R8_RECALLS, 600),
    World("R8, 200 rows", R8, R8_RECALLS, 200),
    World("two classes, 60 groups of 10", (1, 1), (0.8, 0.75), 600, group=10),
    World("70/20/10, 40 groups of 5", (7, 2, 1), (0.9, 0.7, 0.5), 200, group=5),
)


def other_profiles() -> Iterator[World]:
    """Pairs of equal macro-F1 of which each is the better one for other classes."""
    yield World("two classes, 200 rows", (1, 1), (0.9, 0.7), 200, others=(0.7, 0.9))
    yield _equalised(World("70/20/10, 300 rows", (7, 2, 1), (0.95, 0.6, 0.5), 300, others=(0.85, 0.75, 0.6)), 0)
    unlike = (0.97, 0.9, 0.99, 0.85, 0.75, 0.8, 0.8, 0.9)
    yield _equalised(World("R8, 600 rows", R8, R8_RECALLS, 600, others=unlike), 1)


def _equalised(world: World, place: int) -> World:
    """The second classifier's recall of one class set so that both have the same macro-F1."""
    from scipy.optimize import brentq

    def others(recall: float) -> tuple[float, ...]:
        assert world.others is not None
        return (*world.others[:place], recall, *world.others[place + 1 :])

    recall = brentq(lambda value: (world.f1(others(value)) - world.f1()).mean(), 0.0, 1.0)
    return replace(world, others=others(float(recall)))
