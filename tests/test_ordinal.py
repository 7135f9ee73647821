"""Grades and paths: read, ordered, decided, measured, searched, exported, evaluated and checked."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXTS
from sklearn.metrics import cohen_kappa_score, f1_score, mean_absolute_error

import bench
from bench.datasets.load import load
from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.gate.baseline import read, write
from bench.gate.check import check, from_study, measured
from bench.measures import MEASURES, Predictions
from bench.packaging.classifier import Classifier
from bench.packaging.home import PIPELINE
from bench.tasks import TASKS
from bench.tasks.ordinal import read_grade

SPACE = """
version = 1
[sources]
models = ["unused"]
at_most = 2
pooling = ["mean"]
[fusion]
operators = ["concat", "late"]
[head]
kinds = ["ridge"]
[protocol]
folds = 3
repetitions = 2
confirm = 2
"""
PATHS = ("a", "a/b", "a/c", "d/e/f", "d/e/g", "d/h")


def table(path: Path, labels: list[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *((f"text {n}", label) for n, label in enumerate(labels))])
    return path


# Measures


def said(rows: int, labels: tuple[str, ...], seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(labels), rows)
    predicted = np.clip(truth + rng.integers(-1, 2, rows), 0, len(labels) - 1)
    return Predictions(truth, predicted, labels)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_kappa_and_mae_are_those_of_sklearn(classes: int) -> None:
    found = said(80, tuple(map(str, range(classes))))
    each = list(range(classes))
    kappa = cohen_kappa_score(found.truth, found.predicted, weights="quadratic", labels=each)
    assert MEASURES["kappa"].compute(found) == pytest.approx(kappa, abs=1e-12)
    assert MEASURES["mae"].compute(found) == pytest.approx(mean_absolute_error(found.truth, found.predicted))
    assert MEASURES["kappa"].compute(found.perfect) == 1
    assert MEASURES["mae"].compute(found.perfect) == 0
    interval = MEASURES["kappa"].interval([found])
    assert interval.low < kappa < interval.high
    assert MEASURES["kappa"].paired([found], [found]).p == 1


def test_kappa_of_one_grade_alone_is_what_chance_gives() -> None:
    alone = Predictions(np.array([0, 1, 2]), np.array([1, 1, 1]), ("a", "b", "c"))
    assert MEASURES["kappa"].compute(alone) == 0
    assert MEASURES["kappa"].compute(alone.at(np.array([1]))) == 0


def test_hierarchical_f1_counts_ancestors() -> None:
    # d/e/f for d/e/g: two of three nodes each; a/b for a: one of one, and one too many
    one = Predictions(np.array([4, 0]), np.array([3, 1]), PATHS)
    assert MEASURES["hierarchical_f1"].compute(one) == pytest.approx(2 * (2 + 1) / (3 + 3 + 1 + 2))
    # the same as micro-F1 over indicators of all nodes
    found = said(60, PATHS)
    nodes = ["a", "a/b", "a/c", "d", "d/e", "d/e/f", "d/e/g", "d/h"]
    held = np.array([[path == node or path.startswith(node + "/") for node in nodes] for path in PATHS])
    expected = f1_score(held[found.truth], held[found.predicted], average="micro")
    assert MEASURES["hierarchical_f1"].compute(found) == pytest.approx(expected, abs=1e-12)
    assert MEASURES["hierarchical_f1"].compute(found.perfect) == 1
    # without a tree it is accuracy
    flat = said(60, ("x", "y", "z"))
    assert MEASURES["hierarchical_f1"].compute(flat) == pytest.approx(MEASURES["accuracy"].compute(flat))


# Decisions


def test_what_is_predicted_is_least_far_off() -> None:
    scores = np.random.default_rng(0).dirichlet(np.ones(5), 200).astype(np.float32)
    task, labels = TASKS["ordinal"], tuple("12345")
    median = (scores.astype(np.float64).cumsum(1) < 0.5).sum(1)
    assert np.array_equal(task.decided(scores, labels), median)
    # the extremes together are likelier, and the middle is nearer to both
    assert task.decided(np.array([[0.4, 0.25, 0.35]]), ("bad", "fair", "good")).tolist() == [1]
    # two leaves of one branch outweigh a likelier leaf of another
    paths = TASKS["hierarchy"].decided(
        np.array([[0.0, 0, 0, 0.28, 0.32, 0.4]]), ("x/y", *PATHS[1:3], "d/e/f", "d/e/g", "z")
    )
    assert paths.tolist() == [4]
    (row,) = TASKS["hierarchy"].say(np.array([[0.3, 0.3, 0.4]], np.float32), ("d/e", "d/f", "g"))
    assert row["ancestors"] == {"d": pytest.approx(0.6)}


# Reading


def test_numbers_are_ordered_by_value_and_names_as_they_say(tmp_path: Path) -> None:
    file = table(tmp_path / "stars.csv", ["10", "2", "1.50", "-1"] * 10)
    assert load(DatasetRequest(name=str(file), task="ordinal")).labels == ("-1", "1.5", "2", "10")
    assert [read_grade(value, None) for value in (3, 3.0, "3.0", 2.5, "good", True)] == [
        "3",
        "3",
        "3",
        "2.5",
        "good",
        "true",
    ]
    names = table(tmp_path / "names.csv", ["low", "mid", "high"] * 10)
    with pytest.raises(BenchError, match="they are no numbers: give it with `label_order`"):
        load(DatasetRequest(name=str(names), task="ordinal"))
    up, down = (
        load(DatasetRequest(name=str(names), task="ordinal", label_order=order))
        for order in (("low", "mid", "high"), ("high", "mid", "low"))
    )
    assert up.labels == ("low", "mid", "high")
    assert down.labels == ("high", "mid", "low")
    # what is computed depends on the order, which is part of what the data set is
    assert up.fingerprint != down.fingerprint


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (("low", "mid", "high", "hihg"), "`label_order` names 'hihg', which no row has: did you mean 'high'"),
        (("low", "high"), "The label 'mid' has no place in the order low, high"),
        (("low", "mid", "high", "low"), "names 'low' twice"),
    ],
)
def test_an_order_that_does_not_fit_is_refused(order: tuple[str, ...], message: str, tmp_path: Path) -> None:
    names = table(tmp_path / "names.csv", ["low", "mid", "high"] * 10)
    with pytest.raises(BenchError, match=message):
        load(DatasetRequest(name=str(names), task="ordinal", label_order=order))
    with pytest.raises(BenchError, match="`label_order` is for labels whose order means something"):
        load(DatasetRequest(name=str(names), label_order=("low", "mid", "high")))


def test_a_grade_of_test_alone_is_refused(tmp_path: Path) -> None:
    train, test = table(tmp_path / "train.csv", ["1", "2"] * 10), table(tmp_path / "test.csv", ["1", "2", "3"])
    with pytest.raises(BenchError, match="test has '3', and the grades that training has are '1', '2'"):
        load(DatasetRequest(name=str(train), test_file=str(test), task="ordinal"))


def test_paths_are_read_by_the_sign_between_levels(tmp_path: Path) -> None:
    file = table(tmp_path / "paths.csv", ["rec.sport.hockey", "rec.autos"] * 10)
    dotted = load(DatasetRequest(name=str(file), task="hierarchy", label_sign="."))
    assert dotted.labels == ("rec/autos", "rec/sport/hockey")
    with pytest.raises(BenchError, match="has a level without a name"):
        load(DatasetRequest(name=str(table(tmp_path / "bad.csv", ["a//b", "c"] * 9)), task="hierarchy"))


# From the file to the check


@pytest.fixture
def graded(tmp_path: Path) -> Path:
    """Texts of words that the tiny models know, with grades and paths by how many of some words they hold."""
    words, chance = sorted({word for text in TEXTS for word in text.split()}), random.Random(0)
    good, bad = words[:6], words[6:12]
    file = tmp_path / "rows.csv"
    with file.open("w", newline="", encoding="utf-8") as lines:
        rows = csv.writer(lines)
        rows.writerow(["text", "grade", "path"])
        for number in range(150):
            grade = number % 3
            chosen = chance.sample(good, grade) + chance.sample(bad, 2 - grade) + chance.sample(words[12:], 2)
            chance.shuffle(chosen)
            rows.writerow([" ".join(chosen), ["low", "mid", "high"][grade], ["x", "y/low", "y/high"][grade]])
    return file


@pytest.mark.parametrize(
    ("task", "column", "first", "others"),
    [("ordinal", "grade", "kappa", ("MAE", "mean absolute error")), ("hierarchy", "path", "hierarchical_f1", ())],
)
def test_they_are_searched_exported_evaluated_and_checked(
    task: str,
    column: str,
    first: str,
    others: tuple[str, ...],
    graded: Path,
    tiny: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    (tmp_path / "space.toml").write_text(SPACE, encoding="utf-8")
    models, home = [str(tiny("BertConfig")), str(tiny("RobertaConfig"))], tmp_path / "mlruns"
    order = ("low", "mid", "high") if task == "ordinal" else None
    searched = bench.search(
        str(graded),
        task=task,
        label_column=column,
        label_order=order,
        models=models,
        space=str(tmp_path / "space.toml"),
        trials=5,
        max_length=16,
        home=home,
    )
    # a space that says nothing of labels searches for what these are judged by first
    assert searched.study.request.space.objectives.names == (f"{first}_floor", "latency_ms")
    best = max(searched.study.journal.of("complete"), key=lambda record: record.metrics[f"{first}_mean"])
    assert best.metrics[f"{first}_mean"] > 0.3
    assert set(TASKS[task].measures) <= {name.removesuffix("_mean") for name in searched.baselines["majority"].search}
    page = (searched.report(tmp_path / "page").folder / "report.html").read_text(encoding="utf-8")
    assert all(word in page for word in (MEASURES[first].title, *others))

    searched.export(tmp_path / "package", best.number)
    opened = Classifier.open(tmp_path / "package" / PIPELINE, tmp_path / "store")
    test = searched.study.material.dataset.test
    answered = opened.predict(test.texts)
    rows = opened.said(answered)
    opened.close()
    decided = TASKS[task].decided(answered.probabilities, opened.pipeline.labels)
    assert [row["label"] for row in rows] == answered.labels == [opened.pipeline.labels[each] for each in decided]
    assert ("ancestors" in rows[0]) == (task == "hierarchy")

    found = bench.evaluate(str(tmp_path / "package"), graded, label_column=column, min_score=0.2)
    assert found.passed
    assert set(TASKS[task].measures) <= set(found.scores)
    with pytest.raises(BenchError, match="ask for a least"):
        bench.evaluate(str(tmp_path / "package"), graded, label_column=column, min_f1=0.2)

    pinned = from_study(home, searched.study.name, [str(best.number)])
    write(tmp_path / "baseline.json", measured(pinned, tmp_path / "store"))
    baseline = read(tmp_path / "baseline.json")
    assert baseline.measure.name == first
    assert not check(baseline, tmp_path / "store").failed
    assert json.loads((tmp_path / "baseline.json").read_text())


def test_their_measures_are_their_own() -> None:
    assert MEASURES["kappa"].task == MEASURES["mae"].task == "ordinal"
    assert MEASURES["hierarchical_f1"].task == "hierarchy"
