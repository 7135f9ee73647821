"""Rows for people who label, as a file that a spreadsheet or a program reads."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.escaping import csv_file, shown_json
from bench.files import atomic

ENDINGS = ".csv", ".jsonl"


def refuse_ending(out: Path) -> None:
    """Raise BenchError where the ending of a file's name says no format that is written."""
    if out.suffix.lower() not in ENDINGS:
        raise BenchError(f"Rows are written to files that end in {' or '.join(ENDINGS)}, and not to {out.name}.")


def save(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], out: Path) -> None:
    """Write rows to `out`, whole or not at all, without columns in which no row has a value (texts, kept out).

    Raises:
        BenchError: its ending names no format.
    """
    refuse_ending(out)
    held = [name for name in columns if not rows or any(row[name] is not None for row in rows)]
    if out.suffix.lower() == ".csv":
        content = csv_file(held, ([row[name] for name in held] for row in rows))
    else:
        lines = (json.dumps({name: row[name] for name in held}, ensure_ascii=False) for row in rows)
        content = "".join(f"{shown_json(line)}\n" for line in lines).encode(errors="backslashreplace")
    with atomic(out) as temporary:
        temporary.write_bytes(content)
