"""A table a part at a time is the table that is read as a whole, in memory that does not grow with it."""

import gzip
import tracemalloc
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import readers
from hypothesis import given
from hypothesis import strategies as st

from bench.datasets.tables import Hints, parts, read_parts, read_table
from bench.datasets.tables.table import NO_HINTS
from bench.errors import BenchError

WANTED = ("text", "label")


def whole(path: Path, wanted: Collection[str] = WANTED, hints: Hints = NO_HINTS) -> Any:
    """What the file is, or what is wrong with it: names, notes, columns and places."""
    try:
        table = read_table(path, wanted, hints=hints)
    except BenchError as error:
        return str(error)
    count = max(map(len, table.columns.values()), default=0)
    return table.names, table.notes, table.columns, [table.where(row) for row in range(count)]


def in_parts(path: Path, wanted: Collection[str] = WANTED, hints: Hints = NO_HINTS) -> Any:
    try:
        found = read_parts(path, wanted, hints)
    except BenchError as error:
        return str(error)
    columns: dict[str, list[Any]] = {name: [] for name in wanted if name in found.names}
    places = []
    for part in found:
        for name, values in part.columns.items():
            columns[name] += values
        places += [part.where(row) for row in range(max(map(len, part.columns.values()), default=0))]
    return found.names, found.notes, columns, places


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ROWS", 2)


@pytest.mark.parametrize("name", readers.FILES)
@pytest.mark.parametrize("quoting", [None, "double", "none"])
def test_every_file_is_read_as_it_is_as_a_whole(name: str, quoting: Any, tmp_path: Path) -> None:
    suffix, content, _ = readers.FILES[name]
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(content)
    assert in_parts(path, hints=Hints(quoting=quoting)) == whole(path, hints=Hints(quoting=quoting))


SIGNS = st.text(st.sampled_from('ab,;"\n\r\t #\ufeffé'), max_size=24)


@given(
    body=SIGNS,
    header=st.sampled_from(
        ["text,label\n", "text;label\r\n", "\ufefftext\tlabel\n", 'sep=;\n"text";label\n', "text\n"]
    ),
    suffix=st.sampled_from([".csv", ".tsv", ".csv.gz", ".jsonl"]),
    quoting=st.sampled_from([None, None, "double", "none"]),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-16-le", "cp1252"]),
)
def test_no_text_is_read_otherwise_in_parts(
    body: str, header: str, suffix: str, quoting: Any, encoding: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzzed{suffix}"
    raw = (header + body).encode(encoding, errors="replace")
    path.write_bytes(gzip.compress(raw) if suffix.endswith(".gz") else raw)
    hints = Hints(quoting=quoting)
    assert in_parts(path, hints=hints) == whole(path, hints=hints)


@given(
    lines=st.lists(
        st.sampled_from(['{"text": "a"}', '{"label": 1, "text": null}', "", " ", "[", "3", '{"a": 1']), max_size=6
    )
)
def test_no_json_is_read_otherwise_in_parts(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert in_parts(path) == whole(path)


def csv_rows(count: int) -> bytes:
    return b"text,label\n" + b"".join(b"a short text of row %d,pos\n" % row for row in range(count))


LONG: dict[str, Callable[[Path, int], object]] = {
    "rows.csv": lambda path, count: path.write_bytes(csv_rows(count)),
    "lines.csv": lambda path, count: path.write_bytes(csv_rows(count) + b'"two\nlines, and a comma",neg\n'),
    "blanks.csv": lambda path, count: path.write_bytes(
        csv_rows(count).replace(b"row 7,", b"row 7,") + b"\n\nend,neg\n"
    ),
    "rows.csv.gz": lambda path, count: path.write_bytes(gzip.compress(csv_rows(count))),
    "rows.tsv": lambda path, count: path.write_bytes(csv_rows(count).replace(b",", b";")),
    "sixteen.csv": lambda path, count: path.write_bytes(csv_rows(count).decode().encode("utf-16")),
    "rows.jsonl": lambda path, count: path.write_text('{"text": "a short text"}\n' * count),
    "rows.parquet": lambda path, count: pq.write_table(
        pa.table({"text": [f"a short text of row {row}" for row in range(count)]}), path
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_memory_does_not_grow_with_the_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is read as usual is never held as a whole; Python's own allocations are counted."""
    monkeypatch.setattr(parts, "ROWS", 256)
    monkeypatch.setattr(parts, "read_table", None)

    def peak(count: int) -> int:
        path = tmp_path / name
        LONG[name](path, count)
        tracemalloc.start()
        rows = sum(len(part.columns["text"]) for part in read_parts(path, WANTED))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert rows >= count
        return most

    peak(1000)  # imports
    assert peak(10_000) < 1.5 * peak(2_000)


def test_a_file_that_changes_between_the_passes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(csv_rows(1000))
    found = read_parts(path, WANTED)
    path.write_bytes(b'text,label\n"never closed,pos\n')
    with pytest.raises(BenchError, match=r"rows\.csv has changed while it was read"):
        list(found)
    path.unlink()
    with pytest.raises(BenchError, match=r"rows\.csv has changed while it was read"):
        list(found)
