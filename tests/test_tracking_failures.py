"""A tracking store that stops answering in the middle of the work: words, a bounded wait, and nothing that is lost."""

import errno
import itertools
import json
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from costs import made_up
from formats.make import SEARCH, make_inputs
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException

from bench.cli.main import cli
from bench.cost import ModelCost
from bench.errors import BenchError
from bench.progress import Silent
from bench.study.journal import read
from bench.tracking import MlflowTracker, NoTracker, Record, Tolerant, TrackedStudy, TrackingError, tolerant
from bench.tracking.mlflow import patience
from bench.tracking.mlflow import tracker as tracker_module
from bench.tracking.mlflow.patience import Patience, PatientClient
from bench.tracking.record import ModelRecord

INPUTS = Path(__file__).parent / "inputs"


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def warn(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds instead of minutes."""
    for name, seconds in {"PATIENCE": 0.5, "PAUSE": 0.05, "FIRST": 0.1, "EVERY": 0.2}.items():
        monkeypatch.setattr(patience, name, seconds)


def failing(error: BaseException, times: int) -> Callable[..., str]:
    """Answers after so many failures."""
    left = [error] * times

    def call(*_: Any) -> str:
        if left:
            raise left.pop()
        return "answer"

    return call


GONE = MlflowException("API request to http://me:hunter2@h/api failed with exception: refused")
PASSING = [
    GONE,
    requests.ConnectionError("refused"),
    sqlite3.OperationalError("database is locked"),
    MlflowException("database is locked\n[SQL: INSERT INTO tags]\n[parameters: ('certificate',)]"),
]
REFUSED = [
    RestException({"error_code": "PERMISSION_DENIED", "message": "http://me:hunter2@h: no"}),
    PermissionError(errno.EACCES, "Permission denied"),
    MlflowException("(sqlite3.OperationalError) attempt to write a readonly database\n[SQL: INSERT INTO runs]"),
]


@pytest.mark.parametrize("error", [*PASSING, OSError(errno.ENOSPC, "No space left on device")])
def test_what_may_pass_is_asked_again_with_words(error: Exception, hasty: None) -> None:
    told = Told()
    assert Patience("http://me:hunter2@h", told).ask(failing(error, 6)) == "answer"
    assert told.lines[0].startswith("the tracking store http://h has not answered for 0 s (")
    assert told.lines[-1] == "the tracking store answers again"
    assert not any("hunter2" in line for line in told.lines)


def test_words_come_while_a_call_blocks(hasty: None) -> None:
    told = Told()
    Patience("http://h", told).ask(lambda: time.sleep(0.4))
    assert told.lines[0] == "the tracking store http://h has not answered for 0 s; it is asked again"


def test_a_store_is_given_up_and_then_asked_once_until_it_answers(hasty: None) -> None:
    asked = Patience("http://me:hunter2@h", Told())
    for least in (0.5, 0.0):
        started = time.monotonic()
        with pytest.raises(TrackingError, match=r"^The tracking store http://h has not answered for \d s \(") as caught:
            asked.ask(failing(GONE, 10_000))
        assert least <= time.monotonic() - started < least + 0.3
        assert "hunter2" not in str(caught.value)
    assert asked.ask(lambda: 1) == 1
    assert asked.ask(failing(GONE, 2)) == "answer"


@pytest.mark.parametrize("error", REFUSED)
def test_a_refusal_is_not_waited_for_and_shows_no_sql(error: Exception, hasty: None) -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise error

    with pytest.raises(TrackingError, match="refuses what is written or asked") as caught:
        Patience("http://me:hunter2@h", Told()).ask(call)
    assert len(calls) == 1
    assert "hunter2" not in str(caught.value)
    assert "SQL" not in str(caught.value)


@pytest.mark.parametrize("case", json.loads((INPUTS / "05" / "errors.json").read_text("utf-8")))
def test_what_libraries_say_becomes_one_line_of_words(case: dict[str, Any], hasty: None) -> None:
    error = MlflowException(case["error"], error_code=case["code"]) if "code" in case else OSError(*case["error"])
    with pytest.raises(TrackingError) as caught:
        Patience(case["address"], Told()).ask(failing(error, 10_000))
    assert case["says"] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any(word in str(caught.value) for word in ("SQL:", "INSERT", "sqlalche.me", "hunter"))


def test_bench_s_own_errors_and_ends_pass_through() -> None:
    for error in (BenchError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            Patience("http://h", Told()).ask(failing(error, 1))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database, which takes seconds to make."""
    home = tmp_path_factory.mktemp("mlruns")
    MlflowTracker(home).store.connect_or_create()
    return home


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Another connection that writes, and does not end."""
    with closing(sqlite3.connect(home / "mlflow.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.fixture
def busy() -> Iterator[None]:
    """SQLite waits 20 s for a lock, as MLflow has it; here it does not wait."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def soon(*given: Any) -> tuple[str, Any]:
        return given[2].replace("busy_timeout = 20000", "busy_timeout = 1"), given[3]

    event.listen(Engine, "before_cursor_execute", soon, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", soon)


def record(key: str) -> Record:
    return Record(key=key, name=key, metrics={"f1_mean": 0.5}, artifacts={"candidate.json": b"{}"})


def states(home: Path, parent: str) -> list[str]:
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    nested = client.search_runs([client.get_run(parent).info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    return [run.info.status for run in nested]


def test_a_locked_database_is_words_and_what_is_missing_is_written_later(
    whole: Path, hasty: None, busy: None, capfd: pytest.CaptureFixture[str]
) -> None:
    told = Told()
    tracker = MlflowTracker(whole, progress=told)
    parent = tracker.open(TrackedStudy("r8", "locked", {}, "id"))
    tracker.log(record("k1"))
    with locked(whole), pytest.raises(TrackingError, match=r"has not answered for .*database is locked"):
        tracker.log(record("k2"))
    assert tracker.log(record("k2"))
    tracker.close({}, {})
    assert states(whole, parent) == ["FINISHED", "FINISHED"]
    assert any("database is locked" in line for line in told.lines)
    shown = capfd.readouterr()
    assert "SQL" not in shown.out + shown.err
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("place", ["_batch", "_write"])
def test_no_run_stays_half_written_whatever_ends_it(
    whole: Path, hasty: None, monkeypatch: pytest.MonkeyPatch, error: BaseException, place: str
) -> None:
    tracker = MlflowTracker(whole)
    parent = tracker.open(TrackedStudy("r8", f"half {place} {error}", {}, "id"))
    with monkeypatch.context() as patch:
        patch.setattr(tracker, place, failing(error, 1))
        with pytest.raises(type(error)):
            tracker.log(record("k1"))
    tracker.close({}, {}, "KILLED")
    assert states(whole, parent) == []
    assert MlflowClient(tracker.store.address).get_run(parent).info.status == "KILLED"


def test_a_run_that_a_call_made_twice_does_not_stay(whole: Path, hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has made it, and its answer is lost."""
    tracker = MlflowTracker(whole)
    parent = tracker.open(TrackedStudy("r8", "twice", {}, "id"))
    lost = [GONE]

    def create_run(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        made = original(self, *args, **kwargs)
        if lost:
            raise lost.pop()
        return made

    original = MlflowClient.create_run
    monkeypatch.setattr(MlflowClient, "create_run", create_run)
    tracker.log(record("k1"))
    assert sorted(states(whole, parent)) == ["FINISHED", "RUNNING"]
    tracker.close({}, {})
    assert states(whole, parent) == ["FINISHED"]


def test_no_address_is_printed_for_a_run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow prints where to view each run that it ends on a server, whatever the address holds."""
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "false")
    from mlflow.store.tracking.rest_store import RestStore

    for name in ("shut_down_async_logging", "update_run_info"):
        monkeypatch.setattr(RestStore, name, lambda *_, **__: None)
    monkeypatch.setattr(RestStore, "get_run", lambda *_: pytest.fail("asked in order to print"))
    client = PatientClient(MlflowClient("http://me:hunter2@127.0.0.1:9"), Patience("http://h", Told()))
    client.set_terminated("r")
    assert capfd.readouterr().out == ""


class Failing(NoTracker):
    """A tracker that is told when to fail."""

    uri = "http://h"  # type: ignore[assignment]

    def __init__(self) -> None:
        self.fails, self.written = False, []

    def _wrote(self, name: str) -> str:
        if self.fails:
            raise TrackingError("The tracking store http://h has not answered for 120 s.")
        self.written.append(name)
        return name

    def open(self, study: TrackedStudy) -> str:  # type: ignore[override]
        return self._wrote(study.name)

    def log(self, record: Record) -> str:  # type: ignore[override]
        return self._wrote(record.key)

    def close(self, *_: Any) -> None:
        self._wrote("end")


def test_what_fails_during_the_work_is_a_warning_and_before_it_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    told, store = Told(), Failing()
    tracker = Tolerant(store, told)
    store.fails = True
    with pytest.raises(TrackingError):
        tracker.open(TrackedStudy("r8", "a", {}))
    store.fails = False
    assert tracker.open(TrackedStudy("r8", "a", {})) == "a"
    store.fails = True
    assert tracker.log(record("k1")) is None
    store.fails = False
    assert tracker.log(record("k2")) is None, "it is not asked for each trial"
    assert len(told.lines) == 1
    assert "run the same command again" in str(tracker.missing)
    # nothing goes to the run of another study
    assert tracker.open(TrackedStudy("r8", "b", {})) is None
    assert tracker.log(record("k3")) is None
    monkeypatch.setattr(tolerant, "AGAIN", 0.0)
    tracker.retry()
    assert tracker.open(TrackedStudy("r8", "b", {})) == "b"
    assert tracker.log(record("k3")) == "k3"
    assert tracker.missing is None
    assert store.written == ["a", "b", "k3"]


def steady(*_: Any, **__: Any) -> ModelCost:
    """A cost that no busy machine can change."""
    return made_up("./model", 1.0, 2.0, 3.0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, whole: Path) -> tuple[Path, dict[str, Any]]:
    """A folder with data, a model of a few thousand parameters and a store, and what a search there says."""
    folder = tmp_path_factory.mktemp("undisturbed")
    make_inputs(folder)
    (folder / "mlruns").mkdir()
    shutil.copy2(whole / "mlflow.db", folder / "mlruns" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BENCH_STORE", str(folder / "store"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr("bench.preparation.measure", steady)
        found, _, _ = searched()
    return folder, found


@pytest.fixture
def folder(
    undisturbed: tuple[Path, dict[str, Any]], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hasty: None
) -> Path:
    """The same folder before the search."""
    shutil.copytree(undisturbed[0], tmp_path / "same", ignore=shutil.ignore_patterns("mlruns"))
    (tmp_path / "same" / "mlruns").mkdir()
    shutil.copy2(whole / "mlflow.db", tmp_path / "same" / "mlruns" / "mlflow.db")
    monkeypatch.chdir(tmp_path / "same")
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "same" / "store"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("bench.preparation.measure", steady)
    monkeypatch.setattr(tolerant, "AGAIN", 0.0)
    return tmp_path / "same"


def searched(*words: str) -> tuple[dict[str, Any], str, int]:
    """What a search says as JSON, what it says beside that, and its status."""
    ran = CliRunner().invoke(cli, ["search", *SEARCH, "--trials", "4", "--json", *words])
    error = ran.exception if isinstance(ran.exception, BenchError) else None
    return json.loads(ran.stdout), ran.stderr + str(error or ""), 0 if ran.exception is None else 2


def nested(address: str, parent: str) -> list[tuple[str, ...]]:
    """The runs of a study, without what differs between two machines."""
    client = MlflowClient(address)
    runs = client.search_runs([client.get_run(parent).info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    kept = ("bench.key", "bench.state", "bench.front", "bench.trial")
    return sorted(
        (
            str(run.info.run_name),
            run.info.status,
            *(run.data.tags.get(name, "") for name in kept),
            *sorted(f"{name} {value:.6f}" for name, value in run.data.metrics.items() if "f1" in name),
        )
        for run in runs
    )


@pytest.mark.parametrize("case", json.loads((INPUTS / "05" / "outages.json").read_text("utf-8")))
def test_a_search_outlives_its_store_and_the_same_command_writes_what_is_missing(
    case: dict[str, Any],
    folder: Path,
    undisturbed: tuple[Path, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The store fails at some call, for good, or for a while; every number is as in an undisturbed search."""
    straight = undisturbed[1]
    calls = itertools.count(1)

    def failing_call(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if case["first"] <= next(calls) <= case["last"]:
                raise OSError(errno.ENOSPC, "No space left on device") if case["call"] == "_fill" else GONE
            return original(*args, **kwargs)

        return call

    place = tracker_module if case["call"] == "_fill" else MlflowClient
    with monkeypatch.context() as patch:
        patch.setattr(place, case["call"], failing_call(getattr(place, case["call"])))
        first, words, status = searched()
    assert [entry["confirm"]["f1_mean"] for entry in first["front"]] == [
        entry["confirm"]["f1_mean"] for entry in straight["front"]
    ]
    assert "has not answered for" in words
    assert "bug" not in words
    assert status == (2 if case["lacking"] else 0)
    assert (first["untracked"] is not None) == case["lacking"]
    if case["lacking"]:
        assert "run the same command again" in words
        first, _, status = searched()
        assert (status, first["untracked"]) == (0, None)
    address, expected = (f"sqlite:///{home / 'mlruns' / 'mlflow.db'}" for home in (folder, undisturbed[0]))
    assert nested(address, first["parent_run_id"]) == nested(expected, straight["parent_run_id"])
    assert MlflowClient(address).get_run(first["parent_run_id"]).info.status == "FINISHED"
    # the journal knows every run
    journal = read(folder / "mlruns", first["study"])
    known = {str(record.run_id) for record in (*journal.of("complete"), *journal.of("pruned"))}
    assert {MlflowClient(address).get_run(run).data.tags["bench.kind"] for run in known} == {"trial"}


def test_a_store_that_is_gone_ends_an_export_in_words_and_no_report(
    folder: Path, undisturbed: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(folder / "mlruns")
    shutil.copytree(undisturbed[0] / "mlruns", folder / "mlruns")
    study = undisturbed[1]["study"]

    def gone(*_: Any, **__: Any) -> None:
        raise GONE

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_logged_model", gone)
        with pytest.raises(TrackingError, match="has not answered for"):
            CliRunner().invoke(cli, ["export", study], catch_exceptions=False, standalone_mode=False)
        patch.setattr(tracker_module, "_fill", gone)
        ran = CliRunner().invoke(cli, ["report", study, "--json"])
    assert ran.exception is None
    report = json.loads(ran.stdout)
    assert "the report is in no tracking store: The tracking store" in report["note"]
    assert (folder / "mlruns" / "reports" / study / "report.html").is_file()


def test_a_server_that_takes_and_says_nothing_is_told_of_and_given_up(
    tmp_path: Path, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MAX_RETRIES": "0", "TIMEOUT": "1"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    told = Told()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracker = MlflowTracker(tmp_path, f"http://me:hunter2@127.0.0.1:{silent.getsockname()[1]}", progress=told)
        started = time.monotonic()
        with pytest.raises(TrackingError, match=r"cannot be used: Read timed out"):
            tracker.open(TrackedStudy("r8", "s", {}, "id"))
    assert time.monotonic() - started < 10
    assert any("has not answered for" in line for line in told.lines)
    assert "hunter2" not in "".join(told.lines)


def test_a_database_that_is_not_there_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow tries ten times in 100 seconds, and logs each with what the driver says."""
    import sqlalchemy

    def nobody(*_: Any, **__: Any) -> None:
        raise sqlalchemy.exc.OperationalError("SELECT 1", {}, OSError("connection to me:hunter2@h refused"))

    monkeypatch.setattr(sqlalchemy, "create_engine", nobody)
    with pytest.raises(TrackingError, match=r"cannot be used: .*refused.* Check `tracking_uri`") as caught:
        MlflowTracker(tmp_path, "postgresql://me:hunter2@h/x").open(TrackedStudy("r8", "s", {}, "id"))
    assert "hunter2" not in str(caught.value)


def test_a_model_s_files_do_not_hold_what_logs_in_to_their_place(whole: Path, tmp_path: Path) -> None:
    class Client:
        """As far as a model is logged with it."""

        def create_logged_model(self, *_: Any, **__: Any) -> Any:
            return SimpleNamespace(model_id="m-1", artifact_location="ftp://me:hunter2@h/models/m-1")

        def get_run(self, _: str) -> Any:
            return SimpleNamespace(info=SimpleNamespace(experiment_id="1"), data=SimpleNamespace(params={}))

        def __getattr__(self, _: str) -> Any:
            return lambda *_, **__: None

    tracker, places = MlflowTracker(whole), []
    tracker.store.connect = Client  # type: ignore[method-assign,assignment]
    tracker.models.log("r", ModelRecord("m", {}, {}), lambda _, place: places.append(place), tmp_path / "model")
    assert [place.location for place in places] == ["ftp://h/models/m-1"]
