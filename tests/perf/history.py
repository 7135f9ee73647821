"""Ratios of speed over the commits: what was measured is kept, and what is measured now is held against it.

    python tests/perf/history.py check FILE…   # ends with 1 where a ratio has fallen, with 2 where nothing compares
    python tests/perf/history.py add FILE…     # keeps it as this commit's; what is not committed is not kept

Each ratio says how many times faster bench is than what stands beside it, both in turn in one run: more is better,
and what slows the whole machine changes no ratio. A record is what one command of a script has measured:

    {"script": "heads.py --quick", "commit": "9082e07…", "changed": false, "at": "2026-11-27T17:00:00+00:00",
     "versions": {"torch": "2.13.0", …}, "machine": {"processor": "AMD EPYC, avx2", "cores": 2, "others": 0.02},
     "ratios": {"NAME": {"median": 3.2, "min": 3.1, "max": 3.4, "n": 3}}}

`others` is the share of the machine that other processes took meanwhile. It is held against the last record that was
kept of the same command on such a processor with as many cores. **A ratio has fallen** where the best of now is more
than a tenth below the least of then, or where the median is below 0.6 of what it was. Three samples of either side
and no change: all of now lie below all of then in one case of twenty, before the tenth; a ratio so noisy that it
hides a half in its range is caught by its median. A ratio that is no longer measured has fallen too.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HISTORY = HERE / "history.jsonl"
BELOW, MEDIAN = 0.9, 0.6
BUSY = 0.1
"""A machine of whose time others took more is called busy."""


class UnusableError(Exception):
    """What is wrong with what was given, for people."""


@dataclass(frozen=True)
class Ratio:
    """Of `n` samples, each of both sides in turn."""

    median: float
    min: float
    max: float
    n: int

    def __post_init__(self) -> None:
        if not (self.n >= 1 and 0 < self.min <= self.median <= self.max < float("inf")):
            raise ValueError(f"no ratio: {self}")

    def fallen(self, then: "Ratio") -> bool:
        return self.max < BELOW * then.min or self.median < MEDIAN * then.median


@dataclass(frozen=True)
class Record:
    """What one command of a script has measured; see the top of this file."""

    script: str
    commit: str
    changed: bool
    at: str
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    ratios: Mapping[str, Ratio]

    @property
    def key(self) -> tuple[str, str, int]:
        """What is alike of two that can be compared."""
        return self.script, self.machine["processor"], self.machine["cores"]

    @property
    def busy(self) -> bool:
        return float(self.machine["others"]) > BUSY

    def line(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False) + "\n"


def read(path: Path) -> list[Record]:
    """The records of a file, one a line.

    Raises:
        UnusableError: there is no such file, or a line is no record.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UnusableError(f"There is no '{path}': `tox -e perf` writes one.") from None
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            parts = json.loads(line)
            ratios = {name: Ratio(**each) for name, each in parts.pop("ratios").items()}
            if not ratios:
                raise ValueError("it has no ratio")
            record = Record(**parts, ratios=ratios)
            _ = record.key, record.busy
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UnusableError(f"Line {number} of '{path}' is no record of ratios: {error}.") from None
        found.append(record)
    return found


def compared(now: Iterable[Record], history: Iterable[Record]) -> Iterator[tuple[Record, Record | None]]:
    """Each record beside the last that was kept of the same command on such a machine."""
    last = {record.key: record for record in history}
    for record in now:
        yield record, last.get(record.key)


def check(now: Iterable[Record], history: Iterable[Record]) -> int:
    """Print each ratio beside the last one; the exit status."""
    fallen, beside = [], 0
    for record, then in compared(now, history):
        if then is None:
            print(f"\n{record.script}: nothing was kept of it on {_machine(record)}")
            continue
        print(f"\n{record.script}: {_commit(record)} beside {_commit(then)}, {_machine(record)}")
        for name, before in then.ratios.items():
            ratio = record.ratios.get(name)
            low = ratio is None or ratio.fallen(before)
            fallen += [f"{record.script}: {name}"] if low else []
            beside += 1
            print(f"  {_shown(before):24} → {_shown(ratio):24} {'FALLEN' if low else '      '} {name}")
        for name in record.ratios.keys() - then.ratios.keys():
            print(f"  {'':24} → {_shown(record.ratios[name]):24} new    {name}")
    if not beside:
        raise UnusableError(
            "Nothing was kept that compares: keep what was measured by `python tests/perf/history.py add FILE`."
        )
    print(f"\n{beside} ratios compared, {len(fallen)} fallen", *fallen, sep="\n  ")
    return 1 if fallen else 0


def add(records: Iterable[Record], history: Path = HISTORY) -> None:
    """Keep records of a commit.

    Raises:
        UnusableError: files were changed since the commit that they name.
    """
    records = list(records)
    if changed := [record.script for record in records if record.changed]:
        raise UnusableError(f"Measured with changes that are not committed, so not kept: {', '.join(changed)}.")
    with history.open("a", encoding="utf-8") as file:
        file.writelines(record.line() for record in records)
    print(f"{len(records)} records kept in {history.name}; `python tests/perf/page.py` draws them")


def commit() -> tuple[str, bool]:
    """The commit that is checked out, and whether files differ from it (what is kept here apart)."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=HERE, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", ":/", f":!{HISTORY.name}")
        return git("rev-parse", "HEAD"), bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return "", True


def _shown(ratio: Ratio | None) -> str:
    return "not measured" if ratio is None else f"{ratio.median:.2f} ({ratio.min:.2f}–{ratio.max:.2f}, n = {ratio.n})"


def _commit(record: Record) -> str:
    return f"{record.commit[:8]}{'+' if record.changed else ''}{', busy machine' if record.busy else ''}"


def _machine(record: Record) -> str:
    return f"{record.machine['processor']}, {record.machine['cores']} cores"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=("check", "add"))
    parser.add_argument("file", type=Path, nargs="+")
    parser.add_argument("--history", type=Path, default=HISTORY)
    asked = parser.parse_args(words)
    try:
        now = [record for file in asked.file for record in read(file)]
        if asked.do == "check":
            return check(now, read(asked.history))
        add(now, asked.history)
    except UnusableError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
