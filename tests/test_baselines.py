"""Baselines that are candidates as any other: tuned, priced, on the front, chosen by name, shipped and pinned."""

# ruff: noqa: F811 - fixtures of another file

import csv
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cascades import CASCADING
from test_evaluation import scorer
from test_search import Run, run, store  # noqa: F401

from bench.comparison import compare, find
from bench.datasets.load import DatasetRequest, load
from bench.errors import BenchError
from bench.evaluation.protocol import Protocol
from bench.evaluation.tfidf import Tfidf, TfidfSettings
from bench.gate.baseline import read as read_baseline
from bench.gate.baseline import write
from bench.gate.check import check, from_study, measured
from bench.metrics import log_loss
from bench.packaging.export import export
from bench.packaging.pipeline import read as read_package
from bench.specs import TextCandidate
from bench.store import Store
from bench.study import outside
from bench.study.reopen import reopen
from bench.study.study import Study
from bench.tracking import MlflowTracker

TFIDF = TextCandidate(classifier="tfidf")


def test_tuned_tfidf_is_what_a_linear_svm_can_do_on_few_rows_and_takes_seconds(tmp_path: Path) -> None:
    """A reviewer's own tuned SVM had .81 to .85 and .95 there, and TF-IDF untuned .55 and .88."""
    found = scorer(tmp_path, load(DatasetRequest(name="r8", max_train=600, max_test=600)), Protocol(confirm=1))
    started = time.process_time()
    tuned = found.scored(TFIDF, "confirm")
    assert time.process_time() - started < 20
    assert tuned.f1.mean > 0.8
    assert tuned.accuracy.mean > 0.94
    assert tuned.f1.mean > found.scored("tfidf-logistic", "confirm").f1.mean + 0.1
    (repetition,) = tuned.repetitions
    logs = repetition.predictions.log_probabilities
    assert logs is not None
    assert log_loss(repetition.predictions.truth, logs.astype(np.float64)) < 0.3


def grouped(groups: int, rows: int, seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Texts of groups, each with a word of its own and a label of its own that no other word tells."""
    random = np.random.default_rng(seed)
    number = np.repeat(np.arange(groups), rows)
    texts = [f"own{group} " + " ".join(f"w{word}" for word in random.integers(0, 50, 6)) for group in number]
    return texts, random.integers(0, 2, groups)[number], number


def test_rows_of_a_group_stay_together_while_it_is_tuned() -> None:
    """Held apart, each group's own word would look like knowledge, and new groups be answered far too surely."""
    texts, labels, groups = grouped(60, 10)
    new, truth, _ = grouped(60, 10, seed=1)
    losses = []
    for told in (groups, np.arange(len(texts))):
        logs = Tfidf.fit(texts, labels, told, 2).logs([text.replace("own", "new") for text in new])
        losses.append(log_loss(truth, logs.astype(np.float64)))
    assert losses[0] < 0.75 < losses[1]


@given(st.integers(1, 4), st.integers(3, 30), st.integers(0, 99))
@settings(max_examples=25)
def test_whatever_it_is_trained_on_it_says_probabilities_and_is_restored(classes: int, rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    texts = [" ".join(f"w{word}" for word in random.integers(0, 20, 5)) + f" c{label}" for label in labels]
    fitted = Tfidf.fit(texts, labels, np.arange(rows), classes + 1)
    logs = fitted.logs([*texts, "of nothing known"])
    assert logs.dtype == np.float32
    assert np.exp(logs).sum(1) == pytest.approx(1, abs=1e-5)
    absent = np.setdiff1d(np.arange(classes + 1), labels)
    assert (logs[:, absent] == -np.inf).all(), "a class without training rows is out of the question"
    again = Tfidf.restored(fitted.description(), fitted.arrays())
    assert np.array_equal(again.logs(texts), fitted.logs(texts))
    assert TfidfSettings.model_validate(fitted.description()["settings"]) == fitted.settings


# --- in a study


def table(path: Path, study: Study, sides: Sequence[str], ms: float, right: float = 1.0) -> Path:
    """Predictions from outside of some sides of a study's rows, as many of them right as wanted."""
    dataset, random = study.material.dataset, np.random.default_rng(0)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "label", "ms"])
        for side in (getattr(dataset, name) for name in sides):
            for row, label in zip(side.ids, side.labels, strict=True):
                said = label if random.random() < right else random.integers(len(dataset.labels))
                rows.writerow([row, dataset.labels[said], ms])
    return path


def test_tfidf_is_on_the_front_is_chosen_compared_shipped_pinned_and_checked(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.packaging.timing.SECONDS", 0.2)
    study = run(MlflowTracker(tmp_path), trials=3, space=CASCADING)
    entry = study.front[0]
    assert (entry.name, entry.trial, entry.candidate, entry.latency_ms) == ("tfidf", None, TFIDF, 0.1)
    assert study.trials["tried"] == 3, "it counts for no trial"
    beaten = [
        record for record in study.journal.of("complete") if record.metrics["f1_floor"] <= entry.search["f1_floor"]
    ]
    assert not {record.number for record in beaten} & {each.trial for each in study.front}
    assert [each["name"] for each in study.to_json()["front"]] == [each.name for each in study.front]
    assert study.to_json()["front"][0]["run_id"] == study.choose("tfidf").run_id is not None
    stages = [stage for each in study.cascades for stage in each.cascade.record.cascade.stages]  # type: ignore[union-attr]
    assert all(each.classifier == "tfidf" for each in stages if isinstance(each, TextCandidate))
    again = reopen(tmp_path, "s", store)
    assert [each.name for each in again.front] == [each.name for each in study.front]

    out = tmp_path / "package"
    export(again, again.choose("tfidf"), out, chosen="tfidf")
    pipeline, (fitted,) = read_package(out / "artifacts" / "pipeline")
    assert (pipeline.trial, pipeline.baseline, pipeline.models) == (None, "tfidf", ())
    assert not list(out.rglob("*.pkl"))
    said = entry.confirmed.repetitions[0].predictions.log_probabilities
    assert isinstance(fitted, Tfidf)
    assert fitted.logs(study.material.dataset.test.texts) == pytest.approx(said, abs=1e-5)

    pinned = from_study(tmp_path, "s", ["tfidf"])
    made = measured(pinned, store.home)
    write(tmp_path / "baseline.json", made)
    assert not check(read_baseline(tmp_path / "baseline.json"), store.home).failed
    assert made.scores[0].f1 == pytest.approx(study.choose("tfidf").values["f1"], abs=1e-6)
    (found,) = compare(*(find(name, tmp_path).sides(lambda _: again) for name in ("s:tfidf", "s:best")))
    assert found.a.record.id == "tfidf"


def test_predictions_from_outside_join_and_cannot_be_shipped(run: Run, store: Store, tmp_path: Path) -> None:
    first = run(trials=3)
    blind = table(tmp_path / "llm.csv", first, ("test",), 300)
    seen = table(tmp_path / "tuned.csv", first, ("train", "test"), 400)
    study = run(trials=3, against=(f"llm={blind}", f"tuned={seen}"))
    named = {entry.name: entry for entry in (*study.front, *study.baselines)}
    assert [entry.name for entry in study.front][-1] == "tuned", "right in every row, and the dearest"
    assert study.selection.winner == "tuned"
    assert "llm" not in {entry.name for entry in study.front}, "nobody knows what it is worth out of fold"
    assert named["llm"].confirmed.accuracy.mean == 1
    assert named["llm"].latency_ms == 300
    assert named["llm"].comparison is not None
    for path in (blind, seen):
        path.unlink()
    again = run(trials=3)
    assert {"llm", "tuned"} <= {entry.name for entry in again.baselines}, "it is remembered"
    (found,) = compare(*(find(name, tmp_path).sides(lambda _: again) for name in ("s:llm", "s:knee")))
    assert found.by_seed == ()
    with pytest.raises(BenchError, match="from outside: nothing can be exported"):
        export(again, again.choose("tuned"), tmp_path / "out", chosen="tuned")
    with pytest.raises(BenchError, match="a check cannot make again"):
        from_study(tmp_path, "s", ["tuned"])
    assert all(candidate.models or candidate == TFIDF for candidate in from_study(tmp_path, "s").candidates)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,label\ntest/1,earn\n", "no column 'ms'"),
        ("id,label,ms\ntest/1,earn,3\n", r"lacks \d+ test rows"),
        ("id,label,ms\ntest/1,earn,3\ntest/1,earn,3\n", "line 3: the id 'test/1' was there before"),
        ("id,label,ms\ntest/1,ern,3\n", "line 2: 'ern' is no label of r8: did you mean 'earn'"),
        ("id,label,ms\ntest/1,earn,soon\n", "line 2: column 'ms' holds 'soon'"),
        ("id,ms\ntest/1,3\n", "neither a column 'label' nor scores"),
        ("id,scores.earn,ms\ntest/1,1,3\n", "and none of 'acq'"),
    ],
)
def test_a_file_from_outside_that_cannot_be_used_says_why(tmp_path: Path, content: str, words: str) -> None:
    path, dataset = tmp_path / "p.csv", load(DatasetRequest(name="r8", max_train=60, max_test=40))
    path.write_text(content)
    with pytest.raises(BenchError, match=words):
        outside.read([f"llm={path}"], dataset, {"knee"})
    for name in ("knee", "cascade-1", "12"):
        with pytest.raises(BenchError):
            outside.read([f"{name}={path}"], dataset, {"knee"})


def test_scores_that_are_probabilities_are_kept_as_such(tmp_path: Path) -> None:
    path, dataset = tmp_path / "p.csv", load(DatasetRequest(name="r8", max_train=60, max_test=40))
    head = ",".join(["id", *(f"probabilities.{label}" for label in dataset.labels), "ms"])
    shares = ",".join(["0.93", *["0.01"] * (len(dataset.labels) - 1)])
    path.write_text("\n".join([head, *(f"{row},{shares},2" for row in dataset.test.ids)]))
    (found,) = outside.read([f"llm={path}"], dataset, ())
    assert (found.test.kind, found.train) == ("log-probability", None)
    assert np.exp(found.test.scores[0, 0]) == pytest.approx(0.93)
