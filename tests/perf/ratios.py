"""What every script of speed shares: sides in turn, ratios in one shape, peers as they are pinned, words on refusal.

    parser = ratios.options(argparse.ArgumentParser(…))     # --quick and --json FILE
    with ratios.measured(parser.parse_args().json, "sentence-transformers") as found:
        seconds = ratios.in_turn({"bench": …, "peer": …}, rounds=3)
        found.faster("MiniLM, × sentence-transformers", seconds["bench"], seconds["peer"])

The shape of what is written stands in `tests/perf/history.py`.
"""

import argparse
import datetime
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn

import psutil
from history import BUSY, Ratio, Record, commit

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
ALWAYS = ("torch", "transformers", "numpy", "scikit-learn")
FLAGS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "asimd")
"""Of a processor, what decides how fast products are; the first that it has is named."""


class Ratios:
    """The ratios of one run, printed as they come."""

    def __init__(self) -> None:
        self.found: dict[str, Ratio] = {}

    def faster(self, name: str, ours: Sequence[float], others: Sequence[float]) -> Ratio:
        """How many times faster bench is: seconds of both sides in turn, sample by sample."""
        return self.add(name, [other / our for our, other in zip(ours, others, strict=True)])

    def add(self, name: str, samples: Sequence[float]) -> Ratio:
        """Ratios of which more is better."""
        if name in self.found:
            raise ValueError(f"'{name}' is measured twice")
        ratio = Ratio(*(round(f(samples), 4) for f in (statistics.median, min, max)), len(samples))
        self.found[name] = ratio
        print(f"ratio  {ratio.median:8.3f} ({ratio.min:.3f} to {ratio.max:.3f}, n = {ratio.n})  {name}", flush=True)
        return ratio


def options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """What every script takes."""
    parser.add_argument("--quick", action="store_true", help="what `tox -e perf` runs: minutes on two cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write versions, machine and ratios")
    return parser


@contextmanager
def measured(path: Path | None, *peers: str) -> Iterator[Ratios]:
    """Collect ratios, and write them to `path` when all are there.

    Ends the script with words and status 1 where a peer is not installed as `tests/constraints.txt` pins it, and where
    nothing was measured.
    """
    versions = {name: pinned(name) for name in dict.fromkeys((*ALWAYS, *peers))}
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    checked_out, found, before = commit(), Ratios(), _clocks()
    yield found
    if not found.found:
        refuse("Nothing was measured.")
    machine = {"processor": processor(), "cores": _cores(), "others": _others(before, _clocks())}
    if machine["others"] > BUSY:
        print(f"busy machine: others took {machine['others']:.0%} of it meanwhile")
    if path is not None:
        versions["python"] = platform.python_version()
        record = Record(_script(), *checked_out, at, versions, machine, found.found)
        path.write_text(record.line(), encoding="utf-8")


def refuse(why: str) -> NoReturn:
    """End a script that cannot measure what it was asked for."""
    print(f"{Path(sys.argv[0]).name}: {why}", file=sys.stderr)
    sys.exit(1)


def pinned(name: str) -> str:
    """The version of an installed distribution, which must be that of `tests/constraints.txt`."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    found = [line.partition("==")[2] for line in lines if re.match(rf"{re.escape(name)}==", line, re.IGNORECASE)]
    try:
        installed = version(name)
    except PackageNotFoundError:
        refuse(f"{name} is not installed: pip install -c tests/constraints.txt {name}")
    if not found:
        refuse(f"tests/constraints.txt pins no {name}.")
    # a build for one kind of device has a local version of its own
    if installed.partition("+")[0] != found[0]:
        refuse(f"{name} {installed} is installed, tests/constraints.txt pins {found[0]}.")
    return installed


def in_turn(
    sides: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    warm: bool = True,
) -> dict[str, list[float]]:
    """Seconds of each side, one after the other in every round; what comes first is not counted where `warm`."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + warm):
        for name, side in sides.items():
            started = clock()
            side()
            if number >= warm:
                seconds[name].append(clock() - started)
    return seconds


def processor() -> str:
    """Its name, and the widest instructions that decide how fast products are."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in told.splitlines())
    known = {name.strip(): value.strip() for name, _, value in lines}
    flags = (known.get("flags") or known.get("Features") or "").split()
    return ", ".join([known.get("model name", platform.machine()), *[flag for flag in FLAGS if flag in flags][:1]])


def _cores() -> int:
    return len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count() or 1


def _clocks() -> tuple[float, float, float]:
    """Seconds that the machine worked, that this process and what it started worked, and by the clock."""
    times, own = psutil.cpu_times(), os.times()
    worked = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
    return worked, own.user + own.system + own.children_user + own.children_system, time.monotonic()


def _others(before: tuple[float, ...], after: tuple[float, ...]) -> float:
    """The share of the machine's processors that other processes took."""
    worked, own, passed = (b - a for a, b in zip(before, after, strict=True))
    return round(max(0.0, worked - own) / max(passed * (os.cpu_count() or 1), 1e-9), 3)


def _script() -> str:
    """The command, without where it writes to."""
    words, kept = iter(sys.argv[1:]), [Path(sys.argv[0]).name]
    for word in words:
        if word == "--json":
            next(words)
        elif not word.startswith("--json="):
            kept.append(word)
    return " ".join(kept)
