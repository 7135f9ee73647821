"""Commands as processes of their own, measured: what they print as JSON, and what they take."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GIB = 1 << 20
"""In kibibytes."""
HERE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """A command's JSON, and what the process took: seconds by the clock and of the processor, GiB at its peak."""

    study: dict[str, Any]
    clock: float
    processor: float
    peak: float
    load: tuple[float, float]

    @property
    def best(self) -> dict[str, Any]:
        """Of the front, the best by cross-validation."""
        return dict(max(self.study["front"], key=lambda entry: entry["f1_floor"]))

    @property
    def late(self) -> float:
        """The late-fusion baseline's score by cross-validation."""
        return float(self.study["baselines"]["late-fusion"]["f1_floor"])

    def seconds(self, *phases: str) -> float:
        return float(sum(self.study["seconds"].get(phase, 0.0) for phase in phases))

    @property
    def fusions(self) -> int:
        """How many of the front have several sources."""
        return sum(len(entry["sources"]) > 1 for entry in self.study["front"])

    @property
    def cascades(self) -> int:
        """How many cascades nothing beats, of trials and of cascades."""
        return int(self.study.get("cascades", {}).get("on_front", 0))


@dataclass
class Bench:
    """Runs commands of a checkout on one store."""

    store: Path
    data_home: str | None
    checkout: Path = HERE
    ran: list[tuple[str, Ran]] = field(default_factory=list)

    def search(
        self, title: str, data: Sequence[str], trials: int = 200, folder: str | None = None, more: Sequence[str] = ()
    ) -> Ran:
        """Extract, forget what was evaluated, and search; the study lies in `folder`, under ``mlruns``."""
        home = () if self.data_home is None else ("--data-home", str(Path(self.data_home).absolute()))
        extracted = self.called("extract", *data, *home)
        shutil.rmtree(self.store / "evaluations", ignore_errors=True)
        with tempfile.TemporaryDirectory() as passing:
            found = self.called("search", *data, *home, "--trials", str(trials), *more, folder=folder or passing)
        self.ran += [(f"{title}: extraction", extracted), (title, found)]
        return found

    def called(self, *words: str, folder: str | Path | None = None) -> Ran:
        """A command, in a folder; where studies lie has no option in checkouts of before."""
        variables = os.environ | {"PYTHONPATH": str(self.checkout), "BENCH_STORE": str(self.store.absolute())}
        return measured([sys.executable, "-m", "bench", *words, "--json"], variables, folder or self.checkout)


def measured(command: Sequence[str | Path], variables: dict[str, str], folder: str | Path) -> Ran:
    """Run a command that prints JSON, and measure its process."""
    load, started = os.getloadavg()[0], time.perf_counter()
    process = subprocess.Popen(command, env=variables, cwd=folder, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as out:
        printed = out.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    taken, after = time.perf_counter() - started, os.getloadavg()[0]
    return Ran(read(printed), taken, used.ru_utime + used.ru_stime, used.ru_maxrss / GIB, (load, after))


def read(printed: str) -> dict[str, Any]:
    """The JSON object in what was printed, whatever stands around it."""
    return dict(json.JSONDecoder().raw_decode(printed[printed.index("{") :])[0])
