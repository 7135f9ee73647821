import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.datasets.columns import Columns, Rows, rows_of
from bench.datasets.tables import Hints, read_table, suffix_of
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
    return rows_of(read_table(path, columns.wanted), "train", columns)


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


ANY = st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff")
"""But for the mark that begins a file: before a line it is left out with a warning, as where files were joined."""


@given(st.lists(st.text(ANY), min_size=1, max_size=8))
@example(["", "\r", ""])  # a row that goes over two lines, though not over two that end in a newline
def test_csv_and_json_lines_agree_on_any_text(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("formats")
    rows = [{"text": text, "label": "a"} for text in texts]
    expected = ["" if text.isspace() else text for text in texts]  # blank is missing, in every format
    for suffix in ("csv", "jsonl"):
        assert read(write(folder / f"rows.{suffix}", rows)).texts == expected


def test_an_old_macs_line_ends(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b'text,label\rone,a\r"two, or more",b\r')
    (tmp_path / "bare.csv").write_bytes(b"text,label\rone,a\rtwo,b\r")
    assert read(tmp_path / "rows.csv").texts == ["one", "two, or more"]
    assert read(tmp_path / "bare.csv").texts == ["one", "two"]


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
        ('{"txet":"a","label":1}', r"no column 'text' \(choose with `text_column`\): did you mean 'txet'\?"),
        ('{"text":"a","answer":1}', r"no column 'label' .*`label_column`.*: known: answer, text"),
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
        ('text,label\n"a",b\n"open,c\nd,e\n', "from line 3: .*quote"),
        ("text,label\na,\n", "line 2: the label is missing"),
        ("text,label\n", "holds no rows"),
        ("", "holds no rows"),
        ("text:label\na:b\n", "no column 'text'.*'text:label'"),
        ("text,text,label\na,b,c\n", "2 columns called 'text'"),
        ("text,label\na,b\ntext,label\nc,d\n", "line 3: the header again"),
        ("text,label\na\nb,x\nc,d,e\n", r"(?s)2 rows cannot be used.*line 2: 1 fields.*line 4: 3 fields"),
        ("id,text,label\n7,a,\n8,b,x\n9,c,\n", r"(?s)2 rows.*`drop_unlabelled`.*line 2 \(id 7\).*line 4 \(id 9\)"),
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
    with pytest.raises(BenchError, match="`encoding`"):
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
        read(tmp_path / "rows.pkl")


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
    with pytest.raises(BenchError, match=r"no column 'author'.*`group_column`"):
        read(path, Columns(group="author"))


DIALECTS = {
    "semicolons, as Excel writes them": (b"text;label\r\nhello, world;pos\r\nplain;neg\r\n", "semicolons"),
    "Excel's own first line": (b"sep=;\r\ntext;label\r\nhello, world;pos\r\nplain;neg\r\n", "semicolons"),
    "tabs in a csv": (b"text\tlabel\nhello, world\tpos\nplain\tneg\n", "tabs"),
    "a comment first": (b'# from the archive\ntext,label\n"hello, world",pos\nplain,neg\n', "1 line of comment"),
    "UTF-16 with a mark": ('text,label\n"hello, world",pos\nplain,neg\n'.encode("utf-16"), "UTF-16"),
    "UTF-16 without": ('text,label\n"hello, world",pos\nplain,neg\n'.encode("utf-16-le"), "UTF-16-LE"),
    "a mark in mid-file": ('text,label\n"hello, world",pos\n\ufeffplain,neg\n'.encode(), "line 3: a byte order mark"),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects_are_found_and_said(tmp_path: Path, name: str) -> None:
    content, said = DIALECTS[name]
    (tmp_path / "rows.csv").write_bytes(content)
    rows = read(tmp_path / "rows.csv")
    assert (rows.texts, rows.labels) == (["hello, world", "plain"], ["pos", "neg"])
    assert said in rows.notes[0]


def test_a_quote_that_swallows_rows_is_refused_with_its_line(tmp_path: Path) -> None:
    lines = ["text\tlabel", "one\tpos", '"two\tneg', "three\tpos", 'four"\tneg', "five\tpos", "six\tneg"]
    (tmp_path / "rows.tsv").write_text("\n".join(lines) + "\n")
    with pytest.raises(BenchError, match=r"line 3: .* goes on to line 5 .*`quoting='none'`"):
        read(tmp_path / "rows.tsv")
    plain = read_table(tmp_path / "rows.tsv", Columns().wanted, hints=Hints(quoting="none"))
    assert plain.columns["text"] == ["one", '"two', "three", 'four"', "five", "six"]
    quoted = read_table(tmp_path / "rows.tsv", Columns().wanted, hints=Hints(quoting="double"))
    assert quoted.columns["text"] == ["one", "two\tneg\nthree\tpos\nfour", "five", "six"]


def test_a_stray_quote_is_read_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text('text\tlabel\n"Great" he said\tpos\nan 8" pipe\tneg\n"never closed\tpos\n')
    rows = read(tmp_path / "rows.tsv")
    assert rows.texts == ['"Great" he said', 'an 8" pipe', '"never closed']
    assert "as they stand" in rows.notes[0]


def test_hints_win(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes("text;label\ncaf\xe9;pos\n".encode("latin-1"))
    table = read_table(tmp_path / "rows.csv", Columns().wanted, hints=Hints(";", "windows-1252"))
    assert table.columns == {"text": ["café"], "label": ["pos"]}
    with pytest.raises(BenchError, match="no encoding 'utf-9'"):
        read_table(tmp_path / "rows.csv", {"text"}, hints=Hints(encoding="utf-9"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.json", '{\n "data": [{"text": "a", "label": "b"}]\n}', r"is a JSON object, .*its keys: data"),
        ("rows.json", '{"text": {"0": "a"}, "label": {"0": "b"}}', "orient="),
        ("rows.jsonl", '{"text":"a","label":"b"},\n{"text":"c","label":"d"},\n', "line 1 .*ends with a comma"),
        ("rows.jsonl", '{"text":"a","label":"b","text":"c"}\n', "'text' stands twice"),
        ("rows.jsonl", '{"text":"a"}\n{"text":"c","label":"d"}\n', "line 1: the label is missing"),
    ],
)
def test_json_of_another_shape_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BenchError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_missing_is_one_rule(tmp_path: Path, suffix: str) -> None:
    empty = "" if suffix == "csv" else None
    rows = [
        {"text": "a", "label": "x", "who": "p", "id": "1"},
        {"text": empty, "label": "y", "who": empty, "id": "2"},
        {"text": "c", "label": empty, "who": "  ", "id": "3"},
    ]
    path = write(tmp_path / f"rows.{suffix}", rows)
    with pytest.raises(BenchError, match="the label is missing"):
        read(path)
    kept = read(path, Columns(group="who", drop_unlabelled=True))
    assert (kept.texts, kept.groups) == (["a", ""], ["p", None])
    assert "1 row without a label left out" in kept.notes[-1]


def test_an_id_column_that_is_named_must_tell_rows_apart(tmp_path: Path) -> None:
    rows = [{"text": t, "label": "x", "key": k} for t, k in (("a", "1"), ("b", "1"), ("c", ""))]
    with pytest.raises(BenchError, match=r"(?s)line 3: the id 1 is that of line 2 too.*line 4: the id is missing"):
        read(write(tmp_path / "rows.csv", rows), Columns(ids="key"))


def test_truth_values_are_the_same_class_in_every_format(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,True\nb,FALSE\n")
    (tmp_path / "rows.jsonl").write_text('{"text":"a","label":true}\n{"text":"b","label":"False"}\n')
    assert read(tmp_path / "rows.csv").labels == read(tmp_path / "rows.jsonl").labels == ["true", "false"]


def test_a_workbook_is_read(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("openpyxl")
    pd.DataFrame({"text": ["a", "NA"], "label": ["x", 1], "id": [None, 2]}).to_excel(tmp_path / "r.xlsx", index=False)
    rows = read(tmp_path / "r.xlsx")
    assert (rows.texts, rows.labels) == (["a", "NA"], ["x", "1"])


def test_nothing_is_silently_wrong() -> None:
    import readers

    found = {name: row["bench"] for name, row in readers.outcomes({"bench": readers.by_bench}).items()}
    assert not [name for name, outcome in found.items() if outcome == "WRONG"]
    # what is refused though it could be read: no library tells these from others without guessing
    assert {name for name, outcome in found.items() if outcome == "refused"} == {
        "windows-1252",
        "tsv, a quote that swallows rows",
        "the same, label first",
    }
