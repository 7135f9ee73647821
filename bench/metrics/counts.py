"""Scores that follow from how many rows of each class were hit, predicted and there.

Macro-F1 is the mean over the classes that the rows or the predictions hold, as scikit-learn's `f1_score` takes it where
no `labels` are given: a class of which these rows say nothing has no part in it, one that is never hit counts 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counts:
    """Rows by class, float [..., classes]: those that are `hits`, those `predicted`, and those that are of it.

    The leading axes are resamples, which every function below takes at once.
    """

    hits: Floats
    predicted: Floats
    support: Floats

    @classmethod
    def of(cls, confusion: Ints) -> "Counts":
        """From counts [label, prediction]."""
        table = confusion.astype(np.float64)
        return cls(np.diag(table), table.sum(0), table.sum(1))

    @classmethod
    def rows_of_sets(cls, truth: Ints, predicted: Ints) -> "Counts":
        """Each row's own, [rows, labels], from which labels it has, 0 or 1; those that nobody predicts come last."""
        there, said = truth > 0, predicted > 0
        said = np.pad(said, ((0, 0), (0, there.shape[1] - said.shape[1])))
        return cls(*(each.astype(np.float64) for each in (there & said, said, there)))

    @classmethod
    def of_sets(cls, truth: Ints, predicted: Ints) -> "Counts":
        """Of all rows, [labels], as `rows_of_sets` has them."""
        each = cls.rows_of_sets(truth, predicted)
        return cls(each.hits.sum(0), each.predicted.sum(0), each.support.sum(0))

    def __add__(self, other: "Counts") -> "Counts":
        """Of both sets of rows together."""
        return Counts(self.hits + other.hits, self.predicted + other.predicted, self.support + other.support)

    @property
    def f1(self) -> Floats:
        """F1 of each class, [..., classes]; 0 of one that is neither there nor predicted."""
        both = self.predicted + self.support
        return np.divide(2 * self.hits, both, out=np.zeros_like(self.hits), where=both > 0)


def accuracy(counts: Counts) -> Floats:
    """Share of rows that are right."""
    share: Floats = counts.hits.sum(-1) / counts.support.sum(-1)
    return share


def macro_f1(counts: Counts) -> Floats:
    """Mean F1 over the classes that have a row or are predicted."""
    held = (counts.support + counts.predicted) > 0
    mean: Floats = counts.f1.sum(-1) / held.sum(-1)
    return mean


def micro_f1(counts: Counts) -> Floats:
    """F1 over all pairs of a row and a label; 1 where none is there and none predicted."""
    both = (counts.predicted + counts.support).sum(-1)
    found: Floats = np.divide(2 * counts.hits.sum(-1), both, out=np.ones_like(both), where=both > 0)
    return found


def weighted_f1(counts: Counts) -> Floats:
    """Mean F1 over the rows: each class counts by its rows."""
    mean: Floats = (counts.f1 * counts.support).sum(-1) / counts.support.sum(-1)
    return mean


def balanced_accuracy(counts: Counts) -> Floats:
    """Mean recall over the classes that have a row."""
    there = counts.support > 0
    recall = np.divide(counts.hits, counts.support, out=np.zeros_like(counts.hits), where=there)
    mean: Floats = recall.sum(-1) / there.sum(-1)
    return mean


def matthews(counts: Counts) -> Floats:
    """Matthews' correlation coefficient for several classes (Gorodkin, 2004); 0 where a side has one class alone."""
    rows = counts.support.sum(-1)
    covariance = counts.hits.sum(-1) * rows - (counts.predicted * counts.support).sum(-1)
    variances = (rows**2 - (counts.predicted**2).sum(-1)) * (rows**2 - (counts.support**2).sum(-1))
    found: Floats = np.divide(covariance, np.sqrt(variances), out=np.zeros_like(variances), where=variances > 0)
    return found


def class_f1(index: int) -> Callable[[Counts], Floats]:
    """F1 of the class at `index` of the label list."""

    def one(counts: Counts) -> Floats:
        return counts.f1[..., index]

    return one


@dataclass(frozen=True, eq=False)
class Scores:
    """How predictions compare with labels.

    Attributes:
        accuracy: Share of rows that are right.
        macro_f1: Mean F1 over the classes that have a row or are predicted.
        f1: Per class of the label list.
        support: Rows per class.
        confusion: Counts, [label, prediction].
    """

    accuracy: float
    macro_f1: float
    f1: tuple[float, ...]
    support: tuple[int, ...]
    confusion: Ints


def score(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, classes: int) -> Scores:
    """Score predictions [n] against labels [n], both class indices below `classes`."""
    table = confusion(y_true, y_pred, classes)
    counts = Counts.of(table)
    support = tuple(table.sum(1).tolist())
    return Scores(float(accuracy(counts)), float(macro_f1(counts)), tuple(counts.f1.tolist()), support, table)


def confusion(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, classes: int) -> Ints:
    """Rows by label and prediction, int64 [label, prediction]; both are class indices [n] below `classes`."""
    labels, predictions = np.asarray(y_true, dtype=np.int64), np.asarray(y_pred, dtype=np.int64)
    cells = np.bincount(labels * classes + predictions, minlength=classes * classes)
    found: Ints = cells.reshape(classes, classes).astype(np.int64)
    return found
