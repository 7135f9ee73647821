"""Predictions from outside, such as a fine-tuned model's or a prompted language model's, beside a study's candidates.

A file has a row a text: its `id` as the study's own predictions have it, the predicted `label` or a score of each class
(`scores.LABEL` or `probabilities.LABEL`, as `bench predict` writes them), and the milliseconds that it took (`ms`). All
test rows must be there. Training rows may be too, predicted out of fold: then there are scores as the search has them,
and the entry may stand on the front. It has predictions and nothing to export.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.cost import TextCost
from bench.datasets.dataset import Dataset, Split
from bench.datasets.tables import read_table
from bench.datasets.tables.table import Table
from bench.errors import BenchError, counted, listed, nearest
from bench.evaluation.outcome import Outcome, ScoreKind
from bench.evaluation.scoring import Scorer
from bench.specs import TextCandidate
from bench.tasks import TASKS

SCORES = ("scores.", "probabilities.")
DIGITS = 12


@dataclass(frozen=True, eq=False)
class Outside:
    """What a file says: predictions of all test rows, those of all training rows or None, and what they cost."""

    candidate: TextCandidate
    cost: TextCost
    test: Outcome
    train: Outcome | None

    def remember(self, scorer: Scorer) -> None:
        """Keep the predictions where the scorer finds answers, so that the file is not needed again."""
        cache = scorer.evaluator.cache
        for ask in scorer.asks(self.candidate, "confirm"):
            cache.put(ask, self.test)
        for ask in scorer.asks(self.candidate, "search"):
            if ask.test is not None:
                cache.put(ask, self.test)
            elif self.train is not None:
                rows = scorer.evaluator.predicted(ask)
                cache.put(ask, self.train.at(rows, ()))


def read(given: Sequence[str], dataset: Dataset, taken: Collection[str]) -> list[Outside]:
    """What `NAME=FILE` says, each.

    Args:
        given: By the user.
        dataset: The rows that files speak of.
        taken: Names that mean something else in a study.

    Raises:
        BenchError: a name or a file cannot be used; the message says which and why.
    """
    found: dict[str, Outside] = {}
    for each in given:
        name, separator, file = each.partition("=")
        if not separator or not file or not re.fullmatch(r"[A-Za-z][\w.-]*", name):
            raise BenchError(
                f"`against` takes NAME=FILE, with a NAME of letters, digits and . - _ that begins with a letter, and "
                f"not '{each}'."
            )
        if name in taken or name in found or re.fullmatch(r"(cascade|trial)-\d+", name):
            raise BenchError(f"'{name}' means something else in a study: give the predictions of {file} another name.")
        found[name] = _read(name, Path(file).expanduser(), dataset)
    return list(found.values())


def _read(name: str, path: Path, dataset: Dataset) -> Outside:
    if not TASKS[dataset.task].by_class:
        raise BenchError(f"Predictions from outside are labels of classes, and {dataset.name} is for {dataset.task}.")
    if not path.is_file():
        raise BenchError(f"There is no file {path} with the predictions of '{name}'.")
    columns = [prefix + label for prefix in SCORES for label in dataset.labels]
    table = read_table(path, {"id", "label", "ms", *columns})
    for column in ("id", "ms"):
        if column not in table.columns:
            raise BenchError(
                f"{table.file} has no column '{column}' ({nearest(column, table.names)}): predictions have a row's id, "
                "its label or its scores, and the ms that it took."
            )
    place: dict[str, int] = {}
    for row, value in enumerate(table.columns["id"]):
        if place.setdefault(str(value), row) != row:
            raise BenchError(f"{table.where(row)}: the id '{value}' was there before.")
    ms = _numbers(table, "ms")
    predicted, scores, kind = _said(table, dataset)
    test = _of_side(dataset.test, place, predicted, scores, kind)
    if isinstance(test, list):
        raise BenchError(f"{table.file} lacks {counted(len(test), 'test row')} of {dataset.name}: {listed(test)}.")
    train = _of_side(dataset.train, place, predicted, scores, kind)
    if isinstance(train, list) and len(train) < len(dataset.train):
        raise BenchError(
            f"{table.file} has some training rows and lacks {counted(len(train), 'other')}: {listed(train)}. Give all, "
            "predicted out of fold, or none."
        )
    rows = [place[each] for each in dataset.test.ids]
    digest = hashlib.sha256(table.sha256.encode() + dataset.fingerprint.encode()).hexdigest()[:DIGITS]
    cost = TextCost(
        classifier=name,
        texts=len(rows),
        repeats=1,
        layer_ms=(float(ms[rows].mean()),),
        p50_ms=float(np.quantile(ms[rows], 0.5)),
        p95_ms=float(np.quantile(ms[rows], 0.95)),
        peak_memory_gb=0.0,
    )
    candidate = TextCandidate(classifier=name, outside=digest)
    return Outside(candidate, cost, test, None if isinstance(train, list) else train)


def _said(table: Table, dataset: Dataset) -> tuple[np.ndarray, np.ndarray, ScoreKind]:
    """Classes int64 [rows], scores float32 [rows, classes] and what they are: log-probabilities where they sum to 1."""
    index = {label: number for number, label in enumerate(dataset.labels)}
    for prefix in SCORES:
        there = [prefix + label for label in dataset.labels if prefix + label in table.columns]
        if not there:
            continue
        if len(there) < len(index):
            missing = [label for label in dataset.labels if prefix + label not in table.columns]
            raise BenchError(f"{table.file} has scores, and none of {listed(missing)}.")
        values = np.stack([_numbers(table, name) for name in there], axis=1)
        if (values >= 0).all() and np.allclose(values.sum(1), 1, atol=1e-3):
            with np.errstate(divide="ignore"):
                decided = TASKS[dataset.task].decided(values, dataset.labels)
                return decided, np.log(values).astype(np.float32), "log-probability"
        return values.argmax(1), values.astype(np.float32), "decision"
    if "label" not in table.columns:
        raise BenchError(f"{table.file} has neither a column 'label' nor scores of classes (scores.LABEL).")
    read_label = TASKS[dataset.task].read
    predicted = np.empty(len(table.columns["label"]), dtype=np.int64)
    for row, value in enumerate(table.columns["label"]):
        try:
            label = read_label(value, dataset.labels if isinstance(value, int) else None)
            predicted[row] = index[label]
        except (ValueError, KeyError):
            raise BenchError(
                f"{table.where(row)}: '{value}' is no label of {dataset.name}: {nearest(str(value), dataset.labels)}"
            ) from None
    scores = np.where(predicted[:, None] == np.arange(len(index)), 1, 0).astype(np.float32)
    return predicted, scores, "decision"


def _numbers(table: Table, column: str) -> np.ndarray:
    values = np.empty(len(table.columns[column]))
    for row, value in enumerate(table.columns[column]):
        try:
            values[row] = float(value)
        except (TypeError, ValueError):
            values[row] = np.nan
        if not np.isfinite(values[row]) or (column == "ms" and values[row] < 0):
            raise BenchError(f"{table.where(row)}: column '{column}' holds {value!r}, which is no such number.")
    return values


def _of_side(
    side: Split, place: Mapping[str, int], predicted: np.ndarray, scores: np.ndarray, kind: ScoreKind
) -> Outcome | list[str]:
    """What is said of a side's rows, or the ids of those that are missing."""
    if missing := [each for each in side.ids if each not in place]:
        return missing
    rows = np.array([place[each] for each in side.ids], dtype=np.int64)
    return Outcome(np.arange(len(rows)), predicted[rows], scores[rows], kind)
