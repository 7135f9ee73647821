"""Whatever stops a command, and wherever: the same command again ends as if nothing had been.

Eight stops here; `tox -e long` makes them at changes 1, 2, 3, 5, 8 … to the end, by every signal and a full disk.
"""

import json
import re
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from formats.make import DATA, SEARCH, TRIALS, make_inputs
from fuzzing import LONG
from kills import FULL, STOPS, Ran, run
from safetensors.numpy import load_file

from bench.store import Store
from bench.study import selection
from bench.study.journal import read

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the folder of what is deleted")

HOWS = (*STOPS, FULL)
ENDS = {"SIGKILL": -9, "SIGTERM": 143, "SIGINT": 130}
MODEL = (*DATA, "--models", "./model", "--max-length", "16", "--device", "cpu", "--attention", "sdpa", "--json")
TIMED = ("seconds", "utilisation", "latency", "_ms", "memory", "per_second")
"""In names of what is measured, and is another each time."""
DRAWN = ("bench.id", "bench.journal", "bench.trial")
"""Tags that are another each time: a study's id, and the number of a trial, since one that was stopped has one too."""


def trials(folder: Path) -> list[Any]:
    """What the journal keeps of each trial but its number, run and times."""
    found = read(folder / "mlruns", "s").records.values()
    return [(record.candidate.fingerprint(), record.state, untimed(record.metrics), record.values) for record in found]


def untimed(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not any(word in name for word in TIMED)}


def runs(folder: Path) -> Counter[str]:
    """Every run that is not deleted, with its parent, params, metrics and tags, in whatever order."""
    found: Counter[str] = Counter()
    with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as database:

        def of(table: str, run: str) -> dict[str, Any]:
            return dict(database.execute(f"SELECT key, value FROM {table} WHERE run_uuid = ? ORDER BY key", [run]))

        names = dict(database.execute("SELECT run_uuid, name FROM runs"))
        for run, status in database.execute("SELECT run_uuid, status FROM runs WHERE lifecycle_stage = 'active'"):
            tags = of("tags", run)
            kept = {
                name: re.sub("trial [0-9]+", "a trial", value)
                for name, value in tags.items()
                if name.startswith("bench.") and name not in DRAWN
            }
            parent = names.get(tags.get("mlflow.parentRunId"))
            name = "a trial" if "bench.trial" in tags else names[run]
            values = (parent, name, status, of("params", run), untimed(of("latest_metrics", run)), kept)
            found[json.dumps(values)] += 1
    return found


def rows(folder: Path) -> dict[str, Any]:
    """What is stored of hidden states, whatever segments it lies in."""
    found = {}
    for shelf in Store(folder / "store").shelves():
        shelf.refresh()
        for name in shelf.slots():
            keys = shelf.keys(name)
            found[f"{shelf.folder.name} {name}"] = len(keys), shelf.matrix(keys, name).numpy().tobytes()
    return found


def searched(folder: Path, ran: Ran) -> dict[str, Any]:
    journal = read(folder / "mlruns", "s")

    def by_candidate(value: Any) -> Any:
        """With what was tried in place of its number, which a trial that was stopped has one of too."""
        named = re.compile('"(?:trial-)?([0-9]+)"')
        return json.loads(
            named.sub(lambda name: f'"{journal.records[int(name[1])].candidate.fingerprint()}"', json.dumps(value))
        )

    front = [untimed(entry) | {"run_id": None, "trial": None} for entry in json.loads(ran.out)["front"]]
    assert {entry["fusion"] is None for entry in front} == {True, False}, "a trial and TF-IDF"
    return {
        "trials": trials(folder),
        "runs": runs(folder),
        "rows": rows(folder),
        "front": by_candidate(front),
        "selection": by_candidate(journal.note(selection.NOTE) | {"end": None}),
    }


def reproduced(folder: Path, ran: Ran) -> dict[str, Any]:
    written = {path.name: path.read_bytes() for path in (folder / "mlruns" / "reproduce").rglob("*.csv")}
    return {"rows": json.loads(ran.out)["rows"], "files": written, "runs": runs(folder), "states": rows(folder)}


def exported(folder: Path, _: Ran) -> dict[str, Any]:
    pipeline = folder / "export" / "artifacts" / "pipeline"
    said = json.loads((pipeline / "pipeline.json").read_text())
    files = sorted(str(path.relative_to(folder)) for path in (folder / "export").rglob("*") if path.is_file())
    return {
        "said": {name: value for name, value in said.items() if name != "latency"},
        "files": [name for name in files if not name.endswith(".pyc")],
        "head": {name: array.tolist() for name, array in load_file(pipeline / "head.safetensors").items()},
        "runs": runs(folder),
    }


def logged(folder: Path, ran: Ran) -> dict[str, Any]:
    """Without its version: an export that was stopped after the model was registered has taken one."""
    said = json.loads(ran.out)
    kept = ("study", "trial", "chosen", "candidate", "labels", "models", "agreement", "search", "test")
    assert int(said["registered_version"]) > 0
    return {"said": {name: said[name] for name in kept}, "runs": runs(folder)}


def checked(_: Path, ran: Ran) -> dict[str, Any]:
    found = json.loads(ran.out)
    return {"passed": found["passed"], "findings": [(each["group"], each["status"]) for each in found["findings"]]}


def updated(folder: Path, _: Ran) -> dict[str, Any]:
    return dict(json.loads((folder / "baseline.json").read_text()))


def converted(folder: Path, ran: Ran) -> dict[str, Any]:
    made = {path.name: path.read_bytes() for path in (folder / "store" / "converted").rglob("*") if path.is_file()}
    return {"made": made, "rows": rows(folder)}


@dataclass(frozen=True)
class Case:
    """A command, what it ends in, and whether a study, its baseline and its database are there before."""

    words: tuple[str, ...]
    seen: Callable[[Path, Ran], dict[str, Any]]
    after: bool = True


CASES = {
    "search": Case(("search", *SEARCH, "--trials", str(TRIALS), "--study", "s", "--json"), searched, after=False),
    "reproduce": Case(("reproduce", "capacity", *MODEL), reproduced),
    "export": Case(("export", "s", "--trial", "cheapest", "--with-weights", "--out", "export", "--json"), exported),
    "logging": Case(("export", "s", "--trial", "cheapest", "--register", "best", "--json"), logged),
    "check": Case(("check", "--baseline", "baseline.json", "--json"), checked),
    "update": Case(("check", "--baseline", "baseline.json", "--update", "--yes", "--study", "s"), updated),
    "conversion": Case(("extract", *DATA, "--models", "packed", "--max-length", "16", "--json"), converted),
}


@dataclass
class Bench:
    """A folder that each run finds as it is to be before, and what undisturbed runs end in."""

    home: Path

    def __post_init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}
        self.folder = self.home / "work"
        self.folder.mkdir()
        make_inputs(self.folder)
        (self.folder / "tiny.gguf").write_bytes(b"GGUF")
        shutil.copytree(self.folder, self.home / "before")
        self._known["search"] = self.done("search")
        run(self.folder, CASES["update"].words)
        shutil.copytree(self.folder, self.home / "after")

    def begin(self, case: str) -> None:
        """Lay out what is there before the command, always in the same folder: paths are in what is written."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.home / ("after" if CASES[case].after else "before"), self.folder)

    def done(self, case: str) -> dict[str, Any]:
        """What the command ends in from here on."""
        ran = run(self.folder, CASES[case].words)
        assert ran.status == 0, ran.err
        return CASES[case].seen(self.folder, ran)

    def undisturbed(self, case: str) -> dict[str, Any]:
        if case not in self._known:
            self.begin(case)
            self._known[case] = self.done(case)
        return self._known[case]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("kills").resolve())


def stopped(bench: Bench, case: str, how: str, last: int) -> bool:
    """Whether the command was stopped at that change; it then goes on to the same end."""
    wanted = bench.undisturbed(case)
    bench.begin(case)
    ran = run(bench.folder, CASES[case].words, how, last)
    where = f"{case}, {how} at change {last}"
    assert "Traceback" not in ran.err, f"{where}: {ran.err}"
    assert "bug in bench" not in ran.err, f"{where}: {ran.err}"
    if ran.status == 0 and (how != FULL or ran.changes < last):
        return False
    assert ran.status == ENDS.get(how, ran.status), f"{where}: {ran.err}"
    found = bench.done(case)
    for name, value in wanted.items():
        assert found[name] == value, f"{where}: other {name}"
    left = [each.path for each in Store(bench.folder / "store").leftovers() if each.in_use]
    assert not left, f"{where}: {left} is taken for in use"
    return True


def fibonacci() -> Iterator[int]:
    one, other = 1, 2
    while True:
        yield one
        one, other = other, one + other


@pytest.mark.slow
@pytest.mark.skipif(LONG, reason="all of them are tried")
@pytest.mark.parametrize(
    ("case", "how", "last"),
    [
        ("search", "SIGKILL", 610),
        ("search", "SIGTERM", 89),
        ("reproduce", "SIGINT", 21),
        ("reproduce", FULL, 55),
        ("export", FULL, 89),
        ("check", "SIGTERM", 13),
        ("update", FULL, 34),
        ("conversion", "SIGKILL", 19),
    ],
)
def test_a_command_that_is_stopped_goes_on_to_the_same_end(bench: Bench, case: str, how: str, last: int) -> None:
    assert stopped(bench, case, how, last), "it had ended before"


@pytest.mark.night
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("case", CASES)
def test_a_command_is_stopped_anywhere(bench: Bench, case: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    tried = []
    for last in fibonacci():
        if not stopped(bench, case, how, last):
            break
        tried.append(last)
    with capsys.disabled():
        print(f"\n{case}, {how}: stopped at changes {', '.join(map(str, tried))}")
    assert tried
