"""From a path to a table, by the ending of its name."""

import gzip
import hashlib
import zlib
from collections.abc import Callable, Collection
from pathlib import Path

from bench.datasets.tables import delimited, jsons, parquet, sheet
from bench.datasets.tables.encoding import content
from bench.datasets.tables.table import NO_HINTS, Hints, Table
from bench.errors import BenchError

Reader = Callable[[bytes, str, str, Collection[str], Hints], Table]

# Also the order in which one is taken where a data set is there in several: typed formats first.
FORMATS: dict[str, Reader] = {
    ".parquet": parquet.read,
    ".jsonl": jsons.read,
    ".json": jsons.read,
    ".csv": lambda raw, file, digest, wanted, hints: delimited.read(raw, file, digest, wanted, ",", hints),
    ".tsv": lambda raw, file, digest, wanted, hints: delimited.read(raw, file, digest, wanted, "\t", hints),
    ".xlsx": sheet.read,
}
PACKED = frozenset({".parquet", ".xlsx"})
"""What is compressed inside."""


KNOWN = f"use {', '.join(FORMATS)}, plain or .gz"


def _no_table(path: Path) -> str:
    return f"{path.name} is no table that can be read: {KNOWN}."


def suffix_of(name: str) -> str | None:
    """The format suffix of a file's name without ``.gz``, or None where the name is not one of a table."""
    path = Path(name.lower())
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    return suffix if suffix in FORMATS and (path.suffix != ".gz" or suffix not in PACKED) else None


def refusal(path: Path) -> str | None:
    """Why something that exists at `path` is no table, and what to do; None where there is nothing or it may be one."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return f"{path} is a folder: name the file of rows in it (of a data home, the folder's name and `data_home`)."
    if not path.is_file() or suffix_of(path.name):
        return None
    return {
        ".txt": f"{path.name} has a text a line and no labels: give a table with a text and a label column; {KNOWN}.",
        ".zip": f"{path.name} is an archive: unpack it, and name the file of rows in it.",
        ".xls": f"{path.name} is a workbook of the old kind: save it as .xlsx or .csv.",
        ".ods": f"{path.name} is a spreadsheet that cannot be read: save it as .xlsx or .csv.",
    }.get(suffix, _no_table(path))


def read_table(path: Path, wanted: Collection[str], name: str | None = None, hints: Hints = NO_HINTS) -> Table:
    """Read the `wanted` columns that `path` has; `name` is how messages call it.

    Raises:
        BenchError: The file is missing, cannot be decoded or parsed, or holds no row.
    """
    suffix = suffix_of(path.name)
    if suffix is None:
        raise BenchError((refusal(path) if path.is_file() else None) or _no_table(path))
    raw = content(path)
    digest = hashlib.sha256(raw).hexdigest()
    if path.name.lower().endswith(".gz"):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise BenchError(f"{path.name} is no whole gzip file ({error}): get it again.") from None
    table = FORMATS[suffix](raw, name or path.name, digest, wanted, hints)
    if table.columns and not any(table.columns.values()):
        raise BenchError(f"{table.file} holds no rows.")
    return table
