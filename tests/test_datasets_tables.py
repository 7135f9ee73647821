import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.datasets.tables import Columns, Rows, read_table, rows_of, suffix_of
from bench.errors import BenchError

HOSTILE = [
    "<script>alert(1)</script>",
    'a "quoted"\nline, and\r\nanother',
    "nul \x00 and bell \x07",
    "next line \x85, separators \u2028 \u2029 \x1c, mark \ufeff",
    "=HYPERLINK(1)",
    "x" * 300_000,
    "\N{GRINNING FACE} \N{RIGHT-TO-LEFT OVERRIDE}abc",
    "\t tab \t",
]


def read(path: Path, columns: Columns | None = None) -> Rows:
    columns = columns or Columns()
    wanted = {columns.text, columns.label, columns.group or columns.label, "id"}
    return rows_of(read_table(path, wanted), "train", columns)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows in the format that the path's suffix names."""
    suffix = suffix_of(path.name)
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    if suffix == ".jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    elif suffix == ".json":
        text = json.dumps(rows)
    else:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(rows[0]), delimiter="\t" if suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
        text = buffer.getvalue()
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


FORMATS = ["csv", "tsv", "jsonl", "json", "parquet", "csv.gz", "jsonl.gz", "json.gz"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_keeps_hostile_texts_to_the_character(tmp_path: Path, suffix: str) -> None:
    rows = [{"text": text, "label": f"class {number % 2}", "id": f"r{number}"} for number, text in enumerate(HOSTILE)]
    read_rows = read(write(tmp_path / f"rows.{suffix}", rows))
    assert read_rows.texts == HOSTILE
    assert read_rows.labels == [row["label"] for row in rows]
    assert read_rows.ids == [row["id"] for row in rows]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=8))
def test_csv_and_json_lines_agree_on_any_text(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("formats")
    rows = [{"text": text, "label": "a"} for text in texts]
    # A text that begins with the mark would be read as one at the head of a file without a header; there is a header.
    for suffix in ("csv", "jsonl"):
        assert read(write(folder / f"rows.{suffix}", rows)).texts == texts


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_mark(tmp_path: Path, end: bytes, mark: bytes) -> None:
    (tmp_path / "rows.csv").write_bytes(mark + end.join([b"text,label", b"one,a", b"two,b", b""]))
    (tmp_path / "rows.jsonl").write_bytes(
        mark + end.join([b'{"text":"one","label":"a"}', b"", b'{"text":"two","label":"b"}', b""])
    )
    assert read(tmp_path / "rows.csv") == read(tmp_path / "rows.jsonl")
    assert read(tmp_path / "rows.csv").labels == ["a", "b"]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1, 0, 10], ["1", "0", "10"]),
        ([1.0, 0.0, 10.0], ["1", "0", "10"]),
        (["1.0", " 0 ", "10.00"], ["1", "0", "10"]),
        ([True, False, True], ["true", "false", "true"]),
        (["1.5", "v1.0", "a b"], ["1.5", "v1.0", "a b"]),
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_labels_become_strings(tmp_path: Path, values: list[Any], labels: list[str], suffix: str) -> None:
    rows = [{"text": "t", "label": value} for value in values]
    assert read(write(tmp_path / f"rows.{suffix}", rows)).labels == labels


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('{"text":"a","label":null}', "line 1: the label is missing"),
        ('{"text":"a","label":1}\n\n{"text":"a"}', "line 3: the label is missing"),
        ('{"text":"a","label":NaN}', "line 1: the label is missing"),
        ('{"text":"a","label":"  "}', "line 1: the label is missing"),
        ('{"text":"a","label":0.5}', "line 1: the label 0.5 is a measure"),
        ('{"text":"a","label":[1]}', "line 1: the label is a list"),
        ('{"text":"a","label":{}}', "line 1: the label is a dict"),
        ('{"text":7,"label":1}', "line 1: column 'text' holds int"),
        ('{"text":"a","label":1}\n{"text":', "rows.jsonl, line 2 is not JSON"),
        ('{"text":"a","label":1}\n[1]', "not JSON|line 2: a row must be a JSON object"),
        ("[" * 100_000, "is not JSON"),
        ('{"a":' * 100_000, "line 1 is not JSON"),
        ("", "rows.jsonl holds no rows"),
        ("\n \n", "rows.jsonl holds no rows"),
        ('{"txet":"a","label":1}', r"no column 'text' \(choose with --text-column\): did you mean 'txet'\?"),
        ('{"text":"a","answer":1}', r"no column 'label' .*--label-column.*: known: answer, text"),
    ],
)
def test_bad_json_lines_are_named(tmp_path: Path, data: str, message: str) -> None:
    (tmp_path / "rows.jsonl").write_text(data)
    with pytest.raises(BenchError, match=message):
        read(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("text,label\na,b,c\n", "line 2: 3 fields where the header has 2"),
        ('text,label\n"x\ny",a\nz\n', "line 4: 1 fields where the header has 2"),
        ('text,label\na,b\n"open,c\nd,e\n', "from line 3: .*quote"),
        ("text,label\na,\n", "line 2: the label is missing"),
        ("text,label\n", "holds no rows"),
        ("", "holds no rows"),
        ("text;label\na;b\n", "no column 'text'.*'text;label'"),
    ],
)
def test_bad_csv_is_named(tmp_path: Path, data: str, message: str) -> None:
    (tmp_path / "rows.csv").write_text(data)
    with pytest.raises(BenchError, match=message):
        read(tmp_path / "rows.csv")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_wrong_encoding_names_byte_and_line(tmp_path: Path, mark: bytes) -> None:
    head = mark + "text,label\nété,a\n".encode()
    (tmp_path / "rows.csv").write_bytes(head + b"caf\xe9,b\n")
    with pytest.raises(BenchError, match=rf"byte 0xe9 at offset {len(head) + 3} \(line 3\).*UTF-8"):
        read(tmp_path / "rows.csv")
    (tmp_path / "rows.csv").write_bytes("text,label\na,b\n".encode("utf-16"))
    with pytest.raises(BenchError, match="is UTF-16"):
        read(tmp_path / "rows.csv")


def test_files_that_are_absent_torn_or_no_tables(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"no file .*none\.csv"):
        read(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BenchError, match="cannot be read"):
        read(tmp_path / "folder.csv")
    whole = write(tmp_path / "rows.jsonl.gz", [{"text": "a", "label": "b"}]).read_bytes()
    (tmp_path / "rows.jsonl.gz").write_bytes(whole[:-9])
    with pytest.raises(BenchError, match="no whole gzip file"):
        read(tmp_path / "rows.jsonl.gz")
    torn = write(tmp_path / "rows.parquet", [{"text": "a", "label": "b"}]).read_bytes()
    (tmp_path / "rows.parquet").write_bytes(torn[:-20])
    with pytest.raises(BenchError, match="no readable Parquet"):
        read(tmp_path / "rows.parquet")
    write(tmp_path / "empty.parquet", [{"text": "a", "label": "b"}])
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(tmp_path / "empty.parquet").slice(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(BenchError, match="holds no rows"):
        read(tmp_path / "empty.parquet")
    with pytest.raises(BenchError, match="no table that can be read"):
        read(tmp_path / "rows.xlsx")


def test_suffixes_of_tables() -> None:
    assert [suffix_of(name) for name in ("a.CSV", "a.jsonl.gz", "a.parquet", "dir.csv/a")] == [
        ".csv",
        ".jsonl",
        ".parquet",
        None,
    ]
    assert suffix_of("a.parquet.gz") is None
    assert suffix_of("owner/name") is None


def test_ids_that_repeat_are_not_used(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "x", "id": 1}, {"text": "b", "label": "y", "id": 1}]
    assert read(write(tmp_path / "rows.jsonl", rows)).ids == ["train/0", "train/1"]


def test_group_column_is_read_and_required(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "x", "who": 7}, {"text": "b", "label": "y", "who": None}]
    path = write(tmp_path / "rows.jsonl", rows)
    assert read(path, Columns(group="who")).groups == ["7", None]
    with pytest.raises(BenchError, match=r"no column 'author'.*--group-column"):
        read(path, Columns(group="author"))
