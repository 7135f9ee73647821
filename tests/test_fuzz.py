"""Whatever a file holds, people get a BenchError or a result: no traceback, no hang (see `fuzzing`)."""

import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from fuzzing import altered, fuzz
from hypothesis import strategies as st

from bench.datasets.columns import Columns, rows_of
from bench.datasets.tables import Hints, read_table
from bench.errors import BenchError
from bench.gate import baseline
from bench.space.files import load as load_space
from bench.study.journal import opened, read, studies_folder
from bench.study.settings import StudySettings

pytestmark = pytest.mark.long
ROOT = Path(__file__).parent.parent

CSV = b'text,label,who,id\n"one, two",pos,a,1\nplain,neg,b,2\n"with ""marks""",pos,a,3\n"two\nlines",neg,,4\n'
ROWS = [
    {"text": "one", "label": "pos", "id": 1},
    {"text": "two", "label": 0, "who": None},
    {"text": None, "label": 1.0},
]


def workbook() -> bytes:
    import pandas as pd

    pytest.importorskip("openpyxl")
    buffer = io.BytesIO()
    pd.DataFrame(ROWS).to_excel(buffer, index=False)
    return buffer.getvalue()


def parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["one", "two"], "label": ["pos", "neg"], "who": [None, "a"]}), buffer)
    return buffer.getvalue()


TABLES: dict[str, bytes] = {
    ".csv": CSV,
    ".tsv": CSV.replace(b",", b"\t"),
    ".json": json.dumps(ROWS).encode(),
    ".jsonl": "\n".join(json.dumps(row) for row in ROWS).encode(),
    ".parquet": parquet(),
    ".xlsx": workbook(),
}


@pytest.mark.parametrize("suffix", TABLES)
def test_tables(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    columns = Columns(group="who")

    def read(drawn: tuple[bytes, str | None]) -> None:
        content, quoting = drawn
        path.write_bytes(content)
        hints = Hints(quoting=quoting)  # type: ignore[arg-type]
        rows_of(read_table(path, columns.wanted, hints=hints), "train", columns)

    things = st.tuples(altered(TABLES[suffix]), st.sampled_from([None, "none", "double"]))
    fuzz("tables", things, read, kinds=len(TABLES))


def test_spaces(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        load_space(str(path))

    fuzz("spaces", altered((ROOT / "search_spaces" / "default.toml").read_bytes()), read)


def test_baselines(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        baseline.read(path)

    fuzz("baselines", altered((ROOT / "tests" / "baseline.json").read_bytes()), read)


CHAINED = (Path(__file__).parent / "inputs" / "04" / "chained.journal").read_bytes()
JOURNAL = b"".join(CHAINED.splitlines(keepends=True)[:65])
"""Its first seven trials: an example that fails is shown whole."""


@st.composite
def altered_lines(draw: st.DrawFn) -> bytes:
    """A journal with lines altered, lost, doubled or in another order."""
    lines = JOURNAL.splitlines(keepends=True)
    for _ in range(draw(st.integers(0, 3))):
        place, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            del lines[place]
        elif kind == 1:
            lines.insert(other, lines[place])
        elif kind == 2:
            lines[place], lines[other] = lines[other], lines[place]
        else:
            lines[place] = draw(altered(lines[place]))
    return b"".join(lines)


def test_journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No altered score is believed: what is left are records as they were written."""
    monkeypatch.setattr("os.fsync", lambda file: None)
    path = studies_folder(tmp_path) / "s.journal"
    path.parent.mkdir()
    path.write_bytes(JOURNAL)
    whole = read(tmp_path, "s")
    settings, records = StudySettings.model_validate(whole.settings), whole.records

    def look(content: bytes) -> None:
        for aside in path.parent.glob("*.damaged*"):
            aside.unlink()
        path.write_bytes(content)
        with suppress(BenchError):
            read(tmp_path, "s")
        with opened(tmp_path, "s", settings) as journal:
            left = dict(journal.records)
        assert left.items() <= records.items()
        assert read(tmp_path, "s").records == left

    fuzz("journals", st.one_of(altered(JOURNAL), altered_lines()), look)
