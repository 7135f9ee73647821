"""Which reader reads tables of texts as they were meant? Every file below × four libraries and bench's own way.

    python tests/readers.py        # needs duckdb, polars, pyarrow and clevercsv; what is missing is left out

Each file says which rows it holds, or that it cannot be read (None). A reader is *right* where it gives just these
rows; it *refuses* where it raises; all else is *silently wrong*, which must not happen. Each library is asked in the
way that it recommends for files of unknown dialect, all values as strings.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

Row = tuple[str, str]
A = [("hello, world", "pos"), ("plain", "neg"), ("third", "pos")]
PLAIN = [("one", "pos"), ("two", "neg"), ("three", "pos")]


def joined(rows: list[Row], delimiter: str, end: str = "\n", header: str = "") -> str:
    lines = [header or f"text{delimiter}label", *(f"{text}{delimiter}{label}" for text, label in rows)]
    return end.join(lines) + end


def quoted(rows: list[Row], delimiter: str = ",", end: str = "\n") -> str:
    cells = [("text", "label"), *rows]
    return end.join(delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells) + end


FORTY = [(f"a story of {number} words", "pos" if number % 2 else "neg") for number in range(40)]
SWALLOWED = [
    (('"' if n == 6 else "") + text + ('"' if n == 15 else ""), label) for n, (text, label) in enumerate(FORTY)
]
FILES: dict[str, tuple[str, bytes, list[Row] | None]] = {}


def file(name: str, suffix: str, content: str | bytes, rows: list[Row] | None) -> None:
    FILES[name] = (suffix, content if isinstance(content, bytes) else content.encode(), rows)


file("plain csv", ".csv", joined(PLAIN, ","), PLAIN)
file("CRLF", ".csv", joined(PLAIN, ",", "\r\n"), PLAIN)
file("no last line end", ".csv", joined(PLAIN, ",").rstrip("\n"), PLAIN)
file("quoted throughout", ".csv", quoted(A), A)
file("quoted where needed", ".csv", joined([('"hello, world"', "pos"), *A[1:]], ","), A)
file(
    "doubled quotation marks",
    ".csv",
    'text,label\n"he said ""hi""",pos\nplain,neg\n',
    [('he said "hi"', "pos"), ("plain", "neg")],
)
file(
    "line break in a cell",
    ".csv",
    'text,label\n"two\nlines",pos\nplain,neg\n',
    [("two\nlines", "pos"), ("plain", "neg")],
)
file("blank lines in a cell", ".csv", 'text,label\n"a\n\nb",pos\nplain,neg\n', [("a\n\nb", "pos"), ("plain", "neg")])
file(
    "comma and line break in a cell",
    ".csv",
    'text,label\n"a, b\nc",pos\nplain,neg\n',
    [("a, b\nc", "pos"), ("plain", "neg")],
)
file("blank lines between rows", ".csv", "text,label\none,pos\n\n\ntwo,neg\n", PLAIN[:2])
file("UTF-8 mark", ".csv", b"\xef\xbb\xbf" + joined(PLAIN, ",").encode(), PLAIN)
file("UTF-16 with a mark", ".csv", joined(PLAIN, ",").encode("utf-16"), PLAIN)
file("UTF-16 without", ".csv", joined(PLAIN, ",").encode("utf-16-le"), PLAIN)
file(
    "UTF-16, accents",
    ".csv",
    joined([("café", "pos"), ("naïve", "neg")], ",").encode("utf-16"),
    [("café", "pos"), ("naïve", "neg")],
)
file(
    "windows-1252",
    ".csv",
    joined([("café", "pos"), ("two", "neg")], ",").encode("cp1252"),
    [("café", "pos"), ("two", "neg")],
)
file("a mark in mid-file", ".csv", "text,label\none,pos\n\ufefftwo,neg\nthree,pos\n", PLAIN)
file("semicolons", ".csv", joined(A, ";"), A)
file(
    "semicolons, many commas",
    ".csv",
    joined([("a, b, c, d", "pos"), ("e, f", "neg")], ";"),
    [("a, b, c, d", "pos"), ("e, f", "neg")],
)
file("semicolons in a quoted cell", ".csv", 'text;label\n"a;b";pos\nplain;neg\n', [("a;b", "pos"), ("plain", "neg")])
file("bars", ".csv", joined(A, "|"), A)
file("tabs in a .csv", ".csv", joined(A, "\t"), A)
file("commas in a .tsv", ".tsv", joined(PLAIN, ","), PLAIN)
file("Excel's sep line", ".csv", "sep=;\r\n" + joined(A, ";", "\r\n"), A)
file("comment line", ".csv", "# written in 2019\n" + joined(PLAIN, ","), PLAIN)
file("two comment lines", ".csv", "# written in 2019\n# by hand\n" + joined(PLAIN, ","), PLAIN)
file(
    "a text that begins with #",
    ".csv",
    joined([("#best day", "pos"), ("two", "neg")], ","),
    [("#best day", "pos"), ("two", "neg")],
)
file("plain tsv", ".tsv", joined(A, "\t"), A)
file(
    "tsv, quotation marks inside",
    ".tsv",
    joined([('an 8" pipe', "pos"), ("two", "neg")], "\t"),
    [('an 8" pipe', "pos"), ("two", "neg")],
)
file(
    "tsv, a quoted first word",
    ".tsv",
    joined([('"Great" he said', "pos"), ("two", "neg")], "\t"),
    [('"Great" he said', "pos"), ("two", "neg")],
)
file("tsv, a quote that swallows rows", ".tsv", joined(SWALLOWED, "\t"), SWALLOWED)
file(
    "the same, label first",
    ".tsv",
    "label\ttext\n" + "".join(f"{label}\t{text}\n" for text, label in SWALLOWED),
    SWALLOWED,
)
file(
    "tsv, a quote never closed",
    ".tsv",
    joined([('"open', "pos"), ("two", "neg"), ("three", "pos")], "\t"),
    [('"open', "pos"), ("two", "neg"), ("three", "pos")],
)
file("csv, a quote never closed", ".csv", 'text,label\n"one, two",pos\n"open,neg\nthree,pos\n', None)
file("a row with a field too few", ".csv", "text,label\none,pos\ntwo\nthree,pos\n", None)
file("a row with a field too many", ".csv", "text,label\none,pos\na,b,neg\nthree,pos\n", None)
file("an unquoted comma in each text", ".csv", "text,label\na, b,pos\nc, d,neg\n", None)
file("a delimiter behind each row", ".csv", "text,label\none,pos,\ntwo,neg,\n", None)
file("the header again in mid-file", ".csv", "text,label\none,pos\ntext,label\ntwo,neg\n", None)
file("two columns of one name", ".csv", "text,label,label\none,pos,x\ntwo,neg,y\n", None)
file("no header", ".csv", "one,pos\ntwo,neg\n", None)
file(
    "numbers as texts",
    ".csv",
    joined([("007", "1"), ("1e5", "0"), ("1,5", "1")], ";"),
    [("007", "1"), ("1e5", "0"), ("1,5", "1")],
)
file(
    "words for missing",
    ".csv",
    joined([("NA", "pos"), ("null", "neg"), ("nan", "pos")], ","),
    [("NA", "pos"), ("null", "neg"), ("nan", "pos")],
)
file("truth values", ".csv", joined([("one", "true"), ("two", "false")], ","), [("one", "true"), ("two", "false")])
file(
    "dates",
    ".csv",
    joined([("2019-01-01", "pos"), ("01.02.2019", "neg")], ","),
    [("2019-01-01", "pos"), ("01.02.2019", "neg")],
)
file("blanks around fields", ".csv", "text,label\n one ,pos\n two ,neg\n", [(" one ", "pos"), (" two ", "neg")])
file(
    "a next-line sign in a text",
    ".csv",
    joined([("a\x85b\u2028c", "pos"), ("two", "neg")], ","),
    [("a\x85b\u2028c", "pos"), ("two", "neg")],
)
file("a backslash before a quote", ".csv", 'text,label\n"a \\"b\\" c",pos\ntwo,neg\n', None)
file(
    "a long text",
    ".csv",
    joined([("x" * 300_000, "pos"), ("two", "neg")], ","),
    [("x" * 300_000, "pos"), ("two", "neg")],
)
file("three columns, odd order", ".csv", "label,id,text\npos,1,one\nneg,2,two\n", PLAIN[:2])
file("single row", ".csv", "text,label\none,pos\n", PLAIN[:1])
file("empty file", ".csv", "", None)
file("header alone", ".csv", "text,label\n", None)


def by_bench(path: Path) -> list[Row]:
    from bench.datasets.tables import read_table

    table = read_table(path, {"text", "label"})
    return list(zip(table.columns["text"], table.columns["label"], strict=True))


def by_duckdb(path: Path) -> list[Row]:
    import duckdb

    with duckdb.connect() as connection:
        options = "all_varchar = true, sample_size = -1, header = true, max_line_size = 1000000"
        asked = f"SELECT text, label FROM read_csv('{path}', {options})"
        return [(text or "", label or "") for text, label in connection.execute(asked).fetchall()]


def by_polars(path: Path) -> list[Row]:
    import polars

    separator = "\t" if path.suffix == ".tsv" else ","
    frame = polars.read_csv(path, separator=separator, infer_schema=False)
    return list(zip(frame["text"].to_list(), frame["label"].to_list(), strict=True))


def by_pyarrow(path: Path) -> list[Row]:
    import pyarrow as pa
    from pyarrow import csv

    table = csv.read_csv(
        path,
        parse_options=csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",", newlines_in_values=True),
        convert_options=csv.ConvertOptions(column_types={"text": pa.string(), "label": pa.string()}),
    )
    return list(zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True))


def by_clevercsv(path: Path) -> list[Row]:
    import clevercsv

    rows = clevercsv.read_table(str(path))
    places = [rows[0].index(name) for name in ("text", "label")]
    return [(row[places[0]], row[places[1]]) for row in rows[1:]]


READERS: dict[str, Callable[[Path], list[Row]]] = {
    "bench": by_bench,
    "duckdb": by_duckdb,
    "polars": by_polars,
    "pyarrow": by_pyarrow,
    "clevercsv": by_clevercsv,
}


def outcome(read: Callable[[Path], list[Row]], path: Path, rows: list[Row] | None) -> str:
    """``right``, ``refused`` or ``WRONG``; a file that cannot be read is right where it is refused."""
    try:
        found = read(path)
    except ImportError:
        return "–"
    except Exception:  # noqa: BLE001 - every library has errors of its own
        return "right" if rows is None else "refused"
    return "right" if found == rows else "WRONG"


def outcomes(readers: dict[str, Callable[[Path], list[Row]]]) -> dict[str, dict[str, str]]:
    """File → reader → outcome."""
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (suffix, content, rows)) in enumerate(FILES.items()):
            path = Path(folder) / f"rows-{number}{suffix}"
            path.write_bytes(content)
            found[name] = {reader: outcome(read, path, rows) for reader, read in readers.items()}
    return found


def main() -> None:
    found = outcomes(READERS)
    width = max(map(len, found))
    print(f"{'file':{width}}  " + "  ".join(f"{reader:9}" for reader in READERS))
    for name, row in found.items():
        print(f"{name:{width}}  " + "  ".join(f"{row[reader]:9}" for reader in READERS))
    for kind in ("right", "refused", "WRONG"):
        counts = [sum(row[reader] == kind for row in found.values()) for reader in READERS]
        print(f"{kind:{width}}  " + "  ".join(f"{count:<9}" for count in counts))
    sys.exit(any(row["bench"] == "WRONG" for row in found.values()))


if __name__ == "__main__":
    main()
