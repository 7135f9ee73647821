"""What bounds scores: classes without rows, labels that nobody can know, and how far one row moves a score."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from toy_task import NAME, registered

from bench.cli.main import cli
from bench.datasets.dataset import Dataset
from bench.datasets.load import load
from bench.datasets.request import DatasetRequest
from bench.evaluation.limits import Limits, in_words, limits
from bench.evaluation.protocol import Protocol
from bench.measures import ACCURACY, F1, Predictions

LABELS = ("a", "b", "c", "d")


def of(truth: list[int], known: list[bool] | None = None, trained: int = 4) -> Limits:
    there = np.array(truth)
    sure = np.ones(len(there), dtype=bool) if known is None else np.array(known)
    return Limits.of("test", there, sure, LABELS, trained, [F1, ACCURACY])


@given(st.lists(st.integers(0, 3), min_size=4, max_size=30).filter(lambda rows: len(set(rows)) > 1))
def test_one_row_of_the_smallest_class_moves_a_score_most_from_none_right_or_from_all(truth: list[int]) -> None:
    found, there = of(truth), np.array(truth)
    counts = np.bincount(there, minlength=4)
    rows = np.flatnonzero(there == LABELS.index(found.smallest))
    assert len(rows) == found.smallest_rows == min(counts[counts > 0])
    assert found.one_row["accuracy"] == pytest.approx(1 / len(truth))
    # others being right: F1 of the class goes from 0 to 2 / (n + 1), and the class that had the row gains a little
    own = 2 / (len(rows) + 1) / found.classes
    assert own <= found.one_row["macro-F1"] + 1e-9
    largest = max(set(truth) - {LABELS.index(found.smallest)}, key=lambda each: counts[each])
    steps = []
    for wrong in range(len(rows) + 1):
        said = there.copy()
        said[rows[:wrong]] = largest
        steps.append(f1_score(there, said, average="macro", zero_division=0))
    assert found.one_row["macro-F1"] >= max(np.abs(np.diff(steps))) - 0.02, "and no step between is larger"


def test_what_nobody_can_know_bounds_both_scores() -> None:
    found = of([0] * 10 + [1] * 5 + [3, 3], [True] * 15 + [False] * 2, trained=3)
    assert (found.absent, found.unknown, found.unknown_rows) == (("c",), ("d",), 2)
    reached = Predictions(np.array([0] * 10 + [1] * 5 + [3, 3]), np.array([0] * 10 + [1] * 5 + [0, 0]), LABELS)
    assert found.ceiling == pytest.approx({"macro-F1": reached.value(F1), "accuracy": 15 / 17})
    absent, unknown, moves = found.words()
    assert absent == "The test rows have none of 1 class, of which their scores say nothing: 'c'."
    assert unknown.startswith("On the test rows nothing gets beyond macro-F1 0.636 and accuracy 0.882: 2 rows of 'd'")
    assert "2 are of 'd', the smallest of 3 classes: one of them moves macro-F1 by 0.2" in moves


def test_nothing_is_said_where_nothing_matters() -> None:
    assert of([0, 1, 2, 3] * 100).words() == []


def rows_of(folder: Path, groups: int) -> Dataset:
    """Sixty rows of two classes, and five of a third whose rows lie in so many groups."""
    lines = [{"text": f"text {row}", "label": "ab"[row % 2], "of": f"own {row}"} for row in range(60)]
    lines += [{"text": f"rare {row}", "label": "c", "of": f"group {row % groups}"} for row in range(5)]
    for name in ("train", "test"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    asked = DatasetRequest(name=str(folder / "train.jsonl"), test_file=str(folder / "test.jsonl"), group_column="of")
    return load(asked)


def test_a_class_of_one_group_is_out_of_reach_out_of_fold(tmp_path: Path) -> None:
    one = limits(rows_of(tmp_path, 1), Protocol())
    assert one["search"].unknown == ("c",)
    assert one["search"].ceiling["accuracy"] == pytest.approx(60 / 65)
    assert one["search"].ceiling["macro-F1"] < 2 / 3
    assert one["test"].ceiling == {"macro-F1": 1.0, "accuracy": 1.0}
    assert "all of which lie in one fold" in in_words(one)[0]
    spread = limits(rows_of(tmp_path, 5), Protocol())
    assert spread["search"].ceiling == {"macro-F1": 1.0, "accuracy": 1.0}
    assert set(limits(rows_of(tmp_path, 1), Protocol(name="paper"))) == {"test"}, "which is what its search scores"


def test_a_validation_split_scores_its_own_rows_alone(tmp_path: Path) -> None:
    dataset = rows_of(tmp_path, 2)
    found = limits(dataset, Protocol(validation_above=10))["search"]
    assert found.rows < len(dataset.train)
    assert found.absent == ("c",) or found.smallest == "c"


def test_a_dry_run_says_it_before_anything_is_computed(tmp_path: Path, tiny: Any, monkeypatch: Any) -> None:
    rows_of(tmp_path, 1)
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    data = ["--test-file", str(tmp_path / "test.jsonl"), "--group-column", "of", "--models", str(tiny("BertConfig"))]
    asked = ["search", "--dataset", str(tmp_path / "train.jsonl"), *data, "--dry-run", "--device", "cpu"]
    ran = CliRunner().invoke(cli, asked, env={"COLUMNS": "200"})
    assert ran.exit_code == 0, ran.output
    assert "nothing gets beyond macro-F1" in ran.stdout
    assert json.loads(CliRunner().invoke(cli, [*asked, "--json"]).stdout)["limits"]


def test_other_labels_than_classes_have_none(tmp_path: Path) -> None:
    with registered():
        assert limits(replace(rows_of(tmp_path, 1), task=NAME), Protocol()) == {}
