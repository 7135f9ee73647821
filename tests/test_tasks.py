"""A task that bench does not know of, from the file to the check: the engine asks, and knows no kind of labels."""

import csv
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXTS
from toy_task import NAME, registered

import bench
from bench.datasets.load import load
from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.gate.baseline import read, write
from bench.gate.check import check, from_study, measured
from bench.measures import MEASURES
from bench.packaging.classifier import Classifier
from bench.packaging.home import PIPELINE
from bench.specs import DEFAULT_TASK
from bench.tasks import Task

SPACE = """
version = 1
[sources]
models = ["unused"]
at_most = 2
pooling = ["mean"]
[fusion]
operators = ["concat", "sum", "late"]
[head]
kinds = ["toy-ridge"]
[protocol]
folds = 3
repetitions = 2
confirm = 2
[objectives]
maximize = ["r2_mean"]
minimize = ["latency_ms"]
"""


@pytest.fixture
def task() -> Iterator[Task]:
    with registered() as found:
        yield found


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Texts of words that the tiny models know, and numbers that follow from the words."""
    words, chance = sorted({word for text in TEXTS for word in text.split()}), random.Random(0)
    worth = {word: chance.gauss(0, 1) for word in words}
    file = tmp_path / "rows.csv"
    with file.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(["text", "label"])
        for _ in range(160):
            chosen = [chance.choice(words) for _ in range(chance.randint(3, 6))]
            table.writerow([" ".join(chosen), round(sum(map(worth.__getitem__, chosen)) / len(chosen), 6)])
    return file


def test_rows_are_read_and_divided_as_the_task_says(task: Task, rows: Path) -> None:
    dataset = load(DatasetRequest(name=str(rows), task=NAME))
    assert dataset.task == NAME
    assert dataset.labels == dataset.test_only_labels == ()
    assert dataset.train.labels.dtype == np.float64
    assert len(dataset.train) == 128
    # a fifth of each quarter of the rows, by size, is held out
    every = np.concatenate([dataset.train.labels, dataset.test.labels])
    held = task.fold_strata(every)[len(dataset.train) :]
    assert np.bincount(held).tolist() == [8, 8, 8, 8]
    small = load(DatasetRequest(name=str(rows), task=NAME, max_train=40))
    kept = np.isin(dataset.train.labels, small.train.labels)
    assert np.bincount(task.fold_strata(dataset.train.labels)[kept]).min() >= 9


def test_a_task_is_part_of_what_rows_are(task: Task, tmp_path: Path) -> None:
    file = tmp_path / "whole.csv"
    file.write_text("text,label\n" + "".join(f"text {n},{n % 3}\n" for n in range(30)))
    one, other = (load(DatasetRequest(name=str(file), task=name)) for name in (DEFAULT_TASK, NAME))
    assert one.fingerprint != other.fingerprint
    assert one.train.labels.tolist() == [int(label) for label in one.train.labels]


def test_an_unknown_task_and_a_head_that_does_not_serve_are_told_at_once(
    task: Task, rows: Path, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(BenchError, match="There is no task 'regresion': did you mean 'regression'"):
        load(DatasetRequest(name=str(rows), task="regresion"))
    (tmp_path / "named.csv").write_text("text,label\na text,good\n")
    with pytest.raises(BenchError, match="line 2: the label 'good' is no number"):
        load(DatasetRequest(name=str(tmp_path / "named.csv"), task=NAME))
    with pytest.raises(BenchError, match=r"The head 'ridge' does not serve regression\. Heads that do: toy-ridge"):
        bench.search(str(rows), task=NAME, models=[str(tiny("BertConfig"))], home=tmp_path / "mlruns")


def test_a_task_from_elsewhere_is_searched_exported_served_and_checked(
    task: Task, rows: Path, tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    (tmp_path / "space.toml").write_text(SPACE, encoding="utf-8")
    models = [str(tiny("BertConfig")), str(tiny("RobertaConfig"))]
    home = tmp_path / "mlruns"
    searched = bench.search(
        str(rows), task=NAME, models=models, space=str(tmp_path / "space.toml"), trials=5, max_length=16, home=home
    )
    assert searched.front
    best = searched.choose("best")
    assert best.metrics["r2_mean"] > 0.3
    assert searched.baselines["mean"].search["r2_mean"] < 0.01

    worst = min(searched.study.journal.of("complete"), key=lambda record: record.metrics["r2_mean"])
    name = searched.study.name
    (pair,) = bench.compare(f"{name}:{best.number}", f"{name}:{worst.number}", home=home)
    assert [each.title for each in pair.test] == [MEASURES[each].title for each in task.measures]
    assert pair.test[0].difference > 0
    assert pair.by_seed[0].difference > 0
    assert pair.examples is None
    assert "R²" in pair.words()

    searched.export(tmp_path / "package", best.number)
    opened = Classifier.open(tmp_path / "package" / PIPELINE, tmp_path / "store")
    test = searched.study.material.dataset.test
    said = opened.said(opened.predict(test.texts))
    opened.close()
    assert list(said[0]) == ["value"]
    assert np.corrcoef([row["value"] for row in said], test.labels)[0, 1] > 0.5

    pinned = from_study(home, searched.study.name, [str(best.number)])
    write(tmp_path / "baseline.json", measured(pinned, tmp_path / "store"))
    baseline = read(tmp_path / "baseline.json")
    assert baseline.measure.title == "R²"
    verdict = check(baseline, tmp_path / "store")
    assert not verdict.failed
    assert any("R² " in finding.detail for finding in verdict.findings)
