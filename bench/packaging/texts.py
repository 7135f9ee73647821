"""The rows of a file that is to be classified, a part at a time: texts, and what is to stand beside their answers."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.datasets.columns import is_missing, texts_of
from bench.datasets.tables import Hints, Table, read_parts, refusal, suffix_of
from bench.datasets.tables.encoding import content, decoded
from bench.datasets.tables.parts import ROWS, TableParts, encoding_of, text_of
from bench.datasets.tables.table import NO_HINTS, near, refuse_all
from bench.errors import BenchError

LINES = frozenset({"", ".txt", ".text"})
"""Endings of files that hold a text a line."""
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
"""What no file of texts holds; escapes and form feeds occur in what was printed."""


@dataclass(frozen=True)
class Reading:
    """How the user says that a file is to be read. `text` None is the column ``text``; `ids` None is ``id``, if any.

    Several columns of texts are the fields of a row (see `bench.views`). `keep` are columns that stand beside the
    answers.
    """

    text: tuple[str, ...] | None = None
    ids: str | None = None
    keep: tuple[str, ...] = ()
    hints: Hints = NO_HINTS

    @property
    def named(self) -> list[tuple[str, str]]:
        """The columns that the user names, each with the setting that does."""
        texts = [("text_column", name) for name in self.text or ()]
        ids = [] if self.ids is None else [("id_column", self.ids)]
        return [*texts, *ids, *(("keep", name) for name in self.keep)]

    def of(self, fields: Sequence[str]) -> "Reading":
        """The same, which reads the columns that a package's texts have, where the user names none.

        Raises:
            BenchError: the user names more columns, or fewer.
        """
        if self.text is None:
            return replace(self, text=tuple(fields) or None)
        if len(self.text) != max(1, len(fields)):
            wanted = f"the fields {', '.join(fields)}" if fields else "one text"
            raise BenchError(f"The package reads {wanted}, and `text_column` names {', '.join(self.text)}.")
        return self


AS_USUAL = Reading()


@dataclass(frozen=True)
class TextRows:
    """Some rows: their texts, None where there is none, and the values of `TextFile.beside`, a mapping a row."""

    texts: list[str | None]
    beside: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class TextFile:
    """A file that was looked through once, and can be gone through as often as needed.

    Attributes:
        count: Its rows.
        beside: The columns that stand beside the answers, and the type of their values: str, int, float or bool. Where
            a column has several, or others, it is str, and its values are to be written as JSON.
        notes: Sentences on how it is read.
    """

    count: int
    beside: Mapping[str, type]
    notes: tuple[str, ...]
    parts: Callable[[], Iterator[TextRows]]
    index: Any = None
    """Of a DataFrame whose rows these are."""

    def __iter__(self) -> Iterator[TextRows]:
        return self.parts()


def read_texts(path: Path, reading: Reading = AS_USUAL) -> TextFile:
    """The rows of a table as a search reads it, or of a file with a text a line.

    Args:
        path: The file.
        reading: What the user says of it.

    Raises:
        BenchError: it cannot be read, lacks a column, or a row's text is no text; all such rows are named.
    """
    if suffix_of(path.name) is not None:
        return _table(path, reading)
    if path.is_dir() or (path.is_file() and path.suffix.lower() not in LINES):
        raise BenchError(
            refusal(path) or f"{path.name} is neither a table nor a file with a text a line, which ends in .txt."
        )
    return _lines(path, reading)


def of_list(texts: Sequence[Any], reading: Reading = AS_USUAL) -> TextFile:
    """Texts that are at hand already; of several fields, each a mapping of these.

    Raises:
        BenchError: one is no text, or lacks a field.
    """
    names = reading.text or ()
    found = [
        _record(each, names, number) if isinstance(each, Mapping) else each for number, each in enumerate(texts, 1)
    ]
    for number, text in enumerate(found, 1):
        if not is_missing(text) and not isinstance(text, str):
            raise BenchError(f"Text {number} is no text but {type(text).__name__}: give strings.")

    def parts() -> Iterator[TextRows]:
        for start in range(0, len(found), ROWS):
            some = [None if is_missing(text) else text for text in found[start : start + ROWS]]
            yield TextRows(some, [{}] * len(some))

    return TextFile(len(found), {}, (), parts)


def _record(fields: Mapping[str, Any], names: Sequence[str], number: int) -> str:
    for name in (*fields, *names):
        if name not in names or name not in fields:
            what = "lacks" if name in names else "has"
            known = f"the fields {', '.join(names)}" if names else "no fields, but one text"
            raise BenchError(f"Text {number} {what} the field '{name}': the model reads {known}.")
        if not is_missing(fields[name]) and not isinstance(fields[name], str):
            raise BenchError(f"Text {number} has no text in '{name}' but {type(fields[name]).__name__}: give strings.")
    return texts_of([[fields[name]] for name in names])[0]


def _table(path: Path, reading: Reading) -> TextFile:
    return _of(
        read_parts(path, {*(reading.text or ("text",)), reading.ids or "id", *reading.keep}, reading.hints), reading
    )


def of_frame(frame: Any, reading: Reading = AS_USUAL) -> TextFile:
    """The rows of a DataFrame, read as those of a table.

    Raises:
        BenchError: it lacks a column, or a row's text is no text.
    """
    names = tuple(map(str, frame.columns))
    columns = {name: frame[column].tolist() for name, column in zip(names, frame.columns, strict=True)}

    def parts() -> Iterator[Table]:
        for start in range(0, len(frame), ROWS):
            some = {name: values[start : start + ROWS] for name, values in columns.items()}
            yield Table("The frame", "", names, some, first=start)

    return replace(_of(TableParts("The frame", names, (), parts), reading), index=frame.index)


def _of(found: TableParts, reading: Reading) -> TextFile:
    texts, ids = reading.text or ("text",), reading.ids or "id"
    for setting, name in [*(("text_column", text) for text in texts), *reading.named]:
        if name not in found.names:
            hint = near(name, found.names, reading.hints.no_texts)
            raise BenchError(f"{found.file} has no column '{name}' (choose with `{setting}`): {hint}")
    beside = tuple(dict.fromkeys(name for name in (ids, *reading.keep) if name in found.names))
    count, wrong = 0, []
    types: dict[str, set[type]] = {name: set() for name in beside}
    for part in found:
        wrong += [
            (part.place(row), f"column '{text}' holds {type(value).__name__}, not text")
            for text in texts
            for row, value in enumerate(part.columns[text])
            if not isinstance(value, str) and not is_missing(value)
        ]
        count += len(part.columns[texts[0]])
        for name in beside:
            types[name].update(_type(value) for value in part.columns[name] if not is_missing(value))
    refuse_all(found.file, wrong, " Choose the column with `text_column`.")

    def parts() -> Iterator[TextRows]:
        for part in found:
            rows = texts_of([part.columns[text] for text in texts])
            yield TextRows([None if is_missing(each) else each for each in rows], _beside(part, beside))

    return TextFile(count, {name: _common(types[name]) for name in beside}, found.notes, parts)


def _type(value: Any) -> type:
    plain = _plain(value)
    large = type(plain) is int and not -(2**63) <= plain < 2**63
    return type(plain) if type(plain) in (int, float, bool) and not large else str


def _common(types: set[type]) -> type:
    if types == {int, float}:
        return float
    return next(iter(types)) if len(types) == 1 else str


def _beside(part: Table, names: Sequence[str]) -> list[dict[str, Any]]:
    """Values as JSON has them; what it has no form for, such as a date or infinity, as its text."""
    columns = [[_plain(value) for value in part.columns[name]] for name in names]
    rows = len(next(iter(part.columns.values())))
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)] if names else [{}] * rows


def _plain(value: Any) -> Any:
    if is_missing(value):
        return None
    if isinstance(value, str | bool | int):
        return value
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value


def _lines(path: Path, reading: Reading) -> TextFile:
    for setting, _ in reading.named:
        raise BenchError(f"{path.name} has a text a line and no columns: leave out `{setting}`.")
    try:
        encoding, notes = encoding_of(path, reading.hints)
        count = 0
        with text_of(path, encoding, "\n") as text:
            for count, line in enumerate(text, 1):
                if control := _NO_TEXT.search(line):
                    raise BenchError(f"{path.name}, line {count}: U+{ord(control[0]):04X} stands in no text.")
    except (OSError, ValueError, LookupError):
        decoded(content(path), path.name, reading.hints.encoding)  # says what is wrong
        raise
    if not count:
        raise BenchError(f"{path.name} holds no texts.")

    def parts() -> Iterator[TextRows]:
        with text_of(path, encoding, "\n") as text:
            some: list[str | None] = []
            # only a line feed ends a text: str.splitlines would also cut at characters that texts may hold
            for line in text:
                bare = line.removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")
                some.append(None if is_missing(bare) else bare)
                if len(some) == ROWS:
                    yield TextRows(some, [{}] * len(some))
                    some = []
            yield TextRows(some, [{}] * len(some))

    return TextFile(count, {}, notes, parts)
