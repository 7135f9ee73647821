"""JSON: an object a line, or a list of objects."""

import json
from collections.abc import Collection
from typing import Any

from bench.datasets.tables.encoding import decoded
from bench.datasets.tables.table import Hints, Table, refuse_all
from bench.errors import BenchError, counted


def read(raw: bytes, file: str, digest: str, wanted: Collection[str], hints: Hints) -> Table:
    """The wanted columns; a column is one that any row has, and a row that lacks it has None there.

    Raises:
        BenchError: It is no JSON, or none of rows; the message says what it is instead.
    """
    text, notes = decoded(raw, file, hints.encoding)
    lines: list[int] | None = None
    if text.lstrip()[:1] == "[":
        rows = parsed(text, file, hints.no_texts)
    else:
        lines, rows = _by_line(text, file, wanted, hints.no_texts)
    wrong = [
        (
            f"row {index + 1}" if lines is None else f"line {lines[index]}",
            "a row must be a JSON object with the columns as keys",
        )
        for index, row in enumerate(rows)
        if not isinstance(row, dict)
    ]
    refuse_all(file, wrong)
    if not rows:
        raise BenchError(f"{file} holds no rows.")
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in wanted if name in names}
    return Table(file, digest, tuple(names), columns, lines=lines, notes=notes)


def _by_line(text: str, file: str, wanted: Collection[str], no_texts: bool) -> tuple[list[int], list[Any]]:
    # Only a line feed ends a row: str.splitlines would also cut at characters that JSON allows inside texts.
    numbered = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line and not line.isspace()]
    rows = []
    for number, line in numbered:
        try:
            rows.append(parsed(line, f"{file}, line {number}", no_texts))
        except BenchError:
            if (other := _other_shape(text, file, no_texts)) is not None:
                raise other from None
            if line.rstrip().endswith(","):
                raise BenchError(
                    f"{file}, line {number} is not JSON: it ends with a comma. A file of JSON lines has none "
                    "behind its rows; a list has [ before and ] behind them."
                ) from None
            raise
    if len(rows) == 1 and isinstance(rows[0], dict):
        # a single object may be a row; one without any of the columns, or with objects in them, is another shape
        found = [rows[0][name] for name in wanted if name in rows[0]]
        other = (
            _other_shape(text, file, no_texts) if not found or any(isinstance(each, dict) for each in found) else None
        )
        if other is not None:
            raise other
    return [number for number, _ in numbered], rows


def _other_shape(text: str, file: str, no_texts: bool) -> BenchError | None:
    """What valid JSON holds instead of rows: an object around them, or columns instead of rows."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(whole, dict) or not whole:
        return None
    values = list(whole.values())
    if all(isinstance(value, dict) for value in values) or (
        len(values) > 1 and all(isinstance(value, list) for value in values)
    ):
        return BenchError(
            f"{file} holds columns, not rows ({_keys(whole, no_texts)}): write a list of rows, in pandas "
            'to_json(orient="records").'
        )
    if any(isinstance(value, list) for value in values):
        return BenchError(
            f"{file} is a JSON object, not a list of rows ({_keys(whole, no_texts)}): give the list alone."
        )
    return None


def _keys(whole: dict[str, Any], no_texts: bool) -> str:
    if no_texts:
        return f"its {counted(len(whole), 'key')} may be texts, and are not named (`no_texts`)"
    # what is not printable is shown escaped
    shown = ", ".join(repr(name)[1:-1] for name in list(whole)[:8])
    return f"its keys: {shown}" + (f" and {len(whole) - 8} more" if len(whole) > 8 else "")


def parsed(text: str, where: str, no_texts: bool = False) -> Any:
    """One JSON value.

    Raises:
        BenchError: it is none, or an object has a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except _TwiceError as error:
        which = "a key" if no_texts else f"the key {error.args[0]!r}"
        raise BenchError(f"{where} is not JSON: {which} stands twice in one object.") from None
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{where} is not JSON: {error}.") from None


class _TwiceError(Exception):
    """Its argument is a key twice in one object."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are distinct: of two values under one name nobody knows which is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return found
