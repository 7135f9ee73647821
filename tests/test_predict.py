"""A file to be classified: read as a search reads it, answered row for row, written as its name says."""

import json
import tracemalloc
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from bench.datasets.tables import Hints
from bench.errors import BenchError
from bench.packaging.classifier import Classifier
from bench.packaging.predictions import Answers
from bench.packaging.texts import Reading, TextFile, of_list, read_texts
from bench.progress import SILENT
from bench.tasks import TASKS

INPUTS = Path(__file__).parent / "inputs" / "19"
LABELS = ("=yes", "no")


def texts_of(rows: TextFile) -> list[str | None]:
    return [text for part in rows for text in part.texts]


def beside(rows: TextFile) -> list[dict[str, Any]]:
    return [row for part in rows for row in part.beside]


@pytest.mark.parametrize(
    ("name", "reading", "texts", "others"),
    [
        (
            "blank-row-windows.csv",
            Reading(keep=("note",), hints=Hints(encoding="windows-1252")),
            ["Kündigung ist möglich", None, "zwei\r\nZeilen"],
            [{"id": "7", "note": "a"}, {"id": "8", "note": "b"}, {"id": "9", "note": "c"}],
        ),
        (
            "missing-texts.jsonl",
            Reading(ids="id", keep=("when",)),
            ["one", None, None],
            [{"id": 1, "when": 2.5}, {"id": 2, "when": 3}, {"id": 3, "when": 4}],
        ),
        ("blank-line.txt", Reading(), ["one", None, "three \u2028 with a separator", "four"], [{}, {}, {}, {}]),
    ],
)
def test_every_row_stays_in_its_place(
    name: str, reading: Reading, texts: list[str | None], others: list[dict[str, Any]]
) -> None:
    rows = read_texts(INPUTS / name, reading)
    assert texts_of(rows) == texts == texts_of(rows), "as often as asked for"
    assert beside(rows) == others
    assert rows.count == len(texts)


def test_lists_texts_a_line_and_sheets(tmp_path: Path) -> None:
    assert texts_of(of_list(["one", None, " ", float("nan")])) == ["one", None, None, None]
    with pytest.raises(BenchError, match="Text 2 is no text but int"):
        of_list(["one", 2])
    (tmp_path / "a.txt").write_bytes("\ufeffone\ntwo\n\ufeffthree".encode())
    assert texts_of(read_texts(tmp_path / "a.txt")) == ["one", "two", "three"]
    (tmp_path / "b").write_bytes("one\ntwo".encode("utf-16"))
    assert texts_of(read_texts(tmp_path / "b")) == ["one", "two"]
    pd.DataFrame({"text": ["one", None], "id": [1, 2], "when": pd.Timestamp("2026-01-02")}).to_excel(
        tmp_path / "c.xlsx", index=False
    )
    rows = read_texts(tmp_path / "c.xlsx", Reading(keep=("when",)))
    assert (texts_of(rows), rows.beside) == (["one", None], {"id": int, "when": str})
    assert beside(rows)[1] == {"id": 2, "when": "2026-01-02 00:00:00"}


@pytest.mark.parametrize(
    ("name", "content", "reading", "message"),
    [
        ("a.csv", b"txt\nhello\n", Reading(), "has no column 'text' .choose with `text_column`.: did you mean 'txt'"),
        ("a.csv", b"text\nhello\n", Reading(ids="nr"), "has no column 'nr' .choose with `id_column`"),
        ("a.csv", b"text\nhello\n", Reading(keep=("nr",)), "has no column 'nr' .choose with `keep`"),
        ("a.csv", b"text,n\none\ntwo,2\n", Reading(), "line 2: 1 fields where the header has 2"),
        ("a.jsonl", b'{"text": "a"}\n{"text": 3}\n', Reading(), "line 2: column 'text' holds int, not text"),
        ("a.jsonl", b'{"text": true}\n{"text": 3}\n', Reading(), "2 rows cannot be used.*\n.*line 1.*\n.*line 2"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', Reading(), "line 2 is not JSON"),
        ("a.txt", b"one\ncaf\xe9\n", Reading(), "not UTF-8: byte 0xe9 at offset 7 .line 2"),
        ("a.txt", b"one\n\x00\x01\n", Reading(), r"line 2: U\+0000 stands in no text"),
        ("a.txt", b"", Reading(), "holds no texts"),
        ("a.txt", b"one\n", Reading(text="body"), "leave out `text_column`"),
        ("a.txt", b"one\n", Reading(keep=("body",)), "leave out `keep`"),
        ("a.txt", b"one\n", Reading(hints=Hints(encoding="utf-99")), "no encoding 'utf-99'"),
        ("a.pdf", b"%PDF-1.7\n", Reading(), "a.pdf is no table that can be read"),
        ("a.xls", b"\xd0\xcf", Reading(), "a workbook of the old kind"),
        ("a.zip", b"PK", Reading(), "is an archive"),
        ("a.xlsx", b"PK", Reading(), "is no readable workbook"),
        ("gone.txt", None, Reading(), "There is no file"),
        ("gone.csv", None, Reading(), "There is no file"),
        (".", None, Reading(), "is a folder"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(
    name: str, content: bytes | None, reading: Reading, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchError, match=message):
        read_texts(tmp_path / name, reading)


class Stub:
    """A classifier whose probabilities follow from the length of a text."""

    task = TASKS["classification"]
    columns = task.columns

    def __init__(self) -> None:
        self.pipeline = type("Pipeline", (), {"labels": LABELS})
        self.closed = False

    def predict(self, texts: list[str]) -> np.ndarray:
        return np.array([[0.25, 0.75] if len(text) % 2 else [0.75, 0.25] for text in texts], np.float32).reshape(-1, 2)

    def said(self, scores: np.ndarray, number: Callable[[np.float32], float]) -> list[dict[str, Any]]:
        return [
            {
                "label": row["label"],
                "probabilities": {name: number(each) for name, each in row["probabilities"].items()},
            }
            for row in self.task.say(scores, LABELS)
        ]

    answers = Classifier.answers

    def close(self) -> None:
        self.closed = True


def predictions(rows: TextFile) -> Answers:
    return Answers(cast(Classifier, Stub()), rows, "predict", SILENT)


def test_a_file_is_written_as_its_name_says(tmp_path: Path) -> None:
    rows = read_texts(INPUTS / "missing-texts.jsonl", Reading(keep=("when",)))
    found = list(predictions(rows))
    odd, none = {"=yes": 0.25, "no": 0.75}, None
    assert found == [
        {"id": 1, "when": 2.5, "label": "no", "probabilities": odd},
        {"id": 2, "when": 3, "label": none, "probabilities": none},
        {"id": 3, "when": 4, "label": none, "probabilities": none},
    ]
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        predictions(rows).save(tmp_path / name)
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == found
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "id,when,label,probabilities.=yes,probabilities.no",
        "1,2.5,no,0.25,0.75",
        "2,3,,,",
        "3,4,,,",
    ]
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.to_pylist() == found
    assert list(map(str, table.schema.types[:3])) == ["int64", "double", "string"]
    with pytest.raises(BenchError, match=r"files that end in \.jsonl, \.csv, \.parquet, and not to a\.xml"):
        predictions(rows).save(tmp_path / "a.xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.jsonl", "a.parquet"]


def test_values_of_several_kinds_stand_beside_answers_in_every_format(tmp_path: Path) -> None:
    kinds = [1, "=1+1", None, [1, 2], 2**70, {"a": True}]
    lines = [json.dumps({"text": "a", "id": row, "kind": kind}) for row, kind in enumerate(kinds)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    rows = read_texts(tmp_path / "rows.jsonl", Reading(keep=("kind",)))
    assert [row["kind"] for row in predictions(rows)] == kinds
    predictions(rows).save(tmp_path / "a.parquet")
    assert pd.read_parquet(tmp_path / "a.parquet")["kind"].tolist()[:2] == ["1", "=1+1"]
    predictions(rows).save(tmp_path / "a.csv")
    assert pd.read_csv(tmp_path / "a.csv")["kind"].tolist()[1] == "'=1+1"


def test_a_value_that_json_has_no_form_for_stands_beside_its_answer_as_text(tmp_path: Path) -> None:
    kinds = {"number": [1.5, float("inf")], "list": [[1.0, float("-inf")], [2.0]], "dates": [[date(2026, 1, 1)], []]}
    pd.DataFrame({"text": ["a", "b"], **kinds}).to_parquet(tmp_path / "rows.parquet")
    rows = read_texts(tmp_path / "rows.parquet", Reading(keep=tuple(kinds)))
    first, second = predictions(rows)
    assert [first[name] for name in kinds] == [1.5, "[1.0, -inf]", "[datetime.date(2026, 1, 1)]"]
    assert [second[name] for name in kinds] == ["inf", [2.0], []]
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        predictions(rows).save(tmp_path / name)
    assert pd.read_parquet(tmp_path / "a.parquet")["number"].tolist() == ["1.5", "inf"]


def test_half_a_surrogate_pair_beside_a_text_ends_no_file(tmp_path: Path) -> None:
    kinds = ["\ud800x", ["\udfff"]]
    lines = [json.dumps({"text": "a", "id": row, "kind": kind}) for row, kind in enumerate(kinds)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    rows = read_texts(tmp_path / "rows.jsonl", Reading(keep=("kind",)))
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        predictions(rows).save(tmp_path / name)
    assert [json.loads(line)["kind"] for line in (tmp_path / "a.jsonl").read_text().splitlines()] == kinds
    assert pd.read_csv(tmp_path / "a.csv")["kind"].tolist() == [r"\ud800x", r'["\udfff"]']
    assert pd.read_parquet(tmp_path / "a.parquet")["kind"].tolist() == ["\ufffdx", '["\ufffd"]']


def test_a_column_that_the_answer_has_itself_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\none,x\n")
    with pytest.raises(BenchError, match="has a column 'label' of its own"):
        predictions(read_texts(tmp_path / "a.csv", Reading(keep=("label",))))


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_memory_does_not_grow_with_the_rows(ending: str, tmp_path: Path) -> None:
    def peak(count: int) -> int:
        (tmp_path / "rows.csv").write_text("id,text\n" + "".join(f"{row},a short text {row}\n" for row in range(count)))
        tracemalloc.start()
        predictions(read_texts(tmp_path / "rows.csv")).save(tmp_path / f"out{ending}")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(100)  # imports
    assert peak(12_000) < 1.5 * peak(5_000)
