"""What the engine asks of a kind of labels.

A row's target has two forms. Its *written form* is a string, such as the name of a class: it is what files hold, what
fingerprints are made of, and what people are shown. Its *number* is what heads are trained on and what measures read:
an entry of an array whose first axis is the rows, such as the index of a class. All that lies between the two, and all
that follows from it, is the task's; nothing else in the project knows what kind of labels it works on.

A task is composed of functions, so that another one can take those of the first that serve it too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from bench.errors import BenchError
from bench.measures import MEASURES, Measure
from bench.registry import Registry
from bench.specs import HeadSettings

Written = Sequence[str]
Labels = Sequence[str]
"""The names that numbers are indices of, such as the label list; empty where a task names nothing."""


Column = Literal["text", "number", "whole number", "yes or no", "numbers by name"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One kind of labels.

    Attributes:
        name: What a data set's request says.
        read: From a value of a label column that is not missing, and the names of its integer classes where the file
            states them, to its written form. Raises ValueError with a clause on what is wrong.
        refuse: Raises BenchError where nothing can be learnt from training rows with these written forms, of the data
            set of that name.
        labels: The names that occur in written forms and are not among those already known, in their order.
        numbers: The numbers of written forms, [rows, …], by the names; −1 where a name is not among them.
        written: The written forms of numbers, by the names.
        strata: One stratum a row, of written forms: sides and subsets keep the strata's shares.
        fold_strata: One stratum a row, of numbers, int [rows], or of several strata which ones it is in, 0 or 1
            [rows, strata]: folds keep the strata's shares.
        fold_warnings: Sentences on what so many folds cannot do with these numbers, by the names, of the data set of
            that name. Raises BenchError where nothing can be learnt in them.
        outputs: How many outputs a head has, by the names.
        link: How a head's outputs become its scores, by its name in `bench.heads.pipeline`: class probabilities, say.
        decide: From a head's scores, float32 [rows, outputs], to the numbers that it predicts, [rows, …] (`decided`).
        head: What a candidate that nobody searched is trained with. A kind of head says itself which tasks it serves.
        text_baselines: What any pipeline has to beat, by their names in `bench.evaluation.baselines`.
        text_classifiers: Pipelines without a language model that are candidates as any other, by their names there.
        measures: Names of the measures that are kept of every candidate. The first one is what intervals, paired tests
            and checks are about, all of which resample rows; more of it is better, and 0.01 of it matter to a check.
        by_class: Whether a number is one class, so that confusions and scores of each class can be shown.
        by_label: Whether a number says of each of the names whether it is there, 0 or 1: each has scores of its own.
        reading: From the sign between a row's labels that was asked for, and all values of a label column, to what
            reads one in place of `read`; None where `read` does.
        like: The task whose heads, measures and screening serve it too, as its numbers are of the same kind.
        apart: By the names, how far apart each two are, float64 [names, names]: what is predicted is then the name that
            is least far off in expectation, in place of what `decide` says.
        in_order: From the names in an order that was given to what finds `labels` in it, and raises BenchError of
            others; None where their order means nothing.
        ranks: Whether no head is trained, and representations alone are ranked: the rows that are asked about are held
            against each other, and there are no folds. No label has a part in what is predicted.
        judged: From what is predicted of rows, their numbers and their groups, to what measures read in its place; None
            where that is what is predicted.
        predicted: How that is written in files, a value a row; None where it is a number of the task.
        columns: What is said of a text, by column.
        say: Those columns, a mapping a text, from a head's scores and the names; numbers are float32.
    """

    name: str
    read: Callable[[Any, Labels | None], str]
    refuse: Callable[[Written, str], None]
    labels: Callable[[Written, Labels], tuple[str, ...]]
    numbers: Callable[[Written, Labels], np.ndarray]
    written: Callable[[np.ndarray, Labels], list[str]]
    strata: Callable[[Written], Written]
    fold_strata: Callable[[np.ndarray], np.ndarray]
    fold_warnings: Callable[[np.ndarray, Labels, int, str], tuple[str, ...]]
    outputs: Callable[[Labels], int]
    link: str
    decide: Callable[[np.ndarray], np.ndarray]
    head: HeadSettings
    text_baselines: tuple[str, ...]
    measures: tuple[str, ...]
    by_class: bool
    columns: Mapping[str, Column]
    say: Callable[[np.ndarray, Labels], list[dict[str, Any]]]
    text_classifiers: tuple[str, ...] = ()
    by_label: bool = False
    ranks: bool = False
    judged: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None = None
    predicted: Callable[[np.ndarray], list[Any]] | None = None
    reading: Callable[[str | None, Sequence[Any]], Callable[[Any, Labels | None], str]] | None = None
    like: str = ""
    apart: Callable[[Labels], np.ndarray] | None = None
    in_order: Callable[[Labels], Callable[[Written, Labels], tuple[str, ...]]] | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Its name, and that of the task that it is like."""
        return (self.name, self.like) if self.like else (self.name,)

    def decided(self, scores: np.ndarray, names: Labels) -> np.ndarray:
        """The numbers that a head's scores predict, [rows, …], by the names.

        Where names are more or less far `apart`, it is the one whose expected distance from the truth is least (Elkan,
        The Foundations of Cost-Sensitive Learning, IJCAI 2001, equation 1); the first of equal ones.
        """
        if self.apart is None:
            return self.decide(scores)
        expected = scores.astype(np.float64) @ self.apart(names)
        # what is equal stays so when sums are rounded
        found: np.ndarray = (expected <= expected.min(axis=1, keepdims=True) + 1e-9).argmax(axis=1)
        return found

    def ordered(self, order: Labels | None) -> "Task":
        """The same with names in that order, where it means something and is given."""
        return self if self.in_order is None or not order else replace(self, labels=self.in_order(order))

    def names_rows(self, numbers: np.ndarray, names: int) -> list[int]:
        """How many rows have each of so many names; none where numbers name nothing."""
        if self.by_label:
            found: list[int] = (numbers > 0).sum(0).tolist()
            return found[:names]
        return np.bincount(numbers, minlength=names).tolist() if self.by_class else []

    @property
    def measure(self) -> Measure:
        """The first of its measures."""
        return MEASURES[self.measures[0]]


def require_trained(task: str, what: str) -> None:
    """Raise BenchError where a task trains no head, which `what` needs."""
    if TASKS[task].ranks:
        raise BenchError(
            f"{what} needs a trained head, and {task} trains none: its candidates are representations. Search the same "
            "rows with the task 'classification', or keep the hidden states (`bench store export`)."
        )


TASKS: Registry[Task] = Registry("task", pluggable=True)
