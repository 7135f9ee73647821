"""CSV, TSV and their kin: the dialect is found by what the caller looks for, and every row must fit it.

A sniffer that looks at the characters alone goes wrong in silence (`python tests/readers.py` counts how often, for four
libraries). Here more is known: the header must hold the wanted columns, and all rows have as many fields as it. Both
readings of quotation marks are tried where the file has any; where both fit and give other rows, nobody can know which
is meant, and the file is refused with the line.
"""

import csv
import io
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from bench.datasets.tables.encoding import decoded
from bench.datasets.tables.table import Hints, Quoting, Table, refuse_all
from bench.errors import BenchError

DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
EXCEL = "sep="
"""Excel's own first line, which names the delimiter."""


@dataclass(frozen=True)
class _Reading:
    """A file taken apart: `rows` and the `lines` they begin on, the header first; `end` is the line behind the last.

    `fault` is why it ended early.
    """

    rows: list[list[str]]
    lines: list[int]
    end: int
    fault: str | None = None

    @property
    def fits(self) -> bool:
        """Whether all of it could be read, and every row fits the header."""
        return self.fault is None and not self.misfits

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """The first line of each row that goes over several (or has blank ones behind it), and the line after it."""
        return [(first, after) for first, after in pairwise([*self.lines, self.end]) if after - first > 1]

    @cached_property
    def misfits(self) -> list[tuple[str, str]]:
        """Rows that do not fit the header: (place, what is wrong)."""
        width = len(self.rows[0]) if self.rows else 0
        found = [
            (f"line {line}", f"{len(row)} fields where the header has {width}")
            for row, line in zip(self.rows, self.lines, strict=True)
            if len(row) != width
        ]
        found += [
            (f"line {line}", "the header again, as where files were joined")
            for row, line in zip(self.rows[1:], self.lines[1:], strict=True)
            if row == self.rows[0]
        ]
        return found


def read(raw: bytes, file: str, digest: str, wanted: Collection[str], usual: str, hints: Hints) -> Table:
    """The wanted columns of a file whose kind has the delimiter `usual`.

    Raises:
        BenchError: It is in another encoding, its rows do not fit together (all of them are named), or there are two
            ways to read it.
    """
    text, notes = decoded(raw, file, hints.encoding)
    start, delimiter, before = preamble(text, file, hints)
    body = text[start:]
    skipped = text.count("\n", 0, start)
    delimiter = delimiter or delimiter_of(body, wanted, usual)
    if delimiter != usual:
        before += (separated(file, delimiter),)
    reading, said = _read(body, file, delimiter, skipped, hints.quoting)
    if not reading.rows:
        raise BenchError(f"{file} holds no rows.")
    header = reading.rows[0]
    for name in wanted:
        if header.count(name) > 1:
            raise BenchError(f"{file} has {header.count(name)} columns called '{name}': rename one of them.")
    places = {name: header.index(name) for name in wanted if name in header}
    columns = {name: [row[place] for row in reading.rows[1:]] for name, place in places.items()}
    return Table(file, digest, tuple(header), columns, lines=reading.lines[1:], notes=(*notes, *before, *said))


def preamble(text: str, file: str, hints: Hints) -> tuple[int, str | None, tuple[str, ...]]:
    """Where the header begins, the delimiter that is named (by the user, or by Excel's line), and what was skipped."""
    start, delimiter = 0, hints.delimiter
    if text[: len(EXCEL)].lower() == EXCEL and text[len(EXCEL) : len(EXCEL) + 1] not in ("", "\r", "\n"):
        delimiter = delimiter or text[len(EXCEL)]
        start = text.find("\n") + 1 or len(text)
    comments = 0
    while text.startswith("#", start) and "\n" in text[start:]:
        comments += 1
        start = text.index("\n", start) + 1
    noun = "line" if comments == 1 else "lines"
    return start, delimiter, (f"{file}: {comments} {noun} of comment before the header.",) if comments else ()


def delimiter_of(body: str, wanted: Collection[str], usual: str) -> str:
    """The delimiter under which the header has most of the wanted columns; the usual one where several do."""
    head = re.split("[\r\n]", body, maxsplit=1)[0]

    def found(delimiter: str) -> int:
        try:
            names = next(csv.reader([head], delimiter=delimiter), [])
        except csv.Error:
            names = head.split(delimiter)
        return len(set(wanted) & set(names))

    return max((usual, *DELIMITERS), key=found)


def separated(file: str, delimiter: str) -> str:
    """The note on a delimiter that is not the usual one."""
    return f"{file}: fields are separated by {DELIMITERS.get(delimiter, repr(delimiter))}."


def _read(
    body: str, file: str, delimiter: str, skipped: int, quoting: Quoting | None
) -> tuple[_Reading, tuple[str, ...]]:
    if quoting == "none":
        return _whole(_plain(body, delimiter, skipped), file), ()
    quoted = _quoted(body, delimiter, skipped)
    # where every row is a line, nothing can have been swallowed
    if quoting == "double" or (quoted.fits and not quoted.spans):
        return _whole(quoted, file), ()
    plain = _plain(body, delimiter, skipped)
    if quoted.fits:
        if plain.fits and (swallowed := _swallowed(quoted, plain)) is not None:
            raise _ambiguous(file, *swallowed, quoted, plain)
        return quoted, ()
    if plain.fits and len(plain.rows[0]) > 1 and not _mostly_enclosed(plain):
        note = f"{file}: quotation marks are read as they stand, since they do not enclose fields."
        return plain, (note,)
    return _whole(quoted, file), ()


def _mostly_enclosed(plain: _Reading) -> bool:
    """Whether quotation marks enclose half or more of the fields that have any: one that does not is then a mistake."""
    marked = [field for row in plain.rows for field in row if '"' in field]
    enclosed = sum(len(field) > 1 and field[0] == field[-1] == '"' for field in marked)
    return 2 * enclosed >= len(marked)


def _whole(reading: _Reading, file: str) -> _Reading:
    if reading.fault is not None:
        raise BenchError(f"{file}, {reading.fault}")
    refuse_all(file, reading.misfits)
    return reading


def _quoted(body: str, delimiter: str, skipped: int) -> _Reading:
    """Fields may be enclosed in ", which is doubled inside; nothing else is allowed around them."""
    source = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    begin = 1
    try:
        with fields_of_any_size():
            for row in source:
                if row:
                    rows.append(row)
                    lines.append(begin + skipped)
                begin = source.line_num + 1
    except csv.Error as error:
        fault = f'from line {begin + skipped}: {error}; quote fields with " and double it inside.'
        return _Reading(rows, lines, begin + skipped, fault)
    return _Reading(rows, lines, begin + skipped)


@contextmanager
def fields_of_any_size() -> Iterator[None]:
    """Let csv, which has one limit for all of the process, read long texts."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _plain(body: str, delimiter: str, skipped: int) -> _Reading:
    """A line a row, quotation marks as they stand."""
    # str.splitlines would also cut at characters that texts may hold
    found = list(numbered(body.split("\n"), 1 + skipped))
    lines = [number for number, _ in found]
    return _Reading([line.split(delimiter) for _, line in found], lines, lines[-1] + 1 if lines else 1)


def numbered(lines: Iterable[str], first: int) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, without their ends, by number as csv counts: a carriage return is an end as well."""
    for line in lines:
        bare = line.removesuffix("\n").removesuffix("\r")
        if bare:
            yield first, bare
        first += 1 + bare.count("\r")


def _swallowed(quoted: _Reading, plain: _Reading) -> tuple[int, int] | None:
    """The first and last line of a row whose lines look like rows of their own, each with a label that others have.

    That is: in some column, every one of these lines has a value that a row outside has there. A cell that merely goes
    over several lines is not like that.
    """
    by_line = dict(zip(plain.lines, plain.rows, strict=True))
    spans = [each for each in quoted.spans if sum(line in by_line for line in range(*each)) > 1]
    inside = {line for first, after in spans for line in range(first, after)}
    outside = [row for line, row in by_line.items() if line not in inside and line != plain.lines[0]]
    values = [{row[column] for row in outside} for column in range(len(plain.rows[0]))]
    for first, after in spans:
        rows = [by_line[line] for line in range(first, after) if line in by_line]
        if len(values) > 1 and any(all(row[column] in known for row in rows) for column, known in enumerate(values)):
            return first, after - 1
    return None


def _ambiguous(file: str, first: int, last: int, quoted: _Reading, plain: _Reading) -> BenchError:
    return BenchError(
        f"{file}, line {first}: read with quotation marks, one field goes on to line {last} and swallows what look "
        f"like rows of their own ({len(quoted.rows) - 1:,} rows in all); read as they stand, there are "
        f"{len(plain.rows) - 1:,} rows. Say which is meant: `quoting='none'`, or `quoting='double'`."
    )
