"""The rows of a baseline, one by one and without their texts.

By them a check says which came and which went, and judges those that stayed.
"""

import string
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from bench.datasets.dataset import Dataset
from bench.datasets.sides import Sides, joined, parted
from bench.evaluation.protocol import Protocol, folds
from bench.gate.rule import RepeatedF1
from bench.measures import F1, Measure, Predictions
from bench.specs import Spec
from bench.tasks import TASKS

DIGITS = string.digits + string.ascii_letters


class PinnedRows(Spec):
    """Training rows that were scored, in order.

    Attributes:
        sides: All rows of the file, by the side that they were placed on.
        keys: What stands for each text, joined.
        labels: Names of the classes.
        truth: The class of each row, as `written` writes it.
        folds: By seed, the fold of each row.
    """

    sides: Sides
    keys: str
    labels: tuple[str, ...]
    truth: str
    folds: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset, protocol: Protocol) -> "PinnedRows | None":
        """None where the data set is no file of classes, which alone comes with rows that come and go."""
        task, train = TASKS[dataset.task], dataset.train
        if dataset.sides is None or not task.by_class:
            return None
        places = np.zeros((len(protocol.search_seeds), len(train)), dtype=np.int64)
        for own, seed in zip(places, protocol.search_seeds, strict=True):
            for place, fold in enumerate(folds(task.fold_strata(train.labels), train.groups, protocol, seed)):
                own[fold.predict] = place
        return cls(
            sides=dataset.sides,
            keys=joined(train.texts),
            labels=dataset.labels,
            truth=written(train.labels),
            folds=tuple(map(written, places)),
        )


def written(numbers: np.ndarray) -> str:
    """Whole numbers as a short text, two digits to the base 62 each: a line of a baseline."""
    return "".join(DIGITS[number // 62] + DIGITS[number % 62] for number in numbers.tolist())


def read_back(text: str) -> np.ndarray:
    """The numbers that `written` wrote, int64 [n]; ValueError where it did not."""
    places = np.array([DIGITS.index(sign) for sign in text], dtype=np.int64).reshape(-1, 2)
    numbers: np.ndarray = places[:, 0] * 62 + places[:, 1]
    return numbers


def stayed(then: PinnedRows, now: PinnedRows) -> tuple[np.ndarray, np.ndarray]:
    """Places of the rows that both have, in either: a text that stands twice is paired as often as both have it."""
    places: dict[bytes, deque[int]] = defaultdict(deque)
    for place, key in enumerate(parted(then.keys)):
        places[key].append(place)
    pairs = [(places[key].popleft(), place) for place, key in enumerate(parted(now.keys)) if places[key]]
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def labels_of(then: PinnedRows, now: PinnedRows) -> tuple[list[str], list[str]]:
    """The labels that the rows which stayed had, and those that they have."""
    old, new = stayed(then, now)
    before, after = read_back(then.truth)[old].tolist(), read_back(now.truth)[new].tolist()
    return [then.labels[each] for each in before], [now.labels[each] for each in after]


def renamed(then: PinnedRows, now: PinnedRows) -> dict[str, str]:
    """Classes that have another name, by the old: all rows of one that stayed have the other, which none had before."""
    moves = set(zip(*labels_of(then, now), strict=True))
    return {
        old: new
        for old, new in sorted(moves)
        if old not in now.labels
        and new not in then.labels
        and sum(old == before or new == after for before, after in moves) == 1
    }


def relabelled(then: PinnedRows, now: PinnedRows) -> list[str]:
    """What the rows are called that stayed, but are of another class; of one that has another name they are not."""
    called = {key: then.sides.name("train", place) for place, key in enumerate(then.sides.keys("train"))}
    keys, same = parted(then.keys), renamed(then, now)
    return [
        called[keys[place]]
        for place, one, other in zip(stayed(then, now)[0].tolist(), *labels_of(then, now), strict=True)
        if same.get(one, one) != other
    ]


Score = Callable[[Predictions], float]


def score_by(measure: Measure, classes: Literal["all", "held"]) -> Score:
    """Scores by a measure; macro-F1 over all classes that are named, or over those that rows or predictions hold."""

    def score(said: Predictions) -> float:
        return float(np.mean(said.scores.f1)) if classes == "all" and measure == F1 else measure.compute(said)

    return score


def on_stayed(
    then: PinnedRows, now: PinnedRows, before: Sequence[str], after: Sequence[str], score: Score
) -> tuple[RepeatedF1, RepeatedF1]:
    """What was predicted by seed `before` and `after`, scored on the rows that stayed, with their labels of now.

    They are cut into the folds of now, the same rows on either side. A class that was `renamed` is the same.
    """
    old, new = stayed(then, now)
    called = renamed(then, now)
    before_names = [called.get(name, name) for name in then.labels]
    names = (*now.labels, *(name for name in before_names if name not in now.labels))
    to_now = np.array([names.index(name) for name in before_names])
    truth = read_back(now.truth)[new]
    sides: tuple[list[float], list[float]] = ([], [])
    parts: tuple[list[list[float]], list[list[float]]] = ([], [])
    for seed, (one, other) in enumerate(zip(before, after, strict=True)):
        fold = read_back(now.folds[seed])[new]
        for side, said in enumerate((to_now[read_back(one)[old]], read_back(other)[new])):
            whole = Predictions(truth, said, names)
            sides[side].append(score(whole))
            parts[side].append([score(whole.at(np.flatnonzero(fold == k))) for k in np.unique(fold)])
    return RepeatedF1(sides[0], parts[0]), RepeatedF1(sides[1], parts[1])
