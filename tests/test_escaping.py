"""What data sets hold does nothing to a terminal or a spreadsheet, and no output dies of its encoding."""

import ast
import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.cli import main
from bench.escaping import cell, csv_file, shown, shown_json

pytestmark = pytest.mark.pictures

ROOT = Path(__file__).resolve().parents[1]
INPUTS = ROOT / "tests" / "inputs"
ACTS = {"\x00", "\x07", "\x08", "\x0d", "\x1b", "\x7f", "\x85", "\x9b", "\u202e", "\u2066"}
"""What a terminal acts on; all that is printed is looked through for it."""


@dataclass
class Ran:
    status: int
    out: str
    err: str


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Ran]:
    """The entry point as in a process whose standard output has that encoding, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("BENCH_TRACEBACK", raising=False)

    def run(*words: str, encoding: str = "utf-8") -> Ran:
        raw = io.BytesIO(), io.BytesIO()
        monkeypatch.setattr(sys, "argv", ["bench", *words])
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw[0], encoding=encoding))
        # Python itself opens it so
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw[1], encoding=encoding, errors="backslashreplace"))
        status: int | str | None = 0
        try:
            main.run()
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = (each.getvalue().decode(encoding) for each in raw)
        return Ran(int(status or 0), out, err)

    return run


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("plain, naïve, 日本語, 😀", "plain, naïve, 日本語, 😀"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b2J \x07 \r \x7f", "\\x9b2J \\x07 \\r \\x7f"),
        ("user\u202eexe.txt", "user\\u202eexe.txt"),
        ("half \ud83d", "half \\ud83d"),
    ],
)
def test_what_a_terminal_acts_on_is_shown_as_python_writes_it(text: str, harmless: str) -> None:
    assert shown(text) == harmless
    assert json.loads(shown_json(json.dumps([text], ensure_ascii=False))) == [text]
    assert not ACTS & set(shown_json(json.dumps([text], ensure_ascii=False)))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1+2", "'=1+2"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\\r=1"),
        ("＝1+2", "'＝1+2"),
        ("-1", "-1"),
        ("+1.5e3", "+1.5e3"),
        (-1, -1),
        (0.5, 0.5),
        (None, None),
        ("a=1", "a=1"),
        ("–", "–"),
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
    ],
)
def test_a_cell_is_no_formula_and_numbers_stay_numbers(value: object, written: object) -> None:
    assert cell(value) == written
    assert type(cell(value)) is type(written)


def test_a_csv_file_guards_its_header_too() -> None:
    read = list(csv.reader(io.StringIO(csv_file(["=a", "b"], [["@x", 1.5], ["one\ntwo", None]]).decode(), newline="")))
    assert read == [["'=a", "b"], ["'@x", "1.5"], ["one\ntwo", ""]]


def test_files_for_spreadsheets_and_lines_for_terminals_are_made_in_one_place() -> None:
    """A second csv writer would lack the guard, a second `print` the escapes."""
    found = set()
    for path in sorted((ROOT / "bench").rglob("*.py")):
        name = path.relative_to(ROOT / "bench").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                "print",
                "click.echo",
                "Console",
                "csv.writer",
            }:
                found.add((name, ast.unparse(node.func)))
    consoles = {("cli/progress.py", "Console"), ("cli/show.py", "Console")}
    assert found == {("escaping.py", "csv.writer"), *consoles}


@pytest.fixture
def model(tiny: Callable[..., Path]) -> str:
    return str(tiny("BertConfig"))


HOSTILE = sorted((INPUTS / "12").glob("*.csv"))


@pytest.mark.slow
@pytest.mark.parametrize("rows", HOSTILE, ids=lambda path: path.stem)
def test_hostile_labels_are_harmless_in_every_output_and_csv(
    rows: Path, bench: Callable[..., Ran], model: str, tmp_path: Path
) -> None:
    search = ["search", "--dataset", str(rows), "--models", model, "--space", "quickstart", "--trials", "2"]
    ran = [
        bench(*search, "--max-length", "16", "--study", "s", "--dry-run"),
        bench(*search, "--max-length", "16", "--study", "s"),
        bench(*search, "--max-length", "16", "--study", "s", "--json"),
        bench("report", "s"),
        bench("compare", "s:best", "s:cheapest"),
        bench("list", "studies"),
        bench("export", "s", "--out", "classifier"),
        bench("predict", "--model", "classifier", str(rows)),
    ]
    assert [each.status for each in ran] == [0] * len(ran), [each.err for each in ran]
    for each in ran:
        assert not ACTS & set(each.out + each.err)
    labels = {line["label"] for line in map(json.loads, ran[-1].out.splitlines())}
    written = set()
    for path in tmp_path.rglob("*.csv"):
        assert not ACTS & set(path.read_text(encoding="utf-8"))
        with path.open(encoding="utf-8", newline="") as file:
            cells = [each for row in csv.reader(file) for each in row]
        written.update(cells)
        for each in cells:
            assert cell(each) == each, f"{path.name}: {each!r}"
    assert {cell(label) for label in labels} <= written, "the tables name the classes"


@pytest.mark.parametrize(
    "words",
    [
        ("search", "--dataset", "no\x1b[2Jfile.csv"),
        ("search", "--dataset", "HEADER", "--dry-run"),
        ("search", "--dataset", "r8", "--models", "no/\x9bmodel", "--dry-run"),
        ("search", "--dataset", "r8", "--space", "no\x1b[2Jspace"),
        ("search", "--dataset", "r8", "--study", "no\x1b[2Jstudy", "--dry-run"),
        ("search", "--dataset", "r8", "--dtype", "no\x1b[2Jdtype"),
        ("report", "no\x1b[2Jstudy"),
        ("predict", "--model", "no\x1b[2Jmodel", "HEADER"),
        ("predict", "--model", ".", "HEADER", "--text-column", "no\x1b[2Jcolumn"),
        ("no\x1b[2Jcommand",),
        ("check", "--baseline", "no\x1b[2Jbaseline.json"),
        ("ui", "--tracking-uri", "no\x1b[2Jaddress"),
    ],
    ids=lambda words: "-".join(words[:3]).encode("unicode_escape").decode(),
)
def test_names_in_messages_are_harmless(words: tuple[str, ...], bench: Callable[..., Ran], tmp_path: Path) -> None:
    """Of files, columns, models, spaces, studies, commands and addresses, whoever gave them."""
    (tmp_path / "ev\x1b[2Jil.csv").write_text("a\x1b[2Jcolumn,another\u202e\none,two\nthree,four\n", encoding="utf-8")
    ran = bench(*("ev\x1b[2Jil.csv" if word == "HEADER" else word for word in words))
    assert ran.status == 2, ran
    assert not ACTS & set(ran.out + ran.err)
    assert "Traceback" not in ran.err


@pytest.mark.slow
@pytest.mark.parametrize("rows", sorted((INPUTS / "19").glob("labels-*.csv")), ids=lambda path: path.stem)
def test_no_output_dies_of_its_encoding_after_the_work(
    rows: Path, bench: Callable[..., Ran], model: str, tmp_path: Path
) -> None:
    """Tables degrade; JSON keeps every value, by its own escapes where the characters are not to be had."""
    search = ["search", "--dataset", str(rows), "--models", model, "--space", "quickstart", "--trials", "1"]
    table = bench(*search, "--max-length", "16", "--study", "s", encoding="ascii")
    assert (table.status, "?" in table.out) == (0, True), table.err
    found = bench(*search, "--max-length", "16", "--study", "s", "--json", encoding="ascii")
    assert json.loads(found.out)["study"] == "s"
    assert bench("export", "s", "--out", "classifier", encoding="ascii").status == 0
    said = [
        bench("predict", "--model", "classifier", str(rows), encoding=name) for name in ("utf-8", "cp1252", "ascii")
    ]
    assert [each.status for each in said] == [0, 0, 0], [each.err for each in said]
    one, two, three = ([json.loads(line) for line in each.out.splitlines()] for each in said)
    assert one == two == three
    with rows.open(encoding="utf-8") as file:
        assert set(one[0]["probabilities"]) == {row["label"] for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_process_prints_in_any_encoding(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "bench", "list", "fusions"]
    ran = subprocess.run(command, capture_output=True, check=False, env=os.environ | environment)
    assert (ran.returncode, ran.stderr) == (0, b"")
