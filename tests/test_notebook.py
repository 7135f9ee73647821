"""What a notebook shows of results, and what may be given to calls there: tables, and never a text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from formats.make import make_inputs

import bench
from bench import api
from bench.api import Searched
from bench.errors import BenchError

pytestmark = pytest.mark.pictures

SETTINGS: dict[str, Any] = {"space": "space.toml", "models": ["./model"], "max_length": 16, "device": "cpu"}
MARK = "zebra crossing"
MOST = 6_000
"""Characters that a result shows."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pd.DataFrame]:
    """Texts that none may show, in the folder in which they are searched."""
    folder = tmp_path_factory.mktemp("notebook")
    make_inputs(folder)
    frame = pd.concat([pd.read_csv(folder / f"{name}.csv") for name in ("train", "test")], ignore_index=True)
    frame["text"] = f"{MARK} " + frame["text"]
    frame.index = pd.Index([f"row {number}" for number in frame.index])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BENCH_STORE", str(folder / "store"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield frame


@pytest.fixture(scope="module")
def found(rows: pd.DataFrame) -> Searched:
    return bench.search(rows, trials=4, tracking=False, **SETTINGS)


def check(result: Any) -> None:
    shown = [repr(result)]
    if hasattr(result, "_repr_html_"):
        shown.append(result._repr_html_())
    for text in shown:
        assert MARK not in text
        assert len(text) < MOST, type(result)


def test_a_frame_is_searched_and_found_again(found: Searched, rows: pd.DataFrame) -> None:
    (file,) = Path("mlruns/data").iterdir()
    assert file.stat().st_mode & 0o077 == 0, "whatever it holds is its owner's"
    again = bench.search(rows, trials=4, tracking=False, **SETTINGS)
    assert again.study.name == found.study.name
    assert [entry.trial for entry in bench.reopen(found.study.name).front] == [entry.trial for entry in found.front]
    planned = api.plan(rows, trials=4, **SETTINGS)
    assert (planned.study, planned.done) == (found.study.name, 4)


def test_results_show_a_table_and_words_and_never_a_text(found: Searched, rows: pd.DataFrame) -> None:
    compared = bench.compare(found, f"{found.study.name}:cheapest")
    report, exported = found.report(), found.export("classifier")
    material = api.extract(rows, ["./model"], max_length=16, device="cpu")
    dataset = found.study.material.dataset
    for result in (found, found.study, *compared, report, exported, material, dataset, dataset.train, *found.front):
        check(result)
    check(list(found.baselines.values()))
    check(api.plan(rows, trials=4, **SETTINGS))
    shown = repr(found)
    assert "best-single" in shown
    assert "Ship: " in shown
    assert "<table" in found._repr_html_()
    frame = found.to_frame()
    assert list(frame.index) == [entry.name for entry in (*found.study.found, *found.study.baselines)]
    assert {"candidate", "f1_floor", "accuracy_mean", "latency_ms", "test_f1_mean", "test_accuracy_mean"} <= {*frame}
    assert frame.loc["majority", "f1_floor"] == found.baselines["majority"].search["f1_floor"]
    assert compared[0].to_frame().loc["macro-F1", "difference"] == compared[0].test[0].difference


def test_figures_are_shown_as_pictures(found: Searched) -> None:
    assert {"front", "confirmation", "confusion"} <= {*found.figures}
    assert found.figures["front"]._repr_svg_().startswith("<svg")


def test_names_of_classes_are_escaped(found: Searched) -> None:
    frame = found.to_frame().rename(index=lambda name: f"<b>{name}")

    class Hostile(type(found)):  # type: ignore[misc]
        def shown_frame(self) -> pd.DataFrame:
            return frame

    assert "<b>" not in Hostile(found.study, found.tracker, found.home)._repr_html_()


def test_a_frame_is_classified_with_its_index(found: Searched, rows: pd.DataFrame) -> None:
    if not Path("packaged").exists():
        found.export("packaged")
    answers = api.predict("packaged", rows, keep=())
    check(answers)
    frame = answers.to_frame()
    assert list(frame.index) == list(rows.index)
    numbers = frame.filter(like="probabilities.")
    assert set(frame["label"]) <= {name.removeprefix("probabilities.") for name in numbers}
    assert numbers.sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-3)
    listed = api.predict("packaged", rows["text"].tolist()[:3]).to_frame()
    assert list(listed["label"]) == list(frame["label"][:3])
    Path("few.csv").write_text(rows.head(3).to_csv(index=False))
    assert list(api.predict("packaged", "few.csv").to_frame()["label"]) == list(frame["label"][:3])
    with pytest.raises(BenchError, match="There are no texts in int"):
        api.predict("packaged", 7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda rows: bench.search(rows.rename(columns={"text": 0}), **SETTINGS), "whose name is no text"),
        (lambda rows: bench.search(rows.head(0), **SETTINGS), "has no rows"),
        (lambda rows: bench.search(rows, text_column="body", **SETTINGS), "has no column 'body'"),
        (lambda rows: bench.search(rows.assign(text=1), **SETTINGS), "text"),
        (lambda rows: bench.search(rows.assign(text=[object()] * len(rows)), **SETTINGS), "cannot be kept"),
        (lambda rows: bench.search(7, **SETTINGS), "The setting 'dataset' cannot be 7"),
        (lambda rows: bench.search(rows, **SETTINGS | {"models": "./model"}), "'models' cannot be './model'"),
        (lambda rows: bench.search(rows, **SETTINGS | {"space": 3}), "space"),
        (lambda rows: bench.search(rows, home=3, **SETTINGS), "home"),
        (lambda rows: bench.reopen(7), "7"),
        (lambda rows: bench.reopen("gone"), "There is no study 'gone'"),
        (lambda rows: bench.compare("gone", 7), "gone"),
        (lambda rows: api.reproduce("layerz", ["r8"]), "did you mean 'layers'"),
        (lambda rows: api.reproduce("layers", "r8"), "Data sets are a list"),
        (lambda rows: api.predict("gone", rows), "gone"),
        (lambda rows: api.names("modles"), "did you mean 'models'"),
        (lambda rows: api.space("quikstart"), "quickstart"),
        (lambda rows: api.check("gone.json"), "gone.json"),
    ],
)
def test_mistakes_are_errors_for_people(rows: pd.DataFrame, call: Any, words: str) -> None:
    with pytest.raises(BenchError) as error:
        call(rows)
    assert words in str(error.value)
    assert MARK not in str(error.value)


def test_json_of_results_has_no_text(found: Searched) -> None:
    assert MARK not in json.dumps(found.study.to_json())


def test_rows_are_deleted_with_their_last_study(rows: pd.DataFrame) -> None:
    settings = SETTINGS | {"trials": 1, "home": "other", "tracking": False}
    for study in ("one", "two"):
        bench.search(rows, study=study, **settings)
    (file,) = Path("other/data").iterdir()
    api.delete_study("one", home="other")
    assert file.exists()
    assert file in api.study_files("two", home="other")
    api.delete_study("two", home="other")
    assert not file.exists()
