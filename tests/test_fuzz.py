"""Whatever a file holds, people get a BenchError or a result: no traceback, no hang.

Valid files are altered byte by byte. `tox -e long` runs as many examples of each target as BENCH_EXAMPLES says.
"""

import contextlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.datasets.columns import Columns, rows_of
from bench.datasets.tables import Hints, read_table
from bench.errors import BenchError
from bench.gate import baseline
from bench.space.files import load as load_space

pytestmark = pytest.mark.long
ROOT = Path(__file__).parent.parent
EXAMPLES = int(os.environ.get("BENCH_EXAMPLES", "60"))

fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

TOKENS = [
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b'"',
    b",",
    b"\t",
    b"\n",
    b"\r",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"nan",
    b"NaN",
]
TOKENS += [
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"99999999999999999999",
    b"\\ud800",
    b"\xed\xa0\x80",
    b"#",
    b"=",
    b"'",
    b"\xf0\x9f",
]


@st.composite
def altered(draw: st.DrawFn, valid: bytes) -> bytes:
    """The bytes with some cut, doubled, replaced or put in."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 40))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            del content[place : place + length]
        elif kind == 1:
            content[place:place] = draw(st.sampled_from(TOKENS))
        elif kind == 2:
            content[place:place] = content[place : place + length]
        elif kind == 3:
            content[place : place + 1] = draw(st.binary(max_size=4))
        else:
            del content[place:]
    return bytes(content)


def attempt(action: Callable[[], object]) -> None:
    """Only a BenchError may come out."""
    with contextlib.suppress(BenchError):
        action()


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

    @fuzzed
    @given(altered(TABLES[suffix]), st.sampled_from([None, "none", "double"]))
    def run(content: bytes, quoting: str | None) -> None:
        path.write_bytes(content)
        hints = Hints(quoting=quoting)  # type: ignore[arg-type]
        attempt(lambda: rows_of(read_table(path, columns.wanted, hints=hints), "train", columns))

    run()


def test_spaces(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"

    @fuzzed
    @given(altered((ROOT / "search_spaces" / "default.toml").read_bytes()))
    def run(content: bytes) -> None:
        path.write_bytes(content)
        attempt(lambda: load_space(str(path)))

    run()


def test_baselines(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"

    @fuzzed
    @given(altered((ROOT / "tests" / "baseline.json").read_bytes()))
    def run(content: bytes) -> None:
        path.write_bytes(content)
        attempt(lambda: baseline.read(path))

    run()
