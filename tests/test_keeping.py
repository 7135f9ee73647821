"""Studies looked at, renamed and deleted, with their runs: on what a search has left."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock
from formats.make import SEARCH, unpack
from mlflow import MlflowClient

from bench import api
from bench.cli.main import cli
from bench.errors import BenchError
from bench.study.journal import read, study_names

STUDY = "train-space-325f6620"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a search was run, which is the working directory."""
    folder = tmp_path.resolve() / "made"
    unpack(Path(__file__).with_name("formats") / "ae98f55", folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCH_STORE", str(folder / "store"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    report = folder / "mlruns" / "reports" / STUDY
    report.mkdir(parents=True)
    (report / "report.html").write_text("page")
    return folder


def called(*words: str, status: int = 0) -> str:
    ran = CliRunner().invoke(cli, ["study", *words])
    assert (2 if isinstance(ran.exception, BenchError) else ran.exit_code) == status, f"{ran.output}{ran.exception!r}"
    return str(ran.exception) if status else ran.stdout


def runs(home: Path, study: str) -> list[str]:
    client = MlflowClient(f"sqlite:///{home / 'mlruns' / 'mlflow.db'}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    return [run.info.run_id for run in client.search_runs(experiments, f"tags.`bench.study` = '{study}'")]


def test_a_study_is_shown_without_its_data(home: Path) -> None:
    (home / "train.csv").unlink()
    words = called("show", STUDY)
    assert "train.csv" in words
    assert "knee" in words
    found = json.loads(called("show", STUDY, "--json"))
    expected = json.loads((home / "expected.json").read_text())["front"]
    assert [each["trial"] for each in found["front"]] == [each["trial"] for each in expected]
    assert sum(found["trials"].values()) == len(read(Path("mlruns"), STUDY).records)
    assert "did you mean" in called("show", STUDY[:-1], status=2)


def test_a_study_is_renamed_in_its_files_and_its_runs_and_goes_on(home: Path) -> None:
    before, own = read(Path("mlruns"), STUDY), runs(home, STUDY)
    assert f"{len(own)} runs" in called("rename", STUDY, "one of mine")
    assert study_names(Path("mlruns")) == ["one of mine"]
    after = read(Path("mlruns"), "one of mine")
    assert (after.id, after.records) == (before.id, before.records)
    assert sorted(runs(home, "one of mine")) == sorted(own)
    assert runs(home, STUDY) == []
    assert Path("mlruns/reports/one of mine/report.html").read_text() == "page"
    assert "There is a study 'one of mine'" in called("rename", "one of mine", "one of mine", status=2)
    assert "cannot be a study's name" in called("rename", "one of mine", "../x", status=2)


@pytest.mark.slow
def test_a_renamed_study_goes_on_in_its_own_runs(home: Path) -> None:
    own = runs(home, STUDY)
    called("rename", STUDY, "mine")
    ran = CliRunner().invoke(cli, ["search", *SEARCH, "--study", "mine", "--trials", "9", "--json"])
    assert ran.exception is None or "other settings" in str(ran.exception), ran.output
    assert "another study 'mine'" not in ran.stderr
    assert set(own) <= set(runs(home, "mine"))


def test_a_study_is_deleted_with_its_runs_and_nothing_else(home: Path) -> None:
    stored = sorted(path for path in (home / "store").rglob("*") if path.is_file())
    assert "Nothing was deleted" in called("delete", STUDY, status=2)
    assert study_names(Path("mlruns")) == [STUDY]
    with FileLock("mlruns/studies/" + STUDY + ".lock"):
        assert "open in another process" in called("delete", STUDY, "--yes", status=2)
    found = json.loads(called("delete", STUDY, "--yes", "--json"))
    assert found["runs"] > 4
    assert runs(home, STUDY) == []
    assert list(Path("mlruns/studies").iterdir()) == []
    assert list(Path("mlruns/reports").iterdir()) == []
    assert stored == sorted(path for path in (home / "store").rglob("*") if path.is_file())
    assert api.studies() == []


def test_runs_stay_where_nothing_is_tracked(home: Path) -> None:
    own = runs(home, STUDY)
    called("delete", STUDY, "--yes", "--no-tracking")
    assert runs(home, STUDY) == own
    assert study_names(Path("mlruns")) == []
