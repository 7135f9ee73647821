"""A search that is ended from outside: no run of it looks as if somebody worked on it, and the same command goes on."""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from formats.make import SEARCH, make_inputs
from fuzzing import LONG
from mlflow import MlflowClient
from sqlalchemy import Engine, event

from bench.progress import SILENT
from bench.tracking import MlflowTracker, Record, Tolerant, TrackedStudy
from bench.tracking.mlflow.patience import Patience

INPUTS = Path(__file__).parent / "inputs" / "06"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database, which takes seconds to make."""
    home = tmp_path_factory.mktemp("mlruns")
    MlflowTracker(home).store.connect_or_create()
    return home


def runs(home: Path) -> list[tuple[str, str]]:
    """Kind and status of every run in a store."""
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiments = [each.experiment_id for each in client.search_experiments()]
    return sorted((run.data.tags["bench.kind"], run.info.status) for run in client.search_runs(experiments))


def write(home: Path) -> None:
    tracker = Tolerant(MlflowTracker(home), SILENT)
    with tracker.opened(TrackedStudy("r8", "s", {"dataset": "r8"}, "drawn")):
        for key in ("k1", "k2"):
            tracker.log(Record(key=key, name=key, metrics={"f1_mean": 0.5}, artifacts={"candidate.json": b"{}"}))
        tracker.attach({"front.csv": b"x"})
        tracker.close({}, {})


def interrupting(call: int, *, after: bool) -> Callable[..., Any]:
    """`Patience.ask` that is interrupted at the n-th call, before it or when the store has done it already."""
    original, count = Patience.ask, itertools.count(1)

    def ask(self: Patience, wanted: Callable[[], Any]) -> Any:
        number = next(count)
        if number == call and not after:
            raise KeyboardInterrupt
        found = original(self, wanted)
        if number == call:
            raise KeyboardInterrupt
        return found

    return ask


@pytest.mark.parametrize("after", [False, True])
def test_interrupted_at_any_call_of_the_store_nothing_stays_running(
    after: bool, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in itertools.count(1):
        home = tmp_path / str(call)
        home.mkdir()
        shutil.copy2(whole / "mlflow.db", home / "mlflow.db")
        with monkeypatch.context() as patch:
            patch.setattr(Patience, "ask", interrupting(call, after=after))
            try:
                write(home)
            except KeyboardInterrupt:
                assert {status for _, status in runs(home)} <= {"FINISHED", "KILLED"}, call
            else:
                break
        write(home)
        assert runs(home) == [("study", "FINISHED"), ("trial", "FINISHED"), ("trial", "FINISHED")], call
    assert call > 12


def test_a_signal_inside_a_transaction_leaves_no_lock(whole: Path, tmp_path: Path) -> None:
    for number in range(8, 24, 3):
        count = itertools.count(1)

        def end(*_: object, number: int = number, count: Iterator[int] = count) -> None:
            if next(count) == number:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.05)

        event.listen(Engine, "commit", end)
        try:
            ends_soon(whole, tmp_path / str(number))
        finally:
            event.remove(Engine, "commit", end)


@pytest.mark.long
def test_a_signal_at_any_moment_leaves_no_lock(whole: Path, tmp_path: Path) -> None:
    """One in forty left the database locked by its own process, when signals reached into transactions."""
    chosen = random.Random(0)
    moments = 200 if LONG else 10
    with heard(signal.SIGALRM):
        for number in range(moments):
            signal.setitimer(signal.ITIMER_REAL, chosen.uniform(0.02, 0.5))
            ends_soon(whole, tmp_path / str(number))


def ends_soon(whole: Path, home: Path) -> None:
    """A study is written into a copy of `whole`, whether or not a signal breaks that off."""
    home.mkdir()
    shutil.copy2(whole / "mlflow.db", home / "mlflow.db")
    began = time.monotonic()
    with suppress(KeyboardInterrupt):
        write(home)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert time.monotonic() - began < 10
    assert {status for _, status in runs(home)} <= {"FINISHED", "KILLED"}


@contextmanager
def heard(number: int) -> Iterator[None]:
    """A signal interrupts as Ctrl-C does."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.night
@pytest.mark.parametrize("case", [json.loads(path.read_text("utf-8")) for path in sorted(INPUTS.glob("*.json"))])
def test_signals_leave_a_search_that_can_go_on(case: dict[str, Any], whole: Path, tmp_path: Path) -> None:
    make_inputs(tmp_path)
    home = tmp_path / "mlruns"
    home.mkdir()
    shutil.copy2(whole / "mlflow.db", home / "mlflow.db")
    environment = os.environ | {"BENCH_STORE": str(tmp_path / "store"), "HF_HUB_OFFLINE": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "bench", "search", *SEARCH, "--trials", str(case["trials"]), "--json"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while process.poll() is None and len([kind for kind, _ in runs(home) if kind == "trial"]) < case["after"]:
        time.sleep(0.05)
    process.send_signal(getattr(signal, case["signal"]))
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (case["status"], b""), err
    assert b"run the same command again to go on" in err
    assert ("study", "KILLED") in runs(home)
    assert {status for kind, status in runs(home) if kind == "trial"} <= {"FINISHED"}
    again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert json.loads(again.stdout)["untracked"] is None
    assert {status for _, status in runs(home)} == {"FINISHED"}
