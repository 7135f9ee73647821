"""A table of any length, a part at a time: what `read_table` gives, in memory that does not grow with the file.

A first pass goes through the whole file, so that it is read in one way from the first row to the last, and what is
wrong is said before any work is done. Wherever that pass meets what has to be decided or refused (a row that does not
fit, another encoding, quotation marks that may be read in two ways), the file is left to `read_table`, which holds all
of it: there is one place for each decision and each message.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from bench.datasets.tables.delimited import delimiter_of, fields_of_any_size, numbered, preamble, separated
from bench.datasets.tables.encoding import SAMPLE, detected, noted
from bench.datasets.tables.jsons import parsed
from bench.datasets.tables.read import read_table, suffix_of
from bench.datasets.tables.table import NO_HINTS, Hints, Table
from bench.errors import BenchError

ROWS = 256
"""Rows of a part."""
HEAD = 1 << 16
"""Characters at the beginning of a file within which its header must end."""


class _UndecidedError(Exception):
    """The file has to be looked at as a whole."""


UNREADABLE = (_UndecidedError, OSError, EOFError, zlib.error, ValueError, LookupError, csv.Error)
"""What ends a pass over a file that is not as usual, or no longer is."""


@dataclass(frozen=True, eq=False)
class TableParts:
    """A file of rows that was looked through once. Each iteration goes through it anew, in tables of `ROWS` rows."""

    file: str
    names: tuple[str, ...]
    notes: tuple[str, ...]
    parts: Callable[[], Iterator[Table]]

    def __iter__(self) -> Iterator[Table]:
        """Raises BenchError where the file is no longer what it was."""
        try:
            yield from self.parts()
        except UNREADABLE as error:
            raise BenchError(f"{self.file} has changed while it was read: start again.") from error


def read_parts(path: Path, wanted: Collection[str], hints: Hints = NO_HINTS) -> TableParts:
    """The `wanted` columns that `path` has, as `read_table` reads them.

    Raises:
        BenchError: as `read_table`.
    """
    suffix = suffix_of(path.name)
    try:
        if suffix in (".csv", ".tsv"):
            return _delimited(path, wanted, "," if suffix == ".csv" else "\t", hints)
        if suffix in (".jsonl", ".json"):
            return _json_lines(path, wanted, hints)
        if suffix == ".parquet":
            return _parquet(path, wanted)
    except UNREADABLE:
        pass  # decided, or said in words, by
    return _whole(read_table(path, wanted, hints=hints))


def _whole(table: Table) -> TableParts:
    count = max(map(len, table.columns.values()), default=0)

    def parts() -> Iterator[Table]:
        for start in range(0, count, ROWS):
            rows = slice(start, start + ROWS)
            columns = {name: each[rows] for name, each in table.columns.items()}
            lines = None if table.lines is None else table.lines[rows]
            yield Table(table.file, "", table.names, columns, lines=lines, first=start)

    return TableParts(table.file, table.names, table.notes, parts)


def _of_lines(
    path: Path,
    names: Iterable[str],
    notes: tuple[str, ...],
    columns: Callable[[Sequence[Any]], dict[str, list[Any]]],
    rows: Callable[[], Iterator[tuple[int, Any]]],
) -> TableParts:
    """Rows, each with the line that it begins on; `columns` takes the wanted values out of some of them."""
    header = tuple(names)

    def parts() -> Iterator[Table]:
        source = rows()
        while found := list(islice(source, ROWS)):
            yield Table(path.name, "", header, columns([row for _, row in found]), lines=[line for line, _ in found])

    return TableParts(path.name, header, notes, parts)


@contextmanager
def text_of(path: Path, encoding: str, newline: str) -> Iterator[TextIO]:
    """The text of a file, plain or gzipped, without the byte order mark at its beginning."""
    with _opened(path) as raw, io.TextIOWrapper(raw, encoding=encoding, newline=newline) as text:
        yield text


def encoding_of(path: Path, hints: Hints) -> tuple[str, tuple[str, ...]]:
    """The encoding of a file, and what is to be said of it."""
    if hints.encoding is not None:
        return hints.encoding, ()
    with _opened(path) as raw:
        name = detected(raw.read(SAMPLE))
    return name, noted(name, path.name)


def _opened(path: Path) -> Any:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _unmarked(line: str) -> str:
    """A line; one that begins with a byte order mark shows that files were joined."""
    if line.startswith("\ufeff"):
        raise _UndecidedError
    return line


@dataclass(frozen=True)
class _Fields:
    """Fields of the rows of a delimited file from the header on, each with its first line and how many it goes over."""

    path: Path
    encoding: str
    start: int
    skipped: int
    delimiter: str

    def quoted(self) -> Iterator[tuple[int, int, list[str]]]:
        with text_of(self.path, self.encoding, "") as text:
            text.read(self.start)
            source, begin = csv.reader(map(_unmarked, text), delimiter=self.delimiter, strict=True), 1
            while True:
                with fields_of_any_size():
                    row = next(source, None)
                if row is None:
                    return
                if row:
                    yield begin + self.skipped, source.line_num - begin + 1, row
                begin = source.line_num + 1

    def plain(self) -> Iterator[tuple[int, int, list[str]]]:
        with text_of(self.path, self.encoding, "\n") as text:
            text.read(self.start)
            for number, line in numbered(map(_unmarked, text), 1 + self.skipped):
                yield number, 1, line.split(self.delimiter)


def _delimited(path: Path, wanted: Collection[str], usual: str, hints: Hints) -> TableParts:
    encoding, notes = encoding_of(path, hints)
    with text_of(path, encoding, "") as text:
        head = text.read(HEAD)
    start, delimiter, skipped = preamble(head, path.name, hints)
    if not re.search("[\r\n]", head[start:]):
        raise _UndecidedError
    delimiter = delimiter or delimiter_of(head[start:], wanted, usual)
    notes += skipped if delimiter == usual else (*skipped, separated(path.name, delimiter))
    lines = _Fields(path, encoding, start, head.count("\n", 0, start), delimiter)
    rows = lines.plain if hints.quoting == "none" else lines.quoted
    # a row over several lines has swallowed others, or else these are no rows by themselves
    if _most_lines(rows()) > 1 and hints.quoting is None and _fits(lines.plain()):
        raise _UndecidedError
    header = next(rows())[2]
    if any(header.count(name) > 1 for name in wanted):
        raise _UndecidedError
    places = {name: header.index(name) for name in wanted if name in header}
    return _of_lines(
        path,
        header,
        notes,
        lambda found: {name: [row[place] for row in found] for name, place in places.items()},
        lambda: ((line, row) for line, _, row in islice(rows(), 1, None)),
    )


def _most_lines(rows: Iterator[tuple[int, int, list[str]]]) -> int:
    """Over how many lines a row goes at most, where all fit the header, and there are any."""
    _, most, header = next(rows, (0, 0, []))
    count = 0
    for _, several, row in rows:
        if len(row) != len(header) or row == header:
            raise _UndecidedError
        most, count = max(most, several), count + 1
    if not count:
        raise _UndecidedError
    return most


def _fits(rows: Iterator[tuple[int, int, list[str]]]) -> bool:
    try:
        return _most_lines(rows) > 0
    except _UndecidedError:
        return False


def _json_lines(path: Path, wanted: Collection[str], hints: Hints) -> TableParts:
    encoding, notes = encoding_of(path, hints)

    def rows() -> Iterator[tuple[int, dict[str, Any]]]:
        with text_of(path, encoding, "\n") as text:
            for number, line in enumerate(map(_unmarked, text), 1):
                if line and not line.isspace():
                    row = parsed(line, path.name)
                    if not isinstance(row, dict):
                        raise _UndecidedError
                    yield number, row

    names: dict[str, None] = {}
    count = 0
    try:
        for _, row in rows():
            names |= dict.fromkeys(row)
            count += 1
    except BenchError:
        raise _UndecidedError from None
    if count < 2:
        raise _UndecidedError  # one object may be another shape
    found = [name for name in wanted if name in names]
    return _of_lines(path, names, notes, lambda rows: {name: [row.get(name) for row in rows] for name in found}, rows)


def _parquet(path: Path, wanted: Collection[str]) -> TableParts:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as source:
        names = source.schema_arrow.names
        found = [name for name in wanted if name in names]
        if not source.metadata.num_rows or not found:
            raise _UndecidedError

    def parts() -> Iterator[Table]:
        first = 0
        with pq.ParquetFile(path) as source:
            for batch in source.iter_batches(ROWS, columns=found):
                columns = {name: batch.column(name).to_pylist() for name in found}
                yield Table(path.name, "", tuple(names), columns, first=first)
                first += batch.num_rows

    return TableParts(path.name, tuple(names), (), parts)
