"""Several labels a row: read, divided, trained, measured, searched, exported, evaluated and checked."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TEXTS
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import average_precision_score, f1_score
from sklearn.multiclass import OneVsRestClassifier

import bench
from bench.datasets.load import load
from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.evaluation.protocol import FoldRule, cut
from bench.gate.baseline import read, write
from bench.gate.check import check, from_study, measured
from bench.heads import Job, fit
from bench.heads.several import thresholds
from bench.measures import MEASURES, Predictions
from bench.packaging.classifier import Classifier
from bench.packaging.home import PIPELINE
from bench.specs import MLP, Candidate, HeadSettings, Logistic, Ridge, Source
from bench.tasks import TASKS
from bench.tasks.iterative import dealt

TASK = "multilabel"
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


def candidate(head: HeadSettings) -> Candidate:
    return Candidate(sources=(Source(model="m", layer=0, pooling="mean"),), head=head)


def problem(rows: int = 150, labels: int = 4) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 20)).astype(np.float32)
    y = (x @ rng.normal(size=(20, labels)) + 3 * rng.normal(size=(rows, labels)) > 2).astype(np.int64)
    return torch.from_numpy(x), y


def standardised(x: torch.Tensor, train: np.ndarray) -> np.ndarray:
    rows = x.double().numpy()
    found: np.ndarray = (rows - rows[train].mean(0)) / rows[train].std(0)
    return found


# Reading


def test_lists_signs_and_columns_are_the_same_labels(tmp_path: Path) -> None:
    chance = random.Random(0)
    sets = [sorted(chance.sample(["a", "b b", "c"], chance.randint(0 if n > 5 else 1, 3))) for n in range(40)]
    texts = [f"text {n}" for n in range(40)]
    (tmp_path / "list.jsonl").write_text(
        "".join(json.dumps({"text": text, "label": labels}) + "\n" for text, labels in zip(texts, sets, strict=True))
    )
    with (tmp_path / "json.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *zip(texts, map(json.dumps, sets), strict=True)])
    with (tmp_path / "columns.csv").open("w", newline="") as file:
        flags = [[int(name in labels) for name in ("a", "b b", "c")] for labels in sets]
        csv.writer(file).writerows([("text", "a", "b b", "c"), *([t, *f] for t, f in zip(texts, flags, strict=True))])
    requests = [
        DatasetRequest(name=str(tmp_path / "list.jsonl"), task=TASK),
        DatasetRequest(name=str(tmp_path / "json.csv"), task=TASK),
        DatasetRequest(name=str(tmp_path / "columns.csv"), task=TASK, label_columns=("a", "b b", "c")),
    ]
    found = [load(request) for request in requests]
    assert {each.fingerprint for each in found} == {found[0].fingerprint}
    assert found[0].labels == ("a", "b b", "c")
    assert found[0].train.labels.shape == (len(found[0].train), 3)


@pytest.mark.parametrize(("sign", "asked"), [("|", None), (";", None), (",", None), ("; ", ";"), ("/", "/")])
def test_the_sign_between_labels_is_found_or_given(sign: str, asked: str | None, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    with file.open("w", newline="") as lines:
        rows = [(f"text {n}", sign.join(["x", "y"][: 1 + n % 2])) for n in range(20)]
        csv.writer(lines).writerows([("text", "label"), *rows])
    dataset = load(DatasetRequest(name=str(file), task=TASK, label_sign=asked))
    assert dataset.labels == ("x", "y")
    assert sorted(set(dataset.train.labels.sum(1))) == [1, 2]


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text("text,a,b\nt,1,maybe\nu,0,1\n")
    with pytest.raises(BenchError, match=r"column 'b' says neither yes \(1\) nor no \(0\)"):
        load(DatasetRequest(name=str(tmp_path / "odd.csv"), task=TASK, label_columns=("a", "b")))
    (tmp_path / "one.csv").write_text("text,label\n" + "".join(f"text {n},x\n" for n in range(10)))
    with pytest.raises(BenchError, match="have 1 label between them: two are needed"):
        load(DatasetRequest(name=str(tmp_path / "one.csv"), task=TASK))


# Folds


def test_folds_keep_the_share_of_every_label_and_groups_whole() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((300, 12)) < np.linspace(0.02, 0.5, 12)).astype(np.int64)
    rows = np.arange(300)

    def spread(fold: np.ndarray) -> float:
        shares = np.array([y[fold == each].sum(0) for each in range(5)])
        return float(np.abs(shares - y.sum(0) / 5).mean())

    drawn = np.mean([spread(rng.permutation(rows % 5)) for _ in range(20)])
    assert spread(dealt(y, rows, 5, 0)) < 0.4 * drawn
    assert np.bincount(dealt(y, rows, 5, 0)).tolist() == pytest.approx([60] * 5, abs=3)
    assert np.array_equal(dealt(y, rows, 5, 0), dealt(y, rows, 5, 0))
    assert not np.array_equal(dealt(y, rows, 5, 0), dealt(y, rows, 5, 1))
    for part in cut(TASKS[TASK].fold_strata(y), rows // 3, FoldRule(folds=5), 0):
        assert not set(part.train // 3) & set(part.predict // 3)


# Measures


def test_measures_are_those_of_sklearn() -> None:
    rng = np.random.default_rng(0)
    truth, scores = (rng.random((60, 5)) < 0.3).astype(int), np.round(rng.random((60, 5)), 1) + 0.01
    predicted = (scores > 0.6).astype(int)
    said = Predictions(truth, predicted, tuple("abcde"), np.log(scores))
    for name, expected in (
        ("label_f1", f1_score(truth, predicted, average="macro")),
        ("micro_f1", f1_score(truth, predicted, average="micro")),
        ("samples_f1", f1_score(truth, predicted, average="samples", zero_division=1)),
        ("mean_ap", average_precision_score(truth, scores, average="macro")),
    ):
        assert MEASURES[name].compute(said) == pytest.approx(expected, abs=1e-12), name
        assert MEASURES[name].compute(said.perfect) == 1
        found = MEASURES[name].interval([said])
        assert found.low < found.value < found.high
    assert MEASURES["label_f1"].paired([said], [said]).p == 1


def test_a_label_that_training_lacks_is_never_right() -> None:
    truth = np.array([[1, 0, 1], [0, 1, 0]])
    said = Predictions(truth, truth[:, :2], ("a", "b", "new"), np.log(np.array([[0.9, 0.1], [0.1, 0.9]])))
    assert MEASURES["label_f1"].compute(said) == pytest.approx(2 / 3)
    assert MEASURES["micro_f1"].compute(said) == pytest.approx(4 / 5)


# Heads


def test_thresholds_are_where_f1_is_largest() -> None:
    outputs, y = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)).double(), problem(60, 3)[1]
    outputs[:, 2] = outputs[:, 2].round()
    found = thresholds(outputs, torch.from_numpy(y), 0.0)
    for label in range(3):
        scores = [f1_score(y[:, label], outputs[:, label] > each) for each in [*outputs[:, label], -np.inf]]
        assert f1_score(y[:, label], outputs[:, label] > found[label]) == max(scores)
    assert thresholds(outputs[:, :1], torch.zeros(60, 1, dtype=torch.int64), 0.25).tolist() == [0.25]


def test_logistic_is_one_against_the_rest_as_sklearn_has_it() -> None:
    x, y = problem()
    train, held_out = np.arange(120), np.arange(120, 150)
    (head,) = fit([x], y, 4, [Job(train, held_out, 0)], candidate(Logistic()), task=TASK)
    rows, logits = standardised(x, train), head.parts[0].logits([x], torch.arange(150)).numpy()
    for label in range(4):
        c = head.report[0][f"C {label}"]
        rest = OneVsRestClassifier(LogisticRegression(C=c, tol=1e-10, max_iter=5000)).fit(
            rows[train], y[train][:, [label]]
        )
        shift = logits[:, label] - rest.estimators_[0].decision_function(rows)
        # what is left is the label's threshold, the same for every row
        assert np.ptp(shift) < 1e-3
    assert (head.predict([x], held_out) >= 0.5).any()


def test_ridge_is_one_against_the_rest_as_sklearn_has_it() -> None:
    x, y = problem()
    train, held_out = np.arange(120), np.arange(120, 150)
    (head,) = fit([x], y, 4, [Job(train, held_out, 0)], candidate(Ridge()), task=TASK)
    rows, logits = standardised(x, train), head.parts[0].logits([x], torch.arange(150)).numpy()
    report = head.report[0]
    rest = OneVsRestClassifier(SklearnRidge(alpha=report["alpha"])).fit(rows[train], y[train])
    for label, each in enumerate(rest.estimators_):
        assert np.ptp(logits[:, label] / report["scale"] - each.predict(rows)) < 1e-4


@pytest.mark.parametrize("head", [Ridge(), Logistic(), MLP(learning_rate="tuned", epochs=30, hidden=16)])
def test_every_head_learns_and_labels_that_none_or_all_have_are_settled(head: HeadSettings) -> None:
    x, y = problem(200)
    y = np.hstack([y, np.zeros((200, 1), np.int64), np.ones((200, 1), np.int64)])
    job = Job(np.arange(150), np.arange(150, 200), 0)
    (fitted,) = fit([x], y, 6, [job], candidate(head), task=TASK, groups=np.arange(200) // 2)
    said = fitted.predict([x], job.predict) >= 0.5
    assert f1_score(y[150:, :4], said[:, :4], average="macro") > 0.5
    assert not said[:, 4].any()
    assert said[:, 5].all()


# From the file to the check


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Texts of words that the tiny models know, with a label for each of some words that they hold."""
    words, chance = sorted({word for text in TEXTS for word in text.split()}), random.Random(0)
    named = words[:12:3]
    file = tmp_path / "rows.csv"
    with file.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(["text", "label"])
        for _ in range(160):
            chosen = chance.sample(words, chance.randint(2, 5)) + chance.sample(named, chance.randint(0, 2))
            chance.shuffle(chosen)
            table.writerow([" ".join(chosen), json.dumps([f"has {word}" for word in named if word in chosen])])
    return file


def test_several_labels_are_searched_exported_evaluated_and_checked(
    rows: Path, tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    (tmp_path / "space.toml").write_text(SPACE, encoding="utf-8")
    models, home = [str(tiny("BertConfig")), str(tiny("RobertaConfig"))], tmp_path / "mlruns"
    searched = bench.search(
        str(rows), task=TASK, models=models, space=str(tmp_path / "space.toml"), trials=5, max_length=16, home=home
    )
    # a space that says nothing of labels searches for their macro-F1
    assert searched.study.request.space.objectives.names == ("label_f1_floor", "latency_ms")
    best = searched.choose("best")
    assert best.metrics["label_f1_mean"] > 0.5 > searched.baselines["frequent-labels"].search["label_f1_mean"]

    page = (searched.report(tmp_path / "page").folder / "report.html").read_text(encoding="utf-8")
    assert "Each label on the test set" in page
    assert "given labels" in page

    searched.export(tmp_path / "package", best.number)
    opened = Classifier.open(tmp_path / "package" / PIPELINE, tmp_path / "store")
    test = searched.study.material.dataset.test
    said = opened.said(opened.predict(test.texts[:3]))
    opened.close()
    assert set(said[0]) == {"labels", "scores"}
    assert json.loads(said[0]["labels"]) == [name for name, each in said[0]["scores"].items() if each >= 0.5]

    found = bench.evaluate(str(tmp_path / "package"), rows, min_f1=0.5)
    assert found.passed
    assert [each.label for each in found.classes] == list(searched.study.material.dataset.labels)
    assert all(each.f1.low <= each.f1.value <= each.f1.high for each in found.classes)
    with pytest.raises(BenchError, match="Accuracy is of classes"):
        bench.evaluate(str(tmp_path / "package"), rows, min_accuracy=0.5)

    pinned = from_study(home, searched.study.name, [str(best.number)])
    write(tmp_path / "baseline.json", measured(pinned, tmp_path / "store"))
    baseline = read(tmp_path / "baseline.json")
    assert baseline.measure.name == "label_f1"
    assert not check(baseline, tmp_path / "store").failed


def test_its_measures_are_its_own() -> None:
    assert all(MEASURES[name].task == TASK for name in TASKS[TASK].measures)
