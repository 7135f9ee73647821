"""From the columns of a table to rows: texts, labels as words, groups and ids, and what is missing."""

import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from bench.datasets.tables import Table
from bench.datasets.tables.table import near, refuse_all
from bench.errors import BenchError, counted
from bench.tasks.classification import read_class
from bench.views import row_of

MISSING_WORDS = frozenset({"na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "?"})
"""How spreadsheets and data frames write what is missing. A class may be called so, and thus they are only told of."""


Read = Callable[[Any, Sequence[str] | None], str]
"""From a value of a label column, and the names of its integer classes, to its written form."""
YES, NO = frozenset({"1", "true", "yes", "x"}), frozenset({"0", "false", "no", ""})
"""How a column of its own says of a label that it is there, or not."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a file hold what.

    Several columns of `text` are the fields of a row (see `bench.views`). Rows whose `group` is equal must stay
    together; one without a group is on its own. `ids` None takes a column ``id`` where it names every row. With
    `drop_unlabelled`, rows without a label are left out instead of refused. `read` gives a label's written form, see
    `bench.tasks`; `reading`, from all values of the column, what reads one in its place. `indicators` are columns in
    place of `label` that say of one label each whether it is there. With `no_texts`, no message quotes what may be a
    text.
    """

    text: tuple[str, ...] = ("text",)
    label: str = "label"
    group: str | None = None
    ids: str | None = None
    drop_unlabelled: bool = False
    read: Read = read_class
    reading: Callable[[Sequence[Any]], Read] | None = None
    indicators: tuple[str, ...] = ()
    no_texts: bool = False

    @property
    def wanted(self) -> frozenset[str]:
        """The columns to read."""
        labels = self.indicators or (self.label,)
        return frozenset({*self.text, *labels, self.group or labels[0], self.ids or "id"})


@dataclass(frozen=True)
class Rows:
    """Rows of one split in order; `groups` holds a value a row, None where a row is on its own.

    `notes` are sentences on how they were read.
    """

    ids: list[str]
    texts: list[str]
    labels: list[str]
    groups: list[str | None]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Collection[int]) -> "Rows":
        """The rows at `indices`, in the order given."""
        return Rows(
            [self.ids[i] for i in indices],
            [self.texts[i] for i in indices],
            [self.labels[i] for i in indices],
            [self.groups[i] for i in indices],
            self.notes,
        )

    def __add__(self, other: "Rows") -> "Rows":
        return Rows(
            self.ids + other.ids,
            self.texts + other.texts,
            self.labels + other.labels,
            self.groups + other.groups,
            tuple(dict.fromkeys((*self.notes, *other.notes))),
        )


def rows_of(table: Table, split: str, columns: Columns, label_names: Sequence[str] | None = None) -> Rows:
    """The rows of a table, with labels in their written form and ids from their column, else ``split/n``.

    Raises:
        BenchError: A column is missing, or rows cannot be used (a text is not a string, a label is missing or not a
            class); all of them are named, by line and id.
    """
    hidden = [name for name in columns.text if name in (columns.label, columns.group, columns.ids)]
    if columns.no_texts and hidden:
        raise BenchError(
            f"The column '{hidden[0]}' holds the texts, and `no_texts` keeps those out of what is written: name "
            "others for labels, groups and ids."
        )
    fields = [_required(table, name, "text_column", columns.no_texts) for name in columns.text]
    ids = _ids(table, split, columns)
    wrong: dict[int, str] = {}
    if columns.indicators:
        values = _indicated(table, columns, wrong)
    else:
        values = _required(table, columns.label, "label_column", columns.no_texts)
    for name, values_of in zip(columns.text, fields, strict=True):
        for index, text in enumerate(values_of):
            if not is_missing(text) and not isinstance(text, str):
                wrong[index] = f"column '{name}' holds {type(text).__name__}, not text"
    remedy = " Choose the column with `text_column`." if wrong else ""
    labels, unlabelled = _labels(values, label_names or table.class_names.get(columns.label), columns, wrong)
    groups: list[str | None] = [None] * len(values)
    if columns.group is not None:
        found = _required(table, columns.group, "group_column", columns.no_texts)
        groups = [None if is_missing(value) else str(value) for value in found]
    if columns.drop_unlabelled:
        wrong = {index: what for index, what in wrong.items() if index not in unlabelled}
    elif unlabelled and len(wrong) == len(unlabelled):
        remedy = " Give them one, or leave them out with `drop_unlabelled`." if len(unlabelled) > 1 else ""
    own = columns.ids or "id"
    refuse_all(
        table.file,
        [
            (
                table.place(index) + (f" (id {ids[index]})" if own in table.columns and len(wrong) > 1 else ""),
                wrong[index],
            )
            for index in sorted(wrong)
        ],
        remedy,
    )
    rows = Rows(ids, texts_of(fields), labels, groups, table.notes)
    if columns.drop_unlabelled and unlabelled:
        kept = [index for index in range(len(rows)) if index not in unlabelled]
        note = f"{split}: {counted(len(unlabelled), 'row')} without a label left out (`drop_unlabelled`)."
        rows = Rows(rows.ids, rows.texts, rows.labels, rows.groups, (*rows.notes, note)).take(kept)
    return rows


def texts_of(fields: Sequence[Sequence[Any]]) -> list[str]:
    """The texts of rows by the columns of their fields, one or several; what is missing is blank."""
    columns = [["" if is_missing(text) else text for text in column] for column in fields]
    return columns[0] if len(columns) == 1 else [row_of(map(str, row)) for row in zip(*columns, strict=True)]


def is_missing(value: Any) -> bool:
    """The one rule for texts, labels, groups and ids of every format: nothing, blank, or not a number."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    return isinstance(value, float) and math.isnan(value)


def _indicated(table: Table, columns: Columns, wrong: dict[int, str]) -> list[Any]:
    """The labels of each row as a list, from columns that say yes or no; what is wrong is entered in `wrong`."""
    found: list[Any] = [[] for _ in next(iter(table.columns.values()))]
    for name in columns.indicators:
        for index, value in enumerate(_required(table, name, "label_columns", columns.no_texts)):
            said = "" if is_missing(value) else re.sub(r"\.0+$", "", str(value).strip().lower())
            if said in YES:
                found[index].append(name)
            elif said not in NO:
                wrong.setdefault(index, f"column '{name}' says neither yes (1) nor no (0)")
    return found


def _labels(
    values: Sequence[Any], names: Sequence[str] | None, columns: Columns, wrong: dict[int, str]
) -> tuple[list[str], frozenset[int]]:
    """Labels as strings, and the rows without one; what is wrong with a row is entered in `wrong`."""
    read = columns.read if columns.reading is None else columns.reading(values)
    known: dict[tuple[type, Any], str] = {}
    labels, unlabelled = [], []
    for index, value in enumerate(values):
        key = (type(value), repr(value) if isinstance(value, list | tuple | dict) else value)
        if is_missing(value):
            unlabelled.append(index)
            wrong.setdefault(index, f"the label is missing (column '{columns.label}')")
            labels.append("")
            continue
        if key not in known:
            try:
                known[key] = read(value, names)
            except ValueError as error:
                wrong.setdefault(index, f"{error} (column '{columns.label}')")
                labels.append("")
                continue
        labels.append(known[key])
    return labels, frozenset(unlabelled)


def _ids(table: Table, split: str, columns: Columns) -> list[str]:
    """Every row's own id; where the user named no column and the usual one does not tell rows apart, their numbers."""
    count = len(next(iter(table.columns.values())))
    if columns.ids is not None:
        values = _required(table, columns.ids, "id_column", columns.no_texts)
        seen: dict[str, int] = {}
        problems = []
        for index, value in enumerate(values):
            if is_missing(value):
                problems.append((table.place(index), "the id is missing"))
            elif (first := seen.setdefault(str(value), index)) != index:
                problems.append((table.place(index), f"the id {value} is that of {table.place(first)} too"))
        refuse_all(table.file, problems)
        return [str(value) for value in values]
    values = table.columns.get("id", [])
    ids = [str(value) for value in values]
    if len(set(ids)) != count or any(map(is_missing, values)):
        return [f"{split}/{number}" for number in range(count)]
    return ids


def _required(table: Table, name: str, setting: str, no_texts: bool) -> list[Any]:
    if name not in table.names:
        hint = near(name, table.names, no_texts)
        raise BenchError(f"{table.file} has no column '{name}' (choose with `{setting}`): {hint}")
    return table.columns[name]
