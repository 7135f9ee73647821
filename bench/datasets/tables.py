"""Reading a file of rows: JSON lines, CSV, TSV and Parquet, plain or gzipped, with errors that name the line."""

import csv
import gzip
import hashlib
import io
import json
import sys
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, nearest
from bench.tasks.classification import read_class

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Table:
    """The wanted columns of one file.

    Attributes:
        file: The file's name, for messages.
        sha256: Of the file's bytes, in hex.
        names: All columns that the file has, in its order.
        columns: Name → values, one a row, as the file's format types them (strings in CSV).
        class_names: Name → names of the integer classes, where the file states them.
        lines: The line on which each row begins, or None where the format has no lines.
    """

    file: str
    sha256: str
    names: tuple[str, ...]
    columns: dict[str, list[Any]]
    class_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lines: Sequence[int] | None = None

    def where(self, index: int) -> str:
        """The place of a row, for messages."""
        return f"{self.file}, " + (f"row {index + 1}" if self.lines is None else f"line {self.lines[index]}")


@dataclass(frozen=True)
class Columns:
    """Which columns of a file hold what; rows whose `group` is equal must stay together.

    `read` gives a label's written form, see `bench.tasks`.
    """

    text: str = "text"
    label: str = "label"
    group: str | None = None
    read: Callable[[Any, Sequence[str] | None], str] = read_class


@dataclass(frozen=True)
class Rows:
    """Rows of one split in order; `groups` holds a value a row, None where a row is on its own."""

    ids: list[str]
    texts: list[str]
    labels: list[str]
    groups: list[str | None]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Collection[int]) -> "Rows":
        """The rows at `indices`, in the order given."""
        return Rows(
            [self.ids[i] for i in indices],
            [self.texts[i] for i in indices],
            [self.labels[i] for i in indices],
            [self.groups[i] for i in indices],
        )

    def __add__(self, other: "Rows") -> "Rows":
        return Rows(
            self.ids + other.ids, self.texts + other.texts, self.labels + other.labels, self.groups + other.groups
        )


def suffix_of(name: str) -> str | None:
    """The format suffix of a file's name without ``.gz``, or None where the name is not one of a table."""
    path = Path(name.lower())
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    return suffix if suffix in _READERS and (path.suffix != ".gz" or suffix != ".parquet") else None


def read_table(path: Path, wanted: Collection[str], name: str | None = None) -> Table:
    """Read the `wanted` columns that `path` has; `name` is how messages call it.

    Raises:
        BenchError: The file is missing, cannot be decoded or parsed, or holds no row.
    """
    suffix = suffix_of(path.name)
    if suffix is None:
        raise BenchError(f"{path.name} is no table that can be read: use {', '.join(_READERS)}, plain or .gz.")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise BenchError(f"There is no file {path}.") from None
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}.") from None
    digest = hashlib.sha256(raw).hexdigest()
    if path.name.lower().endswith(".gz"):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise BenchError(f"{path.name} is no whole gzip file ({error}): get it again.") from None
    table = _READERS[suffix](raw, name or path.name, digest, wanted)
    if table.columns and not any(table.columns.values()):
        raise BenchError(f"{table.file} holds no rows.")
    return table


def rows_of(table: Table, split: str, columns: Columns, label_names: Sequence[str] | None = None) -> Rows:
    """The rows of a table, with labels in their written form and ids from its ``id`` column, else ``split/n``.

    Raises:
        BenchError: A column is missing, a text is not a string, a label is missing or not one of its task.
    """
    texts = _required(table, columns.text, "--text-column")
    for index, text in enumerate(texts):
        if text is not None and not isinstance(text, str):
            raise BenchError(
                f"{table.where(index)}: column '{columns.text}' holds {type(text).__name__}, not text; "
                "choose the column with --text-column."
            )
    labels = _required(table, columns.label, "--label-column")
    names = label_names or table.class_names.get(columns.label)
    known: dict[tuple[type, Any], str] = {}
    named = []
    for index, value in enumerate(labels):
        key = (type(value), value if not isinstance(value, list | dict) else None)
        if key not in known:
            try:
                known[key] = columns.read(value, names)
            except ValueError as error:
                raise BenchError(f"{table.where(index)}: {error} (column '{columns.label}').") from None
        named.append(known[key])
    groups: list[str | None] = [None] * len(texts)
    if columns.group is not None:
        groups = [None if value is None else str(value) for value in _required(table, columns.group, "--group-column")]
    ids = [str(value) for value in table.columns.get("id", ())]
    if len(set(ids)) != len(texts):
        ids = [f"{split}/{number}" for number in range(len(texts))]
    return Rows(ids, [text or "" for text in texts], named, groups)


def _required(table: Table, name: str, option: str) -> list[Any]:
    if name not in table.names:
        # A header is as hostile as any text: what is not printable is shown escaped.
        shown = [repr(known)[1:-1] for known in table.names[:20]]
        raise BenchError(f"{table.file} has no column '{name}' (choose with {option}): {nearest(name, shown)}")
    return table.columns[name]


def decoded(raw: bytes, file: str) -> str:
    """The text of a UTF-8 file, a byte order mark left out.

    Raises:
        BenchError: It is in another encoding; the message names the line.
    """
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BenchError(f"{file} is UTF-16 (its first two bytes say so): convert it to UTF-8.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The decoder counts from behind a byte order mark.
        offset = error.start + len(raw) - len(error.object)
        line = raw.count(b"\n", 0, offset) + 1
        raise BenchError(
            f"{file} is not UTF-8: byte 0x{raw[offset]:02x} at offset {offset} (line {line}). "
            "Convert it to UTF-8, for example with iconv -f WINDOWS-1252 -t UTF-8."
        ) from None


def _json_rows(raw: bytes, file: str, digest: str, wanted: Collection[str]) -> Table:
    text = decoded(raw, file)
    if text.lstrip()[:1] == "[":
        rows, lines = _parse_json(text, f"{file}"), None
    else:
        # Only a line feed ends a row: str.splitlines would also cut at characters that JSON allows inside texts.
        numbered = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line and not line.isspace()]
        rows, lines = (
            [_parse_json(line, f"{file}, line {number}") for number, line in numbered],
            [n for n, _ in numbered],
        )
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            place = f"row {index + 1}" if lines is None else f"line {lines[index]}"
            raise BenchError(f"{file}, {place}: a row must be a JSON object with the columns as keys.")
    if not rows:
        raise BenchError(f"{file} holds no rows.")
    names = tuple(rows[0])
    columns = {name: [row.get(name) for row in rows] for name in wanted if name in rows[0]}
    return Table(file, digest, names, columns, lines=lines)


def _parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BenchError(f"{where} is not JSON: {error}.") from None


def _delimited(delimiter: str) -> "Reader":
    def read(raw: bytes, file: str, digest: str, wanted: Collection[str]) -> Table:
        source = csv.reader(io.StringIO(decoded(raw, file), newline=""), delimiter=delimiter, strict=True)
        limit = csv.field_size_limit(sys.maxsize)
        rows, lines, begin = [], [], 1
        try:
            for row in source:
                if row:
                    rows.append(row)
                    lines.append(begin)
                begin = source.line_num + 1
        except csv.Error as error:
            raise BenchError(f'{file}, from line {begin}: {error}; quote fields with " and double it inside.') from None
        finally:
            csv.field_size_limit(limit)
        if not rows:
            raise BenchError(f"{file} holds no rows.")
        header = rows[0]
        for row, line in zip(rows, lines, strict=True):
            if len(row) != len(header):
                raise BenchError(f"{file}, line {line}: {len(row)} fields where the header has {len(header)}.")
        columns = {name: [row[header.index(name)] for row in rows[1:]] for name in wanted if name in header}
        return Table(file, digest, tuple(header), columns, lines=lines[1:])

    return read


def _parquet(raw: bytes, file: str, digest: str, wanted: Collection[str]) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = pq.ParquetFile(pa.BufferReader(raw))
        schema = source.schema_arrow
        columns = {name: source.read([name])[name].to_pylist() for name in wanted if name in schema.names}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{file} is no readable Parquet file: {error}.") from None
    return Table(file, digest, tuple(schema.names), columns, _class_names(schema))


def _class_names(schema: "pa.Schema") -> dict[str, tuple[str, ...]]:
    """Names of integer classes as the hub's library writes them into a Parquet schema."""
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    from datasets import ClassLabel, Features

    try:
        features = Features.from_arrow_schema(schema)
    except (KeyError, TypeError, ValueError):
        return {}  # written by something else under that name: the labels are then what the column holds
    return {name: tuple(each.names) for name, each in features.items() if isinstance(each, ClassLabel)}


Reader = Callable[[bytes, str, str, Collection[str]], Table]

_READERS: dict[str, Reader] = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".jsonl": _json_rows,
    ".json": _json_rows,
    ".parquet": _parquet,
}
