"""Several people, folders and journals write to one tracking store: what is another's is never taken for one's own."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from formats.make import make_model
from mlflow import MlflowClient
from mlflow.entities import Run

from bench.cli.main import cli
from bench.errors import BenchError
from bench.progress import Silent
from bench.reproduce.place import held
from bench.study.journal import read
from bench.tracking import MlflowTracker, Record, TrackedStudy

INPUTS = Path(__file__).with_name("inputs") / "02"
PARENTS = json.loads((INPUTS / "parents.json").read_text())
PARAMS = {"dataset": "train.csv", "dataset_fingerprint": "aa", "seed": 0}


class Told(Silent):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for the module: creating it takes seconds."""
    return tmp_path_factory.mktemp("mlruns")


def client(home: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{home / 'mlflow.db'}")


@pytest.mark.parametrize("case", PARENTS, ids=lambda case: case["what"])
def test_a_run_of_that_name_is_a_studys_own_by_its_id_or_where_the_journal_remembers_it(
    case: dict[str, Any], home: Path
) -> None:
    name = case["what"].replace("'", "")
    there = TrackedStudy("r8", name, case["params"], case.get("id"))
    writer = MlflowTracker(home)
    parent, child = writer.open(there), writer.log(Record("k1", "k1"))
    writer.close({}, {})

    told = Told()
    tracker, here = MlflowTracker(home, progress=told), TrackedStudy("r8", name, PARAMS, "mine", {child, "gone"})
    if not case["remembered"]:
        here = TrackedStudy("r8", name, PARAMS, "mine", {"gone"})
    assert (tracker.look(here) == parent) is case["own"]
    assert (tracker.trial_run(here, "k1") == child) is case["own"]
    assert (tracker.open(here) == parent) is case["own"]
    assert (tracker.find("k1") == child) is case["own"]
    assert bool(told.lines) is not case["own"]
    if case["own"]:
        assert client(home).get_run(parent).data.tags["bench.id"] == "mine"
    else:
        assert client(home).get_run(parent).data.params == {key: str(case["params"][key]) for key in case["params"]}
        assert f"has another study '{name}'" in told.lines[0]
    # found again by its id alone, and by nobody else
    assert MlflowTracker(home).open(TrackedStudy("r8", name, PARAMS, "mine")) == tracker.look(here)
    assert MlflowTracker(home).look(TrackedStudy("r8", name, PARAMS, "third")) is None


def test_what_another_process_is_writing_is_left_alone(home: Path) -> None:
    """Its run, and one that a user nested below ours by hand; only what we left half-written ourselves goes."""
    alive, mine = TrackedStudy("r8", "live", PARAMS, "alive"), TrackedStudy("r8", "live", PARAMS, "mine")
    parents = MlflowTracker(home).open(alive), MlflowTracker(home).open(mine)
    experiment = client(home).get_run(parents[0]).info.experiment_id

    def running(parent: str | None, tags: dict[str, str]) -> str:
        made = client(home).create_run(experiment, tags={"mlflow.parentRunId": str(parent), **tags})
        return str(made.info.run_id)

    trial = {"bench.kind": "trial", "bench.key": "k"}
    theirs, ours, by_hand = running(parents[0], trial), running(parents[1], trial), running(parents[1], {})
    MlflowTracker(home).open(mine)
    stages = [client(home).get_run(run).info.lifecycle_stage for run in (theirs, ours, by_hand)]
    assert stages == ["active", "deleted", "active"]


def searched(folder: Path, *words: str) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BENCH_STORE", str(folder.parent / "store"))
        asked = ["search", "--dataset", "train.csv", "--space", str(INPUTS / "space.toml"), "--models", "../model"]
        asked += ["--study", "baseline", "--tracking-uri", f"sqlite:///{folder.parent / 'shared.db'}", "--trials", "2"]
        ran = CliRunner().invoke(cli, [*asked, "--max-length", "16", "--device", "cpu", "--json", *words])
    assert ran.exit_code == 0, f"{ran.output}{ran.exception!r}"
    return dict(json.loads(ran.stdout)) | {"said": ran.stderr}


def test_two_folders_and_a_deleted_journal_keep_their_own_numbers(tmp_path: Path) -> None:
    make_model(tmp_path / "model")
    for who in ("anna", "ben"):
        (tmp_path / who).mkdir()
        shutil.copy(INPUTS / f"{who}.csv", tmp_path / who / "train.csv")
    found = [searched(tmp_path / "anna"), searched(tmp_path / "ben")]
    journal = tmp_path / "ben" / "mlruns" / "studies" / "baseline.journal"
    kept = journal.read_bytes()
    journal.unlink()
    found.append(searched(tmp_path / "ben", "--seed", "1"))
    assert "dataset_fingerprint: " in found[1]["said"]
    assert "seed: 0 → 1" in found[2]["said"]
    seeded = {record.run_id for record in read(tmp_path / "ben" / "mlruns", "baseline").of("complete")}
    journal.write_bytes(kept)
    again = searched(tmp_path / "ben")
    assert again["parent_run_id"] == found[1]["parent_run_id"]
    assert "another study" not in again["said"]

    mlflow = MlflowClient(f"sqlite:///{tmp_path / 'shared.db'}")
    runs: dict[str, dict[str, Run]] = {}
    (experiment,) = [each for each in mlflow.search_experiments() if each.name == "train.csv"]
    for run in mlflow.search_runs([experiment.experiment_id]):
        runs.setdefault(run.data.tags.get("mlflow.parentRunId", "parents"), {})[run.info.run_id] = run
    assert len(runs.pop("parents")) == len(runs) == 3
    assert seeded <= runs[found[2]["parent_run_id"]].keys()
    for each in found:
        parent = mlflow.get_run(each["parent_run_id"])
        assert parent.data.params["dataset_fingerprint"] == each["dataset"]["fingerprint"]
        for entry in each["front"]:
            written = runs[each["parent_run_id"]][entry["run_id"]]
            assert written.data.metrics["f1_floor"] == entry["f1_floor"]


@pytest.mark.night
def test_a_journal_that_lost_its_end_is_known_by_the_store(tmp_path: Path) -> None:
    """Nothing in the file shows it; what is missing is tried again, and found in its runs."""
    make_model(tmp_path / "model")
    (tmp_path / "anna").mkdir()
    shutil.copy(INPUTS / "anna.csv", tmp_path / "anna" / "train.csv")
    first = searched(tmp_path / "anna")
    journal = tmp_path / "anna" / "mlruns" / "studies" / "baseline.journal"
    count = len(read(tmp_path / "anna" / "mlruns", "baseline").records)
    lines = journal.read_bytes().splitlines(keepends=True)
    last = max(place for place, line in enumerate(lines) if b'"op_code":4' in line)
    notes = [line for line in lines[last:] if b'"op_code":2' in line]
    for left in ([*lines[:last], *notes], lines[:last]):
        journal.write_bytes(b"".join(left))
        again = searched(tmp_path / "anna")
        assert f"has seen it with {count} trials, and it holds {count - 1}" in again["said"]
        assert [entry["run_id"] for entry in again["front"]] == [entry["run_id"] for entry in first["front"]]
        assert "has seen it" not in searched(tmp_path / "anna")["said"]

    journal.write_bytes(journal.read_bytes().replace(b'"f1_floor":0.', b'"f1_floor":0.9', 1))
    mended = searched(tmp_path / "anna")
    assert "trial 0 is not as it was written. It is kept as baseline.journal.damaged" in mended["said"]
    assert [entry["f1_floor"] for entry in mended["front"]] == [entry["f1_floor"] for entry in first["front"]]
    assert [entry["run_id"] for entry in mended["front"]] == [entry["run_id"] for entry in first["front"]]


def test_a_reproduction_is_held_by_one_process_and_has_an_id_a_home(tmp_path: Path) -> None:
    with held(tmp_path / "a", "r8-1", "layers") as first:
        twice = pytest.raises(BenchError, match="'layers' on r8-1 is being reproduced by another process")
        with twice, held(tmp_path / "a", "r8-1", "layers"):
            pass
        with held(tmp_path / "a", "r8-1", "pooling") as second, held(tmp_path / "b", "r8-1", "layers") as third:
            assert len({first, second, third}) == 3
    with held(tmp_path / "a", "r8-1", "layers") as again:
        assert again == first
