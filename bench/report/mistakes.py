"""What the chosen candidate gets wrong on the test set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bench.figures import Figure, data
from bench.metrics import Counts, Interval, f1_intervals
from bench.report.scores import reference
from bench.study.cascades import Selected
from bench.study.study import Study
from bench.tasks import TASKS
from bench.views import plain

EXCERPT, EXAMPLES, PAIRS = 280, 15, 12
"""Characters of an example, how many examples, and how many pairs of classes a report shows."""
MOST_CLASSES, MOST_NUMBERED = 40, 16
"""How many classes a confusion matrix shows, and up to how many its cells hold their numbers."""


@dataclass(frozen=True)
class Example:
    """A test row that the chosen candidate gets wrong, in how many seeds, and the best single model in how many.

    `text` is None in a study that keeps texts out.
    """

    id: str
    label: str
    predicted: str
    wrong: int
    seeds: int
    single_wrong: int | None
    text: str | None


@dataclass(frozen=True)
class Pair:
    """Rows of one class that are taken for another: their mean number over seeds, of how many."""

    label: str
    predicted: str
    rows: float
    of: int


def confusion(study: Study, chosen: Selected) -> np.ndarray:
    """Mean number of test rows over seeds, float [label, predicted], over all classes."""
    matrices = [each.scores.confusion for each in study.scored(chosen, "confirm").repetitions]
    return np.asarray(np.mean(matrices, axis=0))


@dataclass(frozen=True)
class LabelRow:
    """One label of rows that may have several: on the test set, in the mean over seeds; F1 with its 95% interval."""

    name: str
    train: int
    test: int
    precision: float
    recall: float
    f1: Interval


def label_rows(study: Study, chosen: Selected) -> list[LabelRow]:
    """Each label, the most frequent first."""
    dataset, names = study.scorer.dataset, class_names(study)
    said = study.scored(chosen, "confirm").predictions
    counts = [Counts.of_sets(each.truth, each.predicted) for each in said]
    task = TASKS[dataset.task]
    train = np.pad(task.names_rows(dataset.train.labels, len(names)), (0, len(names)))[: len(names)]

    def mean(part: str) -> np.ndarray:
        return np.asarray(
            np.mean([each.hits / np.maximum(1, getattr(each, part)) for each in counts], axis=0), dtype=np.float64
        )

    predicted = np.stack([each.predicted for each in said])
    f1 = f1_intervals(said[0].truth, predicted, said[0].groups, seed=study.scorer.protocol.seed)
    columns = zip(names, train, counts[0].support, mean("predicted"), mean("support"), f1, strict=True)
    rows = [
        LabelRow(name, int(known), int(test), float(precision), float(recall), each)
        for name, known, test, precision, recall, each in columns
    ]
    return sorted(rows, key=lambda row: -row.train)


def class_names(study: Study) -> tuple[str, ...]:
    """All classes, in the order of a confusion matrix."""
    dataset = study.scorer.dataset
    return (*dataset.labels, *dataset.test_only_labels)


def pairs(matrix: np.ndarray, names: Sequence[str]) -> list[Pair]:
    """The pairs of classes that are confused most."""
    errors = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-errors, axis=None, kind="stable")[:PAIRS]
    cells = [divmod(int(index), len(names)) for index in order]
    return [
        Pair(names[label], names[predicted], float(errors[label, predicted]), round(float(matrix[label].sum())))
        for label, predicted in cells
        if errors[label, predicted] > 0
    ]


def examples(study: Study, chosen: Selected, matrix: np.ndarray | None) -> list[Example]:
    """The test rows that are wrong under most seeds; among equals those of the pairs that are confused most.

    Of several labels a row, those with most wrong labels.
    """
    test, names = study.scorer.dataset.test, class_names(study)
    if TASKS[study.scorer.dataset.task].by_label:
        return _wrong_sets(study, chosen)
    assert matrix is not None, "of classes"
    predicted = study.scored(chosen, "confirm").predicted
    wrong = (predicted != test.labels).sum(axis=0)
    single = reference(study)
    single_wrong = None if single is None else (single.confirmed.predicted != test.labels).sum(axis=0)
    taken = np.array(
        [_most_frequent_error(column, truth) for column, truth in zip(predicted.T, test.labels, strict=True)]
    )
    order = np.lexsort((-matrix[test.labels, taken], -wrong))
    return [
        Example(
            id=test.ids[row],
            label=names[test.labels[row]],
            predicted=names[taken[row]],
            wrong=int(wrong[row]),
            seeds=len(predicted),
            single_wrong=None if single_wrong is None else int(single_wrong[row]),
            text=None if study.request.dataset.no_texts else excerpt(plain(test.texts[row])),
        )
        for row in order[:EXAMPLES]
        if wrong[row]
    ]


def _wrong_sets(study: Study, chosen: Selected) -> list[Example]:
    dataset, names, single = study.scorer.dataset, class_names(study), reference(study)
    test, task = dataset.test, TASKS[dataset.task]
    truth = test.labels

    def missed(predicted: np.ndarray) -> np.ndarray:
        """Wrong labels of each row, [seeds, rows]; nobody says the labels that training lacks."""
        beyond = np.zeros((*predicted.shape[:2], truth.shape[1] - predicted.shape[2]), predicted.dtype)
        return np.asarray((np.concatenate([predicted, beyond], 2) != truth).sum(2))

    predicted = study.scored(chosen, "confirm").predicted
    labels = missed(predicted)
    alone = None if single is None else (missed(single.confirmed.predicted) > 0).sum(0)
    said = task.written(predicted[0], names)
    true = task.written(truth, names)
    return [
        Example(
            id=test.ids[row],
            label=true[row],
            predicted=said[row],
            wrong=int((labels[:, row] > 0).sum()),
            seeds=len(predicted),
            single_wrong=None if alone is None else int(alone[row]),
            text=None if study.request.dataset.no_texts else excerpt(plain(test.texts[row])),
        )
        for row in np.argsort(-labels.sum(0), kind="stable")[:EXAMPLES]
        if labels[:, row].any()
    ]


def _most_frequent_error(predicted: np.ndarray, truth: int) -> int:
    errors = predicted[predicted != truth]
    return int(truth) if not len(errors) else int(np.bincount(errors).argmax())


def excerpt(text: str) -> str:
    """The beginning of a text, its white space made plain."""
    words = " ".join(text.split())
    return words if len(words) <= EXCERPT else words[: EXCERPT - 1] + "…"


def confusion_chart(matrix: np.ndarray, names: Sequence[str], words: str) -> Figure:
    """Shares of each class's test rows by predicted class; `matrix` holds mean rows, [label, predicted]."""
    import altair as alt

    shown = _most_confused(matrix)
    left_out = len(names) - len(shown)
    support = matrix.sum(axis=1)
    rows = [
        {
            "label": names[true],
            "predicted": names[predicted],
            "rows": matrix[true, predicted],
            "share": matrix[true, predicted] / support[true],
            "right": true == predicted,
        }
        for true in shown
        if support[true]
        for predicted in shown
        if matrix[true, predicted]
    ]
    order = [names[index] for index in shown]
    base = alt.Chart(data(rows)).encode(
        x=alt.X("predicted:N", title="predicted class", sort=order, axis=alt.Axis(labelAngle=-45, labelLimit=120)),
        y=alt.Y("label:N", title="true class", sort=order, axis=alt.Axis(labelLimit=160)),
        tooltip=[
            alt.Tooltip("label:N", title="true"),
            "predicted:N",
            alt.Tooltip("rows:Q", title="rows (mean over seeds)", format=".1f"),
            alt.Tooltip("share:Q", title="share of the class", format=".1%"),
        ],
    )
    layers = [
        _cells(base, "datum.right", "blues", "right (share of class)"),
        _cells(base, "!datum.right", "oranges", "wrong (share of class)"),
    ]
    if len(shown) <= MOST_NUMBERED:
        layers.append(
            base.mark_text(fontSize=11).encode(
                text=alt.Text("rows:Q", format=".3~g"),
                color=alt.condition("datum.share > 0.6", alt.value("white"), alt.value("#222222")),
            )
        )
    chart = alt.layer(*layers).resolve_scale(color="independent")
    note = f" The {left_out} classes with the fewest errors are left out." if left_out else ""
    return Figure(
        name="confusion",
        title="What is taken for what",
        subtitle=words,
        caption=f"Rows are true classes, columns predicted ones; numbers are test rows in the mean over seeds.{note}",
        chart=chart.properties(height=max(120, (26 if len(shown) <= MOST_NUMBERED else 13) * len(shown))),
        width=max(240, min(640, 48 * len(shown))),
    )


def _cells(base: Any, which: str, scheme: Literal["blues", "oranges"], title: str) -> Any:
    import altair as alt

    legend = alt.Legend(title=title, format="%", gradientLength=100)
    scale = alt.Scale(scheme=scheme, domain=[0, 1])
    return base.transform_filter(which).mark_rect().encode(color=alt.Color("share:Q", scale=scale, legend=legend))


def _most_confused(matrix: np.ndarray) -> list[int]:
    """Indices of the classes to show, in their order: all, or those with most errors in their row or column."""
    if len(matrix) <= MOST_CLASSES:
        return list(range(len(matrix)))
    errors = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * np.diag(matrix)
    return sorted(int(index) for index in np.argsort(-errors, kind="stable")[:MOST_CLASSES])
