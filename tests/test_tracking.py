import itertools
import json
import lzma
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner
from formats.make import DATA, SEARCH, make_inputs
from mlflow import MlflowClient

from bench.cli.main import cli
from bench.errors import BenchError
from bench.progress import Silent
from bench.study.journal import read
from bench.study.writing import scores_first
from bench.tracking import MlflowTracker, Record, TrackedStudy, redacted, tracker_of
from bench.tracking.mlflow import process
from bench.tracking.mlflow.database import _upgrade
from bench.tracking.mlflow.process import unbroken, used


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for the module: creating it takes seconds."""
    return tmp_path_factory.mktemp("mlruns")


def client(home: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{home / 'mlflow.db'}")


def record(key: str) -> Record:
    return Record(
        key=key,
        name=key,
        params={"fusion": "sum", "n_models": 2},
        metrics={"f1_mean": 0.5},
        steps=[("f1", 0, 0.4), ("f1", 1, 0.6)],
        tags={"bench.state": "complete"},
        artifacts={"candidate.json": b"{}", "tables/per_class.csv": b"a,b\n"},
    )


def test_a_trial_is_one_finished_nested_run_with_everything(home: Path) -> None:
    tracker = MlflowTracker(home)
    parent = tracker.open(TrackedStudy("r8", "study one", {"dataset": "r8"}, "id"))
    run_id = tracker.log(record("k1"))
    tracker.attach({"front.csv": b"x"})
    tracker.close({"trials_complete": 1.0}, {"bench.optimistic": "false"})
    run = client(home).get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.params == {"fusion": "sum", "n_models": "2"}
    assert [each.value for each in client(home).get_metric_history(run_id, "f1")] == [0.4, 0.6]
    assert {each.path for each in client(home).list_artifacts(run_id)} == {"candidate.json", "tables"}
    assert client(home).get_run(parent).info.status == "FINISHED"
    assert (home / "artifacts" / parent / "artifacts" / "front.csv").read_bytes() == b"x"


def test_nothing_is_doubled_and_nothing_stays_running_after_a_kill(home: Path) -> None:
    tracker = MlflowTracker(home)
    parent = tracker.open(TrackedStudy("r8", "study two", {"dataset": "r8"}, "id"))
    first = tracker.log(record("k1"))
    assert tracker.log(record("k1")) == first
    # a kill between the creation of a run and its end
    tags = {"bench.kind": "trial", "bench.key": "k2", "mlflow.parentRunId": parent}
    half = client(home).create_run(client(home).get_experiment_by_name("r8").experiment_id, tags=tags)

    again = MlflowTracker(home)
    assert again.open(TrackedStudy("r8", "study two", {"dataset": "r8"}, "id")) == parent
    assert again.log(record("k1")) == first
    second = again.log(record("k2"))
    assert second != half.info.run_id
    again.close({}, {})
    runs = client(home).search_runs([half.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert sorted(run.info.run_id for run in runs) == sorted([first, second])
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_tracking_store_that_is_not_there_is_an_error_without_its_password(tmp_path: Path) -> None:
    tracker = MlflowTracker(tmp_path, "postgresql://user:secret@127.0.0.1:9/x")
    with pytest.raises(BenchError, match="`tracking_uri`") as caught:
        tracker.open(TrackedStudy("r8", "s", {}, "id"))
    assert "secret" not in str(caught.value)
    assert tracker.uri == "postgresql://127.0.0.1:9/x"


@pytest.mark.parametrize("uri", ["nope", "./mlruns", "file:///mlruns", "foo://bar", "", "https:/host"])
def test_what_is_no_address_of_a_store_is_refused_before_anything_is_made(uri: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"give sqlite:///FILE, another database, or http\(s\)://HOST"):
        MlflowTracker(tmp_path / "home", uri)


@pytest.mark.parametrize("uri", ["sqlite:///a.db", "postgresql+psycopg2://u:p@h/x", "http://h:5000", "databricks"])
def test_addresses_of_every_kind_are_taken(uri: str, tmp_path: Path) -> None:
    assert MlflowTracker(tmp_path, uri).store.address == uri


def test_reading_makes_no_database(tmp_path: Path) -> None:
    for tracker in (MlflowTracker(tmp_path / "home"), MlflowTracker(tmp_path, f"sqlite:///{tmp_path / 'gone.db'}")):
        assert tracker.look(TrackedStudy("r8", "s", {}, "id")) is None
        with pytest.raises(BenchError, match="There is no "):
            tracker.store.connect()
    assert list(tmp_path.iterdir()) == []


def test_redacted_keeps_what_is_no_secret() -> None:
    assert redacted("sqlite:////home/a@b/mlflow.db") == "sqlite:////home/a@b/mlflow.db"
    assert redacted("https://me:pw@host/x") == "https://host/x"


def test_an_experiment_that_another_process_makes_meanwhile_is_used(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = MlflowClient.create_experiment

    def outrun(*args: Any, **kwargs: Any) -> str:
        original(*args, **kwargs)
        return original(*args, **kwargs)

    monkeypatch.setattr(MlflowClient, "create_experiment", outrun)
    run = MlflowTracker(home).open(TrackedStudy("raced", "study", {}, "id"))
    found = client(home).get_experiment_by_name("raced")
    assert client(home).get_run(run).info.experiment_id == found.experiment_id


def test_a_deleted_experiment_is_an_error_that_says_how_to_restore_it(home: Path) -> None:
    made = client(home).create_experiment("deleted")
    client(home).delete_experiment(made)
    with pytest.raises(BenchError, match=f"was deleted.*experiments restore --experiment-id {made}"):
        MlflowTracker(home).open(TrackedStudy("deleted", "study", {}, "id"))


@pytest.mark.parametrize("own", [None, "sqlite:///own.db"])
def test_a_store_used_for_a_moment_leaves_no_trace(own: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow exports the address it is given: a server started later in this process would show another store."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    mlflow.set_tracking_uri(own)
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri(), dict(os.environ)
    with used("sqlite:///moment.db"):
        assert mlflow.get_tracking_uri() == mlflow.get_registry_uri() == "sqlite:///moment.db"
    after = mlflow.get_tracking_uri(), mlflow.get_registry_uri(), dict(os.environ)
    mlflow.set_tracking_uri(None)
    assert after == before


WITHOUT_MLFLOW = """
import json, sys
from bench.cli.main import cli

for arguments in json.loads(sys.argv[1]):
    cli([*arguments, "--no-tracking", "--json"], standalone_mode=False)
assert "mlflow" not in sys.modules
"""


def objects(text: str) -> list[dict[str, Any]]:
    """JSON objects one after the other."""
    found, decoder = [], json.JSONDecoder()
    while text := text.strip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def test_without_tracking_nothing_of_mlflow_is_loaded_and_a_later_search_writes_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    # an address for other commands is no reason to use it
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    make_inputs(tmp_path)
    asked = ["search", *SEARCH, "--trials", "3"]
    reproduced = ["reproduce", "layers", *DATA, "--models", "./model", "--folds", "2", "--repetitions", "1"]
    command = [sys.executable, "-c", WITHOUT_MLFLOW, json.dumps([asked, reproduced])]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    first, layers = objects(ran.stdout)
    assert (layers["parent_run_id"], layers["tracking_uri"]) == (None, None)
    assert layers["rows"]
    assert (first["parent_run_id"], first["tracking_uri"], first["compare_url"]) == (None, None, None)
    assert Path(first["report"]).is_file()
    assert first["front"]
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    second = json.loads(CliRunner().invoke(cli, [*asked, "--json"]).stdout)
    assert [entry["trial"] for entry in second["front"]] == [entry["trial"] for entry in first["front"]]
    mlflow = client(tmp_path / "mlruns")
    runs = mlflow.search_runs([mlflow.get_run(second["parent_run_id"]).info.experiment_id])
    written = {run.info.run_id for run in runs if run.data.tags.get("bench.state") in {"complete", "pruned"}}
    front = {run.info.run_id for run in runs if run.data.tags.get("bench.front") == "true"}
    assert front == {entry["run_id"] for entry in second["front"]}
    # the journal knows them from now on
    records = read(tmp_path / "mlruns", second["study"]).records.values()
    assert {record.run_id for record in records if record.state in {"complete", "pruned"}} == written
    assert second["compare_url"] is not None
    assert second["runs_url"].endswith("/runs?viewStateShareKey=bench-f1_floor&workflowType=machine_learning")
    shown_scores(runs, second)


def shown_scores(runs: Sequence[Any], found: dict[str, Any]) -> None:
    """A study's run has what it recommends and that one's scores; all runs have the same parameters, or a dash."""
    (parent,) = (run for run in runs if run.data.tags["bench.kind"] == "study")
    nested = [run for run in runs if run is not parent]
    assert parent.data.tags["bench.recommended"] == found["selection"]["recommended"]
    entries = [*found["front"], *found.get("cascades", {}).get("confirmed", ())]
    recommended = next(each for each in entries if each["name"] == parent.data.tags["bench.recommended"])
    own = next(each for each in nested if each.info.run_id == recommended["run_id"])
    for name in ("f1_mean", "accuracy_mean", "latency_ms", "confirm_f1_mean"):
        assert parent.data.metrics[name] == own.data.metrics[name]
    assert len({frozenset(run.data.params) for run in nested}) == 1
    (text,) = (run for run in nested if run.info.run_name == "majority")
    assert set(text.data.params.values()) == {"–"}
    measured = {"f1_floor": 0.5, "latency_ms": 1.0, "memory_gb": 2.0, "f1_mean": 0.6}
    assert [*scores_first(measured)] == ["f1_floor", "f1_mean", "latency_ms", "memory_gb"]


def test_an_address_for_what_is_not_tracked_is_refused(tmp_path: Path) -> None:
    for words in (["--no-tracking", "--tracking-uri", "http://h"], ["--tracking-uri", "http://h", "--no-tracking"]):
        ran = CliRunner().invoke(cli, ["search", "--dataset", "r8", *words])
        assert ran.exit_code == 2
        assert "leave out one of the two" in ran.output
    with pytest.raises(BenchError, match="leave out one of the two"):
        tracker_of(tmp_path, "http://h", tracking=False)


def killed_at(statement: int, home: Path) -> bool:
    """Whether a process that opens a store is killed before it runs so many statements on its database."""
    child = os.fork()
    if child == 0:
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        count = itertools.count(1)

        def kill(*_: Any) -> None:
            if next(count) == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", kill)
        with suppress(BaseException):
            MlflowTracker(home).store.connect_or_create()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.usefixtures("databases_made")
def test_a_store_that_is_killed_while_it_is_made_is_made_by_the_next_command(tmp_path: Path) -> None:
    for statement in (1, 3, 20, 60, 150):
        assert killed_at(statement, tmp_path), statement
        assert not (tmp_path / "mlflow.db").exists()
    tracker = MlflowTracker(tmp_path)
    assert tracker.open(TrackedStudy("r8", "s", {}, "id")) is not None
    assert not list(tmp_path.glob("*.tmp*")) + list(tmp_path.glob(".*.tmp*"))


class Told(Silent):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, line: str) -> None:
        self.lines.append(line)


@pytest.mark.parametrize("content", [b"", "CREATE TABLE secrets (a INT)", "CREATE TABLE runs (run_uuid TEXT)"])
def test_what_an_earlier_bench_left_half_made_is_set_aside(content: bytes | str, tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    if isinstance(content, str):
        with closing(sqlite3.connect(file)) as database:
            database.execute(content)
    else:
        file.write_bytes(content)
    told = Told()
    assert MlflowTracker(tmp_path, progress=told).open(TrackedStudy("r8", "s", {}, "id")) is not None
    assert (tmp_path / "mlflow.db.half-made").exists()
    assert "set aside as mlflow.db.half-made" in told.lines[0]


def test_the_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    """It has no stamp and no run, as one that a stop left half-made."""
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE orders (a INT)")
    before = file.read_bytes()
    with pytest.raises(BenchError, match=r"another program's \(it has the table 'orders'\) and is left as it is"):
        MlflowTracker(tmp_path, f"sqlite:///{file}").open(TrackedStudy("r8", "s", {}, "id"))
    assert file.read_bytes() == before
    assert not list(tmp_path.glob("shop.db?*"))


def older(home: Path, fresh: Path) -> Path:
    """The database of `fresh`, taken back one migration as MLflow's own history has it, with its runs."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config

    home.mkdir()
    file = home / "mlflow.db"
    shutil.copy2(fresh / "mlflow.db", file)
    command.downgrade(_get_alembic_config(f"sqlite:///{file}"), "-1")
    return file


def test_an_older_database_is_migrated_as_a_copy_and_the_old_one_kept(home: Path, tmp_path: Path) -> None:
    MlflowTracker(home).open(TrackedStudy("older", "study", {}, "id"))
    file = older(tmp_path / "old", home)
    before, told = file.read_bytes(), Told()
    client = MlflowTracker(tmp_path / "old", progress=told).store.connect()
    experiment = client.get_experiment_by_name("older")
    assert [run.info.run_name for run in client.search_runs([experiment.experiment_id])] == ["study"]
    (kept,) = file.parent.glob("mlflow.db.before-*")
    assert kept.read_bytes() == before
    assert f"the old one is kept as {kept.name}" in told.lines[0]


INPUTS = Path(__file__).with_name("inputs") / "01"


def given(name: str, home: Path) -> Path:
    """A database of `inputs/01` in a new home."""
    home.mkdir(exist_ok=True)
    (home / "mlflow.db").write_bytes(lzma.decompress((INPUTS / f"{name}.db.xz").read_bytes()))
    return home / "mlflow.db"


@pytest.mark.parametrize("version", ["2.9.2", "2.22.0"])
def test_a_database_that_an_older_mlflow_wrote_goes_on_with_all_its_runs(version: str, tmp_path: Path) -> None:
    """Each was written by that version: two experiments of a parent run and two or three trials, NaN and steps too."""
    file, told = given(f"mlflow-{version}", tmp_path), Told()
    before = file.read_bytes()
    tracker = MlflowTracker(tmp_path, progress=told)
    parent = tracker.open(TrackedStudy("r8", "study one", {"dataset": "r8"}, "id"))
    tracker.close({}, {})
    (kept,) = tmp_path.glob("mlflow.db.before-*")
    assert kept.read_bytes() == before
    assert told.lines == [f"{file} was of an older MLflow and is migrated; the old one is kept as {kept.name}"]
    found = client(tmp_path)
    for experiment, trials in (("r8", 3), ("trec", 2)):
        runs = found.search_runs([found.get_experiment_by_name(experiment).experiment_id])
        nested = {run.info.run_name: run for run in runs if run.data.tags.get("bench.kind") == "trial"}
        assert sorted(nested) == [f"trial {index}" for index in range(trials)]
        assert nested["trial 1"].data.params == {"fusion": "concat", "n_models": "2"}
        assert nested["trial 1"].data.metrics["f1_mean"] == 0.61
        steps = found.get_metric_history(nested["trial 1"].info.run_id, "f1")
        assert [(each.step, each.value) for each in steps] == [(step, 0.5 + 0.1 * step + 0.01) for step in range(3)]
        assert math.isnan(found.get_metric_history(nested["trial 0"].info.run_id, "loss")[0].value)
        assert {run.info.status for run in nested.values()} == {"FINISHED", *(["RUNNING"] if trials > 2 else [])}
    assert found.get_run(parent).info.status == "FINISHED"
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_migration_that_loses_something_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for loss in ("DELETE FROM params", "UPDATE metrics SET value = 0 WHERE step = 1", "DROP TABLE latest_metrics"):
        file = given("mlflow-2.22.0", tmp_path)
        before = file.read_bytes()

        def lossy(path: Path, loss: str = loss) -> None:
            _upgrade(path)
            with closing(sqlite3.connect(path)) as database, database:
                database.execute(loss)

        with monkeypatch.context() as patch:
            patch.setattr("bench.tracking.mlflow.database._upgrade", lossy)
            with pytest.raises(BenchError, match=r"it lacks rows of (params|metrics|latest_metrics) that the original"):
                MlflowTracker(tmp_path).open(TrackedStudy("r8", "s", {}, "id"))
        assert file.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == ["mlflow.db"]


@pytest.mark.parametrize("kind", ["killed", "full"])
def test_a_stop_in_a_migration_leaves_the_older_database(kind: str, tmp_path: Path) -> None:
    file = given("mlflow-2.22.0", tmp_path)
    before = file.read_bytes()
    for statement in (3, 40, 150):
        if kind == "killed":
            assert killed_at(statement, tmp_path)
        else:
            with (
                pytest.raises(BenchError, match="database or disk is full"),
                raised_at(statement, sqlite3.OperationalError),
            ):
                MlflowTracker(tmp_path).open(TrackedStudy("r8", "s", {}, "id"))
        assert file.read_bytes() == before
    assert MlflowTracker(tmp_path).open(TrackedStudy("r8", "s", {}, "id")) is not None
    assert not list(tmp_path.glob(".*.tmp"))


@contextmanager
def raised_at(statement: int, error: type[BaseException]) -> Iterator[None]:
    """That statement of a database raises, and each that follows where it is an error of the database's."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    count = itertools.count(1)

    def refuse(*_: Any) -> None:
        number = next(count)
        if number == statement or (number > statement and error is sqlite3.OperationalError):
            raise error("database or disk is full")

    event.listen(Engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", refuse)


@pytest.mark.usefixtures("databases_made")
def test_an_interruption_is_none_of_the_stores_errors(tmp_path: Path) -> None:
    """SQLAlchemy fails as it leaves the transaction that was broken off, and only that would be seen."""
    with raised_at(89, KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        MlflowTracker(tmp_path).open(TrackedStudy("r8", "s", {}, "id"))
    assert not (tmp_path / "mlflow.db").exists()


def test_what_a_store_is_doing_ends_before_an_interruption_is_heard() -> None:
    done: list[str] = []

    def call() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        done.append("written")

    with pytest.raises(KeyboardInterrupt):
        unbroken(call)
    assert done == ["written"]
    with pytest.raises(ValueError, match="as it is"):
        unbroken(lambda: int("as it is"))


def test_a_store_that_hangs_does_not_keep_an_interrupted_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LAST", 0.2)
    hangs = threading.Event()

    def call() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        hangs.wait(60)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        unbroken(call)
    hangs.set()
    assert time.monotonic() - began < 30


@pytest.mark.usefixtures("databases_made")
def test_a_half_made_database_that_a_real_stop_left_is_set_aside(tmp_path: Path) -> None:
    """MLflow was killed between a table and the stamp that says so: no migration goes on from there."""
    given("half-made", tmp_path)
    told = Told()
    assert MlflowTracker(tmp_path, progress=told).open(TrackedStudy("r8", "s", {}, "id")) is not None
    assert "set aside as mlflow.db.half-made" in told.lines[0]


def test_what_cannot_be_migrated_stays_byte_for_byte(home: Path, tmp_path: Path) -> None:
    """A stamp older than its tables, one that this MLflow does not know, and a file that is no database."""
    MlflowTracker(home).open(TrackedStudy("kept", "study", {}, "id"))
    file = tmp_path / "mlflow.db"
    for stamp in ("acf3f17fdcc7", "ffffffffffff"):
        if stamp == "acf3f17fdcc7":
            given("stamp-older-than-its-tables", tmp_path)
        else:
            shutil.copy2(home / "mlflow.db", file)
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("UPDATE alembic_version SET version_num = ?", [stamp])
        before = file.read_bytes()
        advice = f"mlflow db upgrade sqlite:///{tmp_path}/copy-of-mlflow.db"
        with pytest.raises(BenchError, match=advice) as caught:
            MlflowTracker(tmp_path).open(TrackedStudy("kept", "study", {}, "id"))
        assert "[SQL" not in str(caught.value)
        with pytest.raises(BenchError, match="It is left as it is"):
            MlflowTracker(tmp_path / "elsewhere", f"sqlite:///{file}").open(TrackedStudy("kept", "study", {}, "id"))
        assert file.read_bytes() == before
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(BenchError, match="cannot be read as a database"):
        MlflowTracker(tmp_path).open(TrackedStudy("kept", "study", {}, "id"))
    assert file.read_bytes() == b"no database" * 1000
