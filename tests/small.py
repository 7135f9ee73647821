"""A folder with a small data set, model and space, and what a candidate that was searched there must live through."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from formats.make import make_inputs

from bench.cli.main import cli
from bench.study.record import TrialRecord
from bench.study.study import Study


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, which is the working one; the store lies in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    make_inputs(tmp_path)
    return tmp_path


def said(*words: str) -> str:
    """What a command prints that ends well."""
    ran = CliRunner().invoke(cli, words)
    assert ran.exit_code == 0, f"{ran.output}{ran.exception!r}"
    return ran.stdout


def exported_and_checked(opened: Study, record: TrialRecord) -> None:
    """A candidate's package answers as the search did, and a baseline of it passes."""
    trial = str(record.number)
    said("export", opened.name, "--trial", trial, "--with-weights", "--out", "package")
    answers = [json.loads(line)["label"] for line in said("predict", "--model", "package", "test.csv").splitlines()]
    expected = opened.scored(record, "confirm").repetitions[0].predicted
    assert answers == [opened.material.dataset.labels[place] for place in expected]
    said("check", "--baseline", "b.json", "--update", "--yes", "--study", opened.name, "--trial", trial)
    assert "passed" in said("check", "--baseline", "b.json")
