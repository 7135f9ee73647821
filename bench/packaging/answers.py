"""Answers as a file, in the format that the ending of its name says."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from bench.datasets.checks import mended
from bench.errors import BenchError
from bench.escaping import CsvWriter, shown_json
from bench.tasks.face import Column

TOGETHER = 4096
"""Rows of a group in a Parquet file."""


@dataclass(frozen=True)
class Layout:
    """The columns of answers: those `beside` the texts by type, the answer's, and the `labels` that have numbers."""

    beside: Mapping[str, type]
    columns: Mapping[str, Column]
    labels: tuple[str, ...]


Rows = Iterable[Mapping[str, Any]]
Writer = Callable[[Rows, Layout, Path], None]


def writer_of(out: Path) -> Writer:
    """What writes answers to a file of that name.

    Raises:
        BenchError: its ending names no format.
    """
    if out.suffix.lower() not in FORMATS:
        raise BenchError(f"Answers are written to files that end in {', '.join(FORMATS)}, and not to {out.name}.")
    return FORMATS[out.suffix.lower()]


def _json_lines(rows: Rows, layout: Layout, out: Path) -> None:  # noqa: ARG001 - a Writer
    # half a surrogate pair becomes JSON's own escape
    with out.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for row in rows:
            file.write(shown_json(json.dumps(row, ensure_ascii=False, allow_nan=False)) + "\n")


def _csv(rows: Rows, layout: Layout, out: Path) -> None:
    """Numbers by name are a column each, as in ``probabilities.spam``."""
    header = [*layout.beside]
    for name, kind in layout.columns.items():
        header += [f"{name}.{label}" for label in layout.labels] if kind == "numbers by name" else [name]
    with out.open("w", encoding="utf-8", newline="") as file:
        lines = CsvWriter(file)
        lines.write(header)
        for row in rows:
            cells = [_written(row[name]) for name in layout.beside]
            for name, kind in layout.columns.items():
                if kind == "numbers by name":
                    cells += [(row[name] or {}).get(label) for label in layout.labels]
                else:
                    cells.append(row[name])
            lines.write(cells)


def _parquet(rows: Rows, layout: Layout, out: Path) -> None:
    """Numbers by name are a struct."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = pa.struct([(label, pa.float64()) for label in layout.labels])
    kinds = {
        "text": pa.string(),
        "number": pa.float64(),
        "whole number": pa.int64(),
        "numbers by name": numbers,
        "yes or no": pa.bool_(),
    }
    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema(
        [(name, types[kind]) for name, kind in layout.beside.items()]
        + [(name, kinds[kind]) for name, kind in layout.columns.items()]
    )
    mixed = [name for name, kind in layout.beside.items() if kind is str]
    with pq.ParquetWriter(out, schema, compression="zstd") as file:
        for group in _groups(rows):
            texts = [{**row, **{name: _text(row[name]) for name in mixed}} for row in group]
            file.write_table(pa.Table.from_pylist(texts, schema))


def _groups(rows: Rows) -> Iterator[list[Mapping[str, Any]]]:
    source = iter(rows)
    while group := list(islice(source, TOGETHER)):
        yield group


def _written(value: Any) -> Any:
    """A value of a cell; lists and objects as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _text(value: Any) -> str | None:
    """A value of a column of texts; what is none as JSON."""
    if value is None:
        return None
    return mended(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


FORMATS: dict[str, Writer] = {".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet}
