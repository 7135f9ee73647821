"""What mistakes cost: a small table of a person's, and the answers that it makes cheapest.

Of a text whose classes have probabilities p, the answer j costs Σ p(i) · cost(i, j) in the mean: the cheapest is taken
(Elkan, The Foundations of Cost-Sensitive Learning, IJCAI 2001, equation 1), which presumes that probabilities mean what
they say (see `bench.evaluation.sureness`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.datasets.tables import Table, read_table
from bench.errors import BenchError, listed, nearest
from bench.measures import Measure, Predictions
from bench.metrics.counts import Floats, Ints

LABEL, REJECT = "label", "reject"
"""The column of the true labels, and that of what it costs to give no answer."""
REJECTED = -1
"""In the place of a class: no answer."""
COSTS = "The table of costs"
"""What one that comes from no file is called."""


@dataclass(frozen=True, eq=False)
class MistakeCosts:
    """What each answer to a row of each class costs, in whatever unit the table has.

    Attributes:
        labels: Those that can be answered; rows of others may be there, whose costs are known or not.
        table: Float [true label, answer]: of all labels, whose unknown rows are NaN; the last answer is to reject,
            where `rejects`.
        rejects: Whether rejecting has a price, without which every text is answered.
    """

    labels: tuple[str, ...]
    table: Floats
    rejects: bool

    @classmethod
    def read(cls, path: Path, labels: Sequence[str], unseen: Sequence[str] = ()) -> "MistakeCosts":
        """The table in a file: a row a true label (column ``label``), a column a label that is answered.

        A column ``reject`` is what no answer costs. Labels that are `unseen` in training are no answers, and may have
        rows.

        Raises:
            BenchError: it cannot be read, lacks a label, has one that is not known, or a cell is no number.
        """
        if not path.is_file():
            raise BenchError(f"There is no file {path} with costs of mistakes.")
        return cls._of(read_table(path, {LABEL, *_answers(labels)}), labels, unseen)

    @classmethod
    def of_values(cls, values: Mapping[str, Mapping[str, float]], labels: Sequence[str]) -> "MistakeCosts":
        """The same table as a mapping of mappings, `values`: cost by answer by true label.

        Raises:
            BenchError: as `read`.
        """
        if odd := [name for name, row in values.items() if not isinstance(row, Mapping)]:
            raise BenchError(f"Costs have a mapping a true label, from answers to numbers; '{odd[0]}' has none.")
        names = [LABEL, *dict.fromkeys(answer for row in values.values() for answer in row)]
        columns = {name: [row.get(name) for row in values.values()] for name in names}
        return cls._of(Table(COSTS, "", tuple(names), {**columns, LABEL: list(values)}), labels, ())

    @classmethod
    def _of(cls, table: Table, labels: Sequence[str], unseen: Sequence[str]) -> "MistakeCosts":
        answers = _answers(labels)
        if LABEL not in table.columns:
            raise BenchError(
                f"{table.file} has no column '{LABEL}' ({nearest(LABEL, table.names)}): costs have a row a true label, "
                "and a column for each label that may be answered."
            )
        _refuse(table, [name for name in table.names if name != LABEL or LABEL in labels], labels, answers, "column")
        true = [*labels, *unseen]
        rows = [str(value) for value in table.columns[LABEL]]
        _refuse(table, rows, labels, true, "row")
        given = [name for name in answers if name in table.columns]
        found = np.full((len(true), len(given)), np.nan)
        for column, answer in enumerate(given):
            for row, value in enumerate(table.columns[answer]):
                found[true.index(rows[row]), column] = _number(table, row, answer, value)
        return cls(tuple(labels), found, given != list(labels))

    @property
    def values(self) -> dict[str, dict[str, float]]:
        """Cost by answer by true label, of the labels that can be answered; see `of_values`."""
        answers = [*self.labels, *([REJECT] if self.rejects else [])]
        return {
            label: dict(zip(answers, row, strict=True))
            for label, row in zip(self.labels, self.table[: len(self.labels)].tolist(), strict=True)
        }

    def decide(self, probabilities: Floats) -> Ints:
        """The cheapest answer to each row by its probabilities [rows, labels]: a class, or `REJECTED`; int64 [rows]."""
        expected = probabilities.astype(np.float64) @ self.table[: len(self.labels)]
        found: Ints = expected.argmin(axis=1).astype(np.int64)
        found[found == len(self.labels)] = REJECTED
        return found

    def of(self, truth: Ints, decided: Ints) -> Floats:
        """What each row cost, [rows]; NaN where its label has no row in the table."""
        found: Floats = np.full(len(truth), np.nan)
        known = truth < len(self.table)
        # the last column is to reject
        found[known] = self.table[truth[known], decided[known]]
        return found

    def of_predictions(self, predictions: Predictions) -> Floats:
        """What each row cost under the cheapest answers, [rows]; under what was predicted where nothing is probable."""
        logs = predictions.log_probabilities
        return self.of(predictions.truth, predictions.predicted if logs is None else self.decide(np.exp(logs)))

    @property
    def measure(self) -> Measure:
        """The mean cost of a row, as something that is compared and has intervals."""
        return Measure(
            "mistakes",
            "cost of mistakes",
            "minimize",
            heading="cost",
            computed=lambda each: float(np.nanmean(self.of_predictions(each))),
        )


def _answers(labels: Sequence[str]) -> list[str]:
    """What columns a table may have; a class of that name leaves no column for rejecting."""
    return [*labels, *([REJECT] if REJECT not in labels else [])]


def _refuse(table: Table, given: Sequence[str], needed: Sequence[str], known: Sequence[str], kind: str) -> None:
    """Refuse names that are twice there, not known, or missing."""
    for place, name in enumerate(given):
        if name not in known:
            where = f"{table.where(place)}: " if kind == "row" else f"{table.file}, column '{name}': "
            raise BenchError(f"{where}'{name}' is no label: {nearest(name, known)}")
        if name in given[:place]:
            raise BenchError(f"{table.file} has two {kind}s '{name}': leave one.")
    if missing := [name for name in needed if name not in given]:
        raise BenchError(f"{table.file} has no {kind} for {listed(missing)}: each label needs one.")


def _number(table: Table, row: int, column: str, value: object) -> float:
    try:
        found = float(value)  # type: ignore[arg-type]  # whatever it is, it is tried
    except (TypeError, ValueError):
        found = np.nan
    if not np.isfinite(found):
        raise BenchError(f"{table.where(row)}: column '{column}' holds {value!r}, which is no cost: give a number.")
    return found
