"""What bounds the scores on some rows: classes that these lack, labels that nobody can know, and how few rows decide.

A perfect candidate does not reach 1 where rows have a label that was in no row it was trained on. And where a class has
few rows, its F1, and with it macro-F1, hangs on each of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.datasets.dataset import Dataset
from bench.errors import counted, listed
from bench.evaluation.protocol import Fold, Protocol, folds, predicted_rows
from bench.measures import MEASURES, Measure, Predictions
from bench.metrics.counts import Ints
from bench.tasks import TASKS

MATTERS = 0.01
"""A row that moves a score by less decides nothing; see also `bench.gate.rule.MARGIN`."""


@dataclass(frozen=True)
class Limits:
    """What bounds scores on `rows` rows of `classes` classes.

    Attributes:
        side: ``"test"``, or ``"search"`` for the rows that the search scores.
        rows: How many there are.
        classes: Of how many classes they are.
        absent: Classes of the training rows of which there is no row here: scores say nothing of them.
        unknown: Classes of which rows are here that no candidate could know, as it was trained on none.
        unknown_rows: How many rows these are.
        ceiling: By the title of a measure, what a candidate reaches that is right wherever it can be.
        smallest: The class with the fewest rows.
        smallest_rows: How many.
        one_row: By the title of a measure, how far one row of the smallest class moves it at most.
    """

    side: str
    rows: int
    classes: int
    absent: tuple[str, ...]
    unknown: tuple[str, ...]
    unknown_rows: int
    ceiling: Mapping[str, float]
    smallest: str
    smallest_rows: int
    one_row: Mapping[str, float]

    @classmethod
    def of(
        cls,
        side: str,
        truth: Ints,
        known: npt.NDArray[np.bool_],
        labels: Sequence[str],
        trained: int,
        measures: Sequence[Measure],
    ) -> "Limits":
        """Of rows with these class indices, int [n].

        Args:
            side: As above.
            truth: Class indices, int [n].
            known: Whether what predicts the row was trained on its class, bool [n].
            labels: Names of all classes; those of training come first.
            trained: How many those are.
            measures: Counted ones.
        """
        names, support = tuple(labels), np.bincount(truth, minlength=len(labels))
        largest = int(np.bincount(truth[known], minlength=len(labels)).argmax())

        def values(predicted: Ints) -> dict[str, float]:
            said = Predictions(truth, predicted, names)
            return {each.title: said.value(each) for each in measures}

        best = np.where(known, truth, largest)
        there = np.flatnonzero(support)
        smallest = int(there[support[there].argmin()])
        own = np.flatnonzero(truth == smallest)
        other = largest if largest != smallest else int(there[there != smallest][0]) if len(there) > 1 else -1
        moved: dict[str, float] = {}
        if other >= 0:
            steps = [_wrong(truth, own[:count], other) for count in (0, 1, len(own) - 1, len(own))]
            scores = [values(each) for each in steps]
            moved = {
                title: max(abs(scores[a][title] - scores[b][title]) for a, b in ((0, 1), (2, 3))) for title in scores[0]
            }
        return cls(
            side=side,
            rows=len(truth),
            classes=len(there),
            absent=tuple(name for name, rows in zip(names[:trained], support, strict=False) if not rows),
            unknown=tuple(names[index] for index in np.unique(truth[~known])),
            unknown_rows=int((~known).sum()),
            ceiling=values(best),
            smallest=names[smallest],
            smallest_rows=int(support[smallest]),
            one_row=moved,
        )

    def words(self) -> list[str]:
        """What a reader of scores should know of it, a sentence each; none where nothing matters."""
        title, said = next(iter(self.ceiling)), []
        what = "test rows" if self.side == "test" else "rows that the search scores"
        if self.absent:
            said.append(
                f"The {what} have none of {counted(len(self.absent), 'class')}, of which their scores say nothing: "
                f"{listed(self.absent)}."
            )
        if self.unknown:
            most = " and ".join(f"{each} {value:.3f}" for each, value in self.ceiling.items())
            why = (
                "which training has not"
                if self.side == "test"
                else "all of which lie in one fold, so that nothing that predicts them was trained on one"
            )
            said.append(
                f"On the {what} nothing gets beyond {most}: {counted(self.unknown_rows, 'row')} of "
                f"{listed(self.unknown)}, {why}."
            )
        if self.one_row.get(title, 0.0) >= MATTERS:
            moves = " and ".join(f"{each} by {value:.3f}" for each, value in self.one_row.items())
            said.append(
                f"Of the {what} {self.smallest_rows} {'is' if self.smallest_rows == 1 else 'are'} of "
                f"'{self.smallest}', the smallest of {self.classes} classes: one of them moves {moves} at most."
            )
        return said

    def to_json(self) -> dict[str, Any]:
        """As JSON values; measures by name."""
        names = {each.title: name for name, each in MEASURES.items()}
        return {
            "rows": self.rows,
            "classes": self.classes,
            "classes_without_rows": list(self.absent),
            "unknown": {"classes": list(self.unknown), "rows": self.unknown_rows},
            "ceiling": {names[title]: value for title, value in self.ceiling.items()},
            "smallest_class": {"name": self.smallest, "rows": self.smallest_rows},
            "one_row_moves": {names[title]: value for title, value in self.one_row.items()},
        }


def _wrong(truth: Ints, rows: Ints, other: int) -> Ints:
    predicted = truth.copy()
    predicted[rows] = other
    return predicted


def limits(dataset: Dataset, protocol: Protocol) -> dict[str, Limits]:
    """Those of the rows that a search scores (the worst of its repetitions), and of the test rows, by side.

    None where labels are no classes.
    """
    task = TASKS[dataset.task]
    if not task.by_class:
        return {}
    names, trained = (*dataset.labels, *dataset.test_only_labels), len(dataset.labels)
    measures = [MEASURES[name] for name in task.measures]
    truth = dataset.test.labels
    test = Limits.of("test", truth, truth < trained, names, trained, measures)
    if protocol.name == "paper":
        return {"test": test}
    found = []
    for parts in _repetitions(dataset, protocol):
        rows = predicted_rows(parts)
        known = np.zeros(len(dataset.train), dtype=bool)
        for part in parts:
            known[part.predict] = np.isin(dataset.train.labels[part.predict], dataset.train.labels[part.train])
        truth = dataset.train.labels[rows]
        found.append(Limits.of("search", truth, known[rows], dataset.labels, trained, measures))
    return {"search": min(found, key=lambda each: next(iter(each.ceiling.values()))), "test": test}


def in_words(found: Mapping[str, Limits]) -> tuple[str, ...]:
    """What of the limits a reader of scores should know, a sentence each."""
    return tuple(sentence for each in found.values() for sentence in each.words())


def _repetitions(dataset: Dataset, protocol: Protocol) -> list[Sequence[Fold]]:
    """The folds of each repetition that may differ in what they bound; of one, where every class is in every fold."""
    train = dataset.train
    strata = TASKS[dataset.task].fold_strata(train.labels)
    pairs = np.unique(np.stack([train.labels, train.groups]), axis=1)
    spread = np.bincount(pairs[0]).min() >= protocol.folds
    seeds = protocol.search_seeds
    if spread and not protocol.uses_validation_split(len(train)):
        rows = np.arange(len(train))
        return [(Fold(rows, rows),)]
    return [folds(strata, train.groups, protocol, seed) for seed in seeds]
