"""Rows of several fields: what a model reads of them, apart and joined, from the table to a package that answers."""

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from formats.make import COMMON, WORDS, make_model

import bench
from bench.backends.settings import ResolvedSettings
from bench.backends.tokenizer import Tokenizer, token_identity
from bench.cli.main import cli
from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.models.resolve import resolve
from bench.space.files import load
from bench.space.schema import SearchSpace
from bench.views import BLANK, PAIR, UNIT, Form, View, expanded, parted, plain, row_of, usual

SPACE = """version = 1

[sources]
models = ["./model"]
at_least = 2
at_most = 3
pooling = ["mean"]

[fusion]
operators = ["concat", "comparison"]

[head]
kinds = ["ridge", "mlp"]
epochs = 10

[protocol]
folds = 3
repetitions = 2
confirm = 2
"""
COLUMNS = ("--text-column", "head line", "--text-column", "body")
PLAIN = ("--device", "cpu", "--attention", "sdpa", "--max-length", "24")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fields, of which the first takes one of few values and the second tells the classes apart."""
    place = tmp_path_factory.mktemp("fields")
    rng = random.Random(0)
    for name, count in (("train.csv", 72), ("test.csv", 36)):
        lines = ["head line,body,label"]
        for index in range(count):
            label = sorted(WORDS)[index % len(WORDS)]
            words = rng.choices(WORDS[label], k=3) + rng.choices(COMMON, k=3)
            lines.append(f"{'' if index == 5 else COMMON[index % 4]},{' '.join(words)},{label}")
        (place / name).write_text("\n".join(lines) + "\n")
    (place / "space.toml").write_text(SPACE)
    make_model(place / "model")
    return place


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCH_STORE", str(folder / "store"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


def said(*words: str, status: int = 0) -> str:
    """What a command prints, no line of which is wider than 80."""
    ran = CliRunner().invoke(cli, words)
    assert ran.exit_code == status, f"{ran.output}{ran.exception!r}"
    wide = [line for line in ran.stdout.splitlines() if len(line) > 80 and not line.startswith(("{", "  http"))]
    assert wide == []
    return ran.stdout


def test_a_view_takes_a_row_apart() -> None:
    row = row_of(["a title", "", f"b{UNIT}c"])
    assert row == f"a title{UNIT}{UNIT}b c"
    assert plain(row) == "a title / b c"
    assert [View(places=(place,))(row) for place in range(3)] == ["a title", BLANK, "b c"]
    assert View(places=(2, 0), separator=" | ")(row) == "b c | a title"
    assert View(places=(0, 1, 2))(row) == "a title\nb c"
    assert View(places=(1,))(row_of(["", ""])) == BLANK
    assert View(places=(0, 1), pair=True)(row) == f"a title{PAIR}{BLANK}"


@pytest.mark.parametrize("view", [View(places=(1, 0)), View(places=(1,)), View(places=(0, 2), pair=True)])
def test_what_was_read_once_is_read_alike(view: View) -> None:
    read = view(row_of(["a", "b", "c"]))
    assert view(read) == read


def test_forms_follow_from_columns_and_names() -> None:
    assert usual(["text"]) == {}
    assert usual(["head line", "joined"]) == {
        "head_line": Form(fields=("head line",)),
        "joined_": Form(fields=("joined",)),
        "joined": Form(),
    }
    assert expanded(["m", "o/w:title"], usual(["title", "body"])) == ("m:title", "m:body", "m:joined", "o/w:title")
    assert [parted(name) for name in ("m", "o/w@1f:title", "C:\\models\\m")] == [
        ("m", None),
        ("o/w@1f", "title"),
        ("C:\\models\\m", None),
    ]


@pytest.mark.parametrize(
    ("form", "columns", "reason"),
    [
        (Form(fields=("titel",)), ("title", "body"), "did you mean 'title'"),
        (Form(pair=True), ("a", "b", "c"), "there are 3 fields"),
        (Form(pair=True), (), "give two"),
    ],
)
def test_a_form_that_rows_do_not_have_is_refused(form: Form, columns: tuple[str, ...], reason: str) -> None:
    with pytest.raises(BenchError, match=reason):
        form.view(columns, "x")


@pytest.mark.parametrize("name", ["fields", "pairs"])
def test_the_spaces_of_the_examples_are_right(name: str) -> None:
    space = load(str(Path(__file__).parents[1] / "docs" / "examples" / f"{name}.toml"))
    models = space.over(["title", "quote"] if name == "fields" else ["premise", "hypothesis"]).sources.models
    assert all(parted(model)[1] in space.inputs for model in models)


def test_the_table_of_the_docs_has_rows_for_each_number() -> None:
    """With rows, without, with, interval (or that nothing changed), milliseconds, and the command that prints them."""
    page = (Path(__file__).parents[1] / "docs" / "inputs.md").read_text()
    lines = [line.strip("| ").split(" | ") for line in page.splitlines()]
    rows = [line for line in lines if re.fullmatch(r"\d", line[0])]
    worth = [line for line in lines if re.match(r"\d\. ", line[0])]
    assert Counter(row[0] for row in rows) == {"1": 12, "2": 9, "3": 8, "4": 10}
    assert {row[0][0] for row in rows + worth} == set("123456789")
    commands = {row[0][0] for row in worth if re.fullmatch(r"`(python|bench) .+`", row[-1])}
    assert commands == {row[0][0] for row in worth}
    for name, data, _, _, difference, milliseconds, *_ in worth:
        assert re.search(r"\d", data), name
        assert re.search(r"[+−]\.?\d.* \([+−].+ to [+−].+\)|^–$", difference), name
        assert milliseconds, name
    for _, data, without, having, difference, milliseconds in rows:
        assert re.search(r", \d+ \+ \d+$", data)
        assert all(re.search(r": \d\.\d{3}$", side) for side in (without, having))
        assert re.fullmatch(r"[+-]\d\.\d{3} \(.+ to .+\)|the same candidate was chosen", difference)
        assert re.fullmatch(r"[\d.]+ → [\d.]+", milliseconds)
    assert "python tests/perf/inputs.py" in page


def test_one_column_is_written_as_it_was() -> None:
    request = DatasetRequest(name="a.csv", text_column="body")
    assert (request.text_column, request.fields) == (("body",), ())
    assert request.model_dump(mode="json")["text_column"] == "body"
    assert DatasetRequest.model_validate(request.model_dump(mode="json")) == request
    space = SearchSpace.model_validate({"version": 1, "sources": {"models": ["a"]}})
    assert "inputs" not in space.model_dump(mode="json")
    assert space.over(()) is space


def test_a_pair_is_joined_as_the_tokenizer_does(folder: Path, tmp_path: Path) -> None:
    settings = ResolvedSettings(backend="transformers", device="cpu", dtype="float32", max_length=24)
    model = resolve(str(folder / "model"), tmp_path)
    pair = model.under("m:pair", Form(pair=True), ("a", "b"))
    with pytest.raises(BenchError, match="puts nothing between"):  # a template of single texts
        Tokenizer(pair, settings)
    text = json.loads((folder / "model" / "tokenizer.json").read_text())
    text["post_processor"]["pair"] = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
        {"Sequence": {"id": "B", "type_id": 1}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
    ]
    copy = tmp_path / "model"
    copy.mkdir()
    for path in (folder / "model").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "tokenizer.json").write_text(json.dumps(text))
    pair = resolve(str(copy), tmp_path).under("m:pair", Form(pair=True), ("a", "b"))
    found = Tokenizer(pair, settings)
    ids = found.encode([row_of(["the new", "crop"])]).text(0).tolist()
    assert ids == found._tokenizer("the new", "crop").input_ids
    assert ids != found._tokenizer("the new crop").input_ids
    assert token_identity(pair, settings)["pair"] is True
    assert "pair" not in token_identity(model, settings)


def test_fields_go_from_a_table_to_answers(here: Path) -> None:
    rows = ("train.csv", "--test-file", "test.csv", *COLUMNS)
    asked = ("--space", "space.toml", "--models", "./model", *PLAIN, "--trials", "20", "--study", "s")
    assert "./model:head_line" in said("search", *rows, *asked)
    study = bench.reopen("s")
    assert set(study.study.material.models) == {"./model:head_line", "./model:body", "./model:joined"}
    (shelf,) = bench.api.store().shelves()
    # each field once by its text: 4 titles and a blank one, and all bodies and joined texts
    lines = Path("train.csv").read_text().split("\n")[1:-1] + Path("test.csv").read_text().split("\n")[1:-1]
    every = [line.split(",")[:2] for line in lines]
    read = {title or BLANK for title, _ in every} | {body for _, body in every}
    assert shelf.rows() == len(read | {"\n".join(filter(None, each)) for each in every})

    complete = study.study.journal.of("complete")
    fused = next(record for record in complete if record.candidate.fusion == "comparison")
    assert len({parted(model)[0] for model in fused.candidate.models}) == 1
    said("export", "s", "--trial", str(fused.number), "--with-weights", "--out", "package")
    package = json.loads(Path("package/artifacts/pipeline/pipeline.json").read_text())
    assert package["fields"] == ["head line", "body"]
    assert len({model["packed"]["folder"] for model in package["models"]}) == 1  # weights lie there once
    answers = [json.loads(line) for line in said("predict", "--model", "package", "test.csv").splitlines()]
    assert len(answers) == 36
    records = [dict(zip(("head line", "body"), each, strict=True)) for each in every[72:]]
    assert [row["label"] for row in bench.predict("package", records)] == [row["label"] for row in answers]
    expected = study.study.scored(fused, "confirm").repetitions[0].predicted
    assert [row["label"] for row in answers] == [study.study.material.dataset.labels[place] for place in expected]
    found = json.loads(said("evaluate", "--model", "package", "test.csv", "--json"))
    assert found["rows"] == 36
    said("apply", "--model", "package", "test.csv", "answers", "--format", "csv")
    said("check", "--baseline", "b.json", "--update", "--yes", "--study", "s", "--trial", str(fused.number))
    assert "passed" in said("check", "--baseline", "b.json")
    said("study", "bundle", "s", "--out", "s.zip")
    said("verify", "s.zip")


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["one text"], "has 1 field, and the model reads the fields head line, body"),
        ([{"body": "crop"}], "lacks the field 'head line'"),
        ([{"body": "crop", "head line": "a", "tail": "b"}], "has the field 'tail'"),
        ([{"body": 3, "head line": "a"}], "no text in 'body' but int"),
    ],
)
def test_what_is_no_record_of_these_fields_is_refused(here: Path, texts: list[Any], reason: str) -> None:
    with pytest.raises(BenchError, match=reason):
        list(bench.predict("package", texts))


def test_mlflow_asks_for_a_column_a_field(here: Path) -> None:
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model("package")
    assert [column.name for column in model.metadata.signature.inputs] == ["head line", "body"]
    found = model.predict(pd.DataFrame([{"head line": "", "body": "wheat crop maize"}]))
    assert list(found.columns) == ["label", "probabilities"]


def test_states_of_one_input_are_exported(here: Path) -> None:
    with pytest.raises(BenchError, match=r"one of \./model:head_line, \./model:body"):
        bench.api.export_states("train.csv", "./model", "x.safetensors", text_column=["head line", "body"])
