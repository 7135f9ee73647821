"""What a package is worth on labelled rows that came after its search, and what about them has changed since."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.checks import clean, require_known_labels
from bench.datasets.columns import Columns, Rows, rows_of
from bench.datasets.spellings import fold
from bench.datasets.splits import group_rows
from bench.datasets.tables import Hints, read_table
from bench.errors import BenchError, counted
from bench.evaluation.sureness import error_of
from bench.measures import MEASURES, Predictions
from bench.metrics import Interval, difference_of
from bench.packaging.classifier import Classifier
from bench.packaging.drift import Counted, Drift, drifted
from bench.packaging.pipeline import PackagedPipeline
from bench.packaging.remembered import Remembered, f1_by_class, scores_of
from bench.packaging.sure import Ruled, Sure, how_sure, under_rule
from bench.progress import Progress
from bench.tasks import TASKS

TOGETHER = 1024
"""Texts that are answered at a time."""


@dataclass(frozen=True)
class ClassScore:
    """One label: its rows, its F1, and what both were; `change` is by the search's test set, None where unknown."""

    label: str
    rows: int
    f1: Interval
    trained: int | None
    before: Interval | None
    change: Interval | None


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Labelled rows under a package.

    Attributes:
        pipeline: The package's description.
        file: The name of what was evaluated.
        rows: How many rows were.
        scores: By measure, with 95% intervals over rows.
        changes: The same minus those on the search's test set, with 95% intervals; none of an earlier bench's package.
        classes: By label, those of the package first.
        labels: Of `confusion`: the package's, then those that it does not know.
        confusion: Rows, int [label, answer].
        drift: Of inputs, confidence, labels and answers; empty for an earlier bench's package.
        notes: What a reader should know about the rows, a sentence each.
        least: By measure, what was asked of it: of the answered rows where others are rejected.
        sure: How sure the package may be; None where it has no probabilities.
        answered: What is answered under another rule; None where that is the likeliest label, whatever the text.
    """

    pipeline: PackagedPipeline
    file: str
    rows: int
    scores: Mapping[str, Interval]
    changes: Mapping[str, Interval]
    classes: tuple[ClassScore, ...]
    labels: tuple[str, ...]
    confusion: np.ndarray
    drift: tuple[Drift, ...]
    notes: tuple[str, ...]
    least: Mapping[str, float]
    sure: Sure | None = None
    answered: Ruled | None = None

    @property
    def judged(self) -> Mapping[str, Interval]:
        """The scores of whatever is answered."""
        return self.scores if self.answered is None else self.answered.scores

    @property
    def titles(self) -> tuple[str, ...]:
        """What the scores are called."""
        return tuple(MEASURES[name].title for name in self.scores)

    @property
    def missed(self) -> tuple[str, ...]:
        """What is less than was asked, a sentence each."""
        rows, judged = self.rows if self.answered is None else self.answered.rows, self.judged
        if self.least and not rows:
            return ("no row is answered",)
        return tuple(
            f"{MEASURES[name].title} is {judged[name].value:.4f}, less than the {least:g} that was asked"
            + (
                f"; {counted(rows, 'row')} do not rule {least:g} out "
                f"(95% {judged[name].low:.3f} to {judged[name].high:.3f})"
                if judged[name].high >= least
                else ""
            )
            for name, least in self.least.items()
            if judged[name].value < least
        )

    @property
    def passed(self) -> bool:
        """Whether nothing is less than was asked."""
        return not self.missed

    def to_json(self) -> dict[str, Any]:
        """The evaluation as JSON values."""
        return {
            "study": self.pipeline.study,
            "trial": self.pipeline.trial,
            "cascade": self.pipeline.cascade,
            "file": self.file,
            "rows": self.rows,
            "scores": {name: asdict(each) for name, each in self.scores.items()},
            "changes": {name: asdict(each) for name, each in self.changes.items()},
            "classes": [asdict(each) for each in self.classes],
            "labels": list(self.labels),
            "confusion": self.confusion.tolist(),
            "drift": [asdict(each) | {"shifted": each.shifted} for each in self.drift],
            "notes": list(self.notes),
            "calibration": None if self.sure is None else self.sure.errors.model_dump(),
            "thresholds": [] if self.sure is None else [each.to_json() for each in self.sure.thresholds],
            "answered": None if self.answered is None else asdict(self.answered),
            "asked": dict(self.least),
            "passed": self.passed,
            "missed": list(self.missed),
        }


def labelled(file: Path, columns: Columns, hints: Hints) -> Rows:
    """The rows of a file as a search reads them.

    Raises:
        BenchError: it cannot be read, lacks a column, or a row has no label.
    """
    return rows_of(read_table(file, columns.wanted, hints=hints), file.name, columns)


def _spelled(rows: Rows, pipeline: PackagedPipeline, title: str) -> tuple[Rows, tuple[str, ...]]:
    """Rows cleaned, with labels spelled as the package's; and what is odd about them."""
    cleaned = clean(rows, title, pipeline.strip)
    if not TASKS[pipeline.task].by_class:
        return cleaned.rows, (*rows.notes, *cleaned.warnings)
    count = len(pipeline.labels)
    known = Rows([""] * count, [""] * count, list(pipeline.labels), [None] * count)
    (spelled, found), alike = fold([known, cleaned.rows])
    back = dict(zip(spelled.labels, pipeline.labels, strict=True))
    labels = [back.get(label, label) for label in found.labels]
    notes = [*rows.notes, *cleaned.warnings, *alike]
    few = {} if pipeline.remembered is None else pipeline.remembered.rare
    kept = [row for row, label in enumerate(labels) if few.get(label, label) is not None]
    if not kept:
        raise BenchError(f"All rows of {title} are of classes that the search left out as rare.")
    if len(kept) < len(labels):
        notes.append(
            f"{counted(len(labels) - len(kept), 'row')} of classes that the search left out as rare, left out."
        )
    return replace(found, labels=[few.get(label) or label for label in labels]).take(kept), tuple(notes)


def evaluate(
    classifier: Classifier,
    rows: Rows,
    title: str,
    least: Mapping[str, float],
    progress: Progress,
) -> Evaluated:
    """Classify labelled rows and hold the answers against their labels, and against what the package remembers.

    Args:
        classifier: An open package.
        rows: With written labels.
        title: What the rows are called.
        least: What is asked, by measure.
        progress: Told how far it is.

    Raises:
        BenchError: the package does not answer with classes, no label is known to it, or a measure is not known.
    """
    pipeline, task = classifier.pipeline, classifier.task.ordered(classifier.pipeline.labels)
    if not (task.by_class or task.by_label):
        raise BenchError(f"The package's labels are for {pipeline.task}: classes alone can be evaluated.")
    rows, notes = _spelled(rows, pipeline, title)
    unseen = task.labels(rows.labels, pipeline.labels)
    require_known_labels(pipeline.labels, unseen, task.labels(rows.labels, ()), ordered=task.in_order is not None)
    labels = (*pipeline.labels, *unseen)
    scores, distances = _answered(classifier, rows.texts, title, progress)
    truth = task.numbers(rows.labels, labels)
    with np.errstate(divide="ignore"):
        heads, logs = np.log(scores), np.log(pipeline.calibrated(scores))
    said = Predictions(truth, task.decided(scores, pipeline.labels), labels, logs, group_rows(rows.texts, rows.groups))
    reference = pipeline.remembered
    names = dict.fromkeys((*task.measures, *(() if reference is None else reference.scores)))
    found = scores_of(said, [MEASURES[name] for name in names], 0)
    told = [*notes]
    if unseen:
        rare = sum(bool(task.labels([written], pipeline.labels)) for written in rows.labels)
        told.append(f"{counted(rare, 'row')} with a label that the package does not know: {', '.join(unseen)}.")
    if reference is None:
        told.append("The package was written by an earlier bench: export it again to see changes and drift.")
    support = np.array(task.names_rows(truth, len(labels)))
    thresholds = () if pipeline.sureness is None else pipeline.sureness.thresholds
    return Evaluated(
        pipeline=pipeline,
        file=title,
        rows=len(rows),
        scores=found,
        changes={} if reference is None else _changes(found, reference.scores),
        classes=tuple(_classes(said, support, reference, len(pipeline.labels))),
        labels=labels,
        confusion=said.scores.confusion if task.by_class else np.zeros((0, 0), np.int64),
        drift=() if reference is None else drifted(reference, rows.texts, said, distances, support),
        notes=tuple(told),
        least=dict(least),
        sure=how_sure(said, error_of([replace(said, log_probabilities=heads)]), thresholds) if task.by_class else None,
        answered=None
        if classifier.rule.plain
        else under_rule(said, classifier.rule, labels, [MEASURES[name] for name in task.measures]),
    )


def _answered(
    classifier: Classifier, texts: Sequence[str], title: str, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Scores [texts, labels] and distances [texts]."""
    scores, distances = [], []
    with progress.task(f"evaluate {title}", len(texts), "texts") as task:
        for start in range(0, len(texts), TOGETHER):
            said = classifier.predict(texts[start : start + TOGETHER])
            scores.append(said.probabilities)
            distances.append(said.distances)
            task.advance(len(said.labels))
    return np.concatenate(scores), np.concatenate(distances)


def _changes(now: Mapping[str, Interval], before: Mapping[str, Interval]) -> dict[str, Interval]:
    return {name: difference_of(each, before[name]) for name, each in now.items() if name in before}


def _classes(said: Predictions, support: Counted, reference: Remembered | None, known: int) -> Iterator[ClassScore]:
    for place, (label, f1) in enumerate(zip(said.labels, f1_by_class(said, len(said.labels), 0), strict=True)):
        before = reference.by_class[place] if reference is not None and place < known else None
        trained = reference.classes[place] if reference is not None and place < known else None
        change = None if before is None else difference_of(f1, before)
        yield ClassScore(label, int(support[place]), f1, trained, before, change)
