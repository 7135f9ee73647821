"""A study as something that is kept: looked at, renamed and deleted, without loading its data."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from bench.errors import BenchError
from bench.files import atomic, size
from bench.measures import LATENCY
from bench.specs import AnyCandidate
from bench.study.cascades import CascadeRecord, Selected, chosen
from bench.study.journal import Journal, check_name, read, require_study, studies_folder, study_names
from bench.study.named import choose, front, left_out
from bench.study.record import State
from bench.study.reopen import searched
from bench.study.roles import CHOICES
from bench.study.settings import SearchRequest
from bench.tracking import TrackedStudy

REPORTS, FRAMES = "reports", "data"
COUNTED: tuple[State, ...] = ("complete", "pruned", "failed", "infeasible", "repeat")


class Runs(Protocol):
    """A tracking store that has runs of studies."""

    def delete_study(self, study: TrackedStudy) -> int:
        """Delete the runs of a study, and say how many there were."""

    def rename_study(self, study: TrackedStudy, name: str) -> int:
        """Rename the runs of a study, and say how many there are."""


@dataclass(frozen=True)
class Contents:
    """What a study holds and where, by its journal alone; test scores are `reopen`'s to find.

    Attributes:
        found: Its front and its cascades, the cheapest first.
        roles: What each of `CHOICES` names among them, by `Selected.id`.
        begun: When its first and its last trial ended; None without one.
        files: Its journal and its report, with their bytes.
        left_out: What is shown no more, and how to have it again; None where all is shown.
    """

    name: str
    request: SearchRequest
    models: tuple[str, ...]
    counts: Mapping[State, int]
    found: tuple[Selected, ...]
    roles: Mapping[str, int | str]
    begun: tuple[datetime, datetime] | None
    files: Mapping[Path, int]
    left_out: str | None = None

    @property
    def named(self) -> dict[str, AnyCandidate | CascadeRecord]:
        """The same by the names that tables have for them."""
        return {str(each.id): each if isinstance(each, CascadeRecord) else each.candidate for each in self.found}

    def to_json(self) -> dict[str, Any]:
        """The study as JSON values."""
        return {
            "study": self.name,
            "dataset": self.request.dataset.name,
            "models": list(self.models),
            "space": self.request.space_name,
            "requested": self.request.trials,
            "trials": dict(self.counts),
            "front": [
                {
                    "trial": each.id,
                    "roles": [name for name, which in self.roles.items() if which == each.id],
                    "candidate": each.subject.model_dump(mode="json"),
                    "search": dict(each.metrics),
                }
                for each in self.found
            ],
            "begun": None if self.begun is None else [each.isoformat(timespec="seconds") for each in self.begun],
            "files": {str(path): count for path, count in self.files.items()},
            "left_out": self.left_out,
        }


def look(home: Path, name: str) -> Contents:
    """What a study holds; nothing is loaded or computed.

    Raises:
        BenchError: there is no such study, or it has no scored trial.
    """
    journal, request = searched(home, name)
    objectives = request.space.objectives
    made = chosen(journal)
    found: list[Selected] = [*front(journal, objectives), *(() if made is None else made.records)]
    found.sort(key=lambda each: each.metrics[LATENCY.name])
    ended = [trial.datetime_complete for trial in journal.study.get_trials(deepcopy=False) if trial.datetime_complete]
    return Contents(
        name=name,
        request=request,
        models=tuple(request.models or ()),
        counts={state: len(journal.of(state)) for state in COUNTED},
        found=tuple(found),
        roles={role: choose(name, journal, request, role).id for role in CHOICES},
        begun=(min(ended), max(ended)) if ended else None,
        files={path: size(path) for path in files(home, name)},
        left_out=left_out(name, journal, request),
    )


def files(home: Path, name: str) -> list[Path]:
    """What is a study's alone: report, rows of a DataFrame, what a damaged journal left, and the journal."""
    folder = studies_folder(home)
    journal = folder / f"{name}.journal"
    aside = sorted(path for path in folder.glob("*.journal.damaged*") if path.name.startswith(f"{journal.name}."))
    return [path for path in (home / REPORTS / name, *_frames(home, name), *aside, journal) if path.exists()]


def _frames(home: Path, name: str) -> set[Path]:
    """The files that hold rows of DataFrames which no other study was made of."""
    folder, of = home / FRAMES, dict[str, set[Path]]()
    if folder.exists():
        for study in study_names(home):
            asked = _asked(home, study).get("dataset", {})
            paths = (Path(each) for key in ("name", "test_file") if (each := asked.get(key)) is not None)
            of[study] = {path for path in paths if path.parent == folder}
    return of.pop(name, set()).difference(*of.values())


def _asked(home: Path, name: str) -> Mapping[str, Any]:
    """What was asked of a study's search, as far as that can be read."""
    try:
        return read(home, name).note("request") or {}
    except BenchError:
        return {}


def delete(home: Path, name: str, runs: Runs | None) -> int:
    """Delete a study's runs, report and journal, the journal last: what was broken off is done again.

    Hidden states and evaluations stay in the store, where other studies find them.

    Returns:
        How many runs of a tracking store were deleted.

    Raises:
        BenchError: there is no such study, another process has it open, or the tracking store cannot be used.
    """
    with _held(home, name):
        known = tracked_as(home, name)
        deleted = 0 if runs is None or known is None else runs.delete_study(known)
        for path in files(home, name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    studies_folder(home).joinpath(f"{name}.lock").unlink(missing_ok=True)
    return deleted


def rename(home: Path, name: str, new: str, runs: Runs | None) -> int:
    """Give a study another name: in the tracking store, then its report and its journal.

    Returns:
        How many runs of a tracking store were renamed.

    Raises:
        BenchError: there is no such study or one of the new name, another process has one of the two open, the file
            is damaged, or the tracking store cannot be used.
    """
    check_name(new)
    if new in study_names(home) or (home / REPORTS / new).exists():
        raise BenchError(f"There is a study '{new}' under {home} already: take another name, or delete that one.")
    with _held(home, name), _alone(home, new):
        journal = read(home, name)
        renamed = 0 if runs is None else runs.rename_study(_tracked(name, journal), new)
        old, path = (studies_folder(home) / f"{each}.journal" for each in (name, new))
        with atomic(path) as temporary:
            temporary.write_bytes(_called(old.read_bytes(), name, new))
        if (report := home / REPORTS / name).exists():
            report.rename(home / REPORTS / new)
        old.unlink()
    studies_folder(home).joinpath(f"{name}.lock").unlink(missing_ok=True)
    return renamed


def _called(content: bytes, name: str, new: str) -> bytes:
    """A journal whose study has another name: the line that begins the study has it, and no digest."""
    lines = content.split(b"\n")
    for number, line in enumerate(lines):
        entry = json.loads(line) if line else {}
        if entry.get("study_name") == name:
            lines[number] = json.dumps({**entry, "study_name": new}, separators=(",", ":")).encode()
    return b"\n".join(lines)


def tracked_as(home: Path, name: str) -> TrackedStudy | None:
    """A study as a tracking store knows it; None of one that cannot be read, whose runs cannot be told from others'."""
    try:
        return _tracked(name, read(home, name))
    except BenchError:
        return None


def _tracked(name: str, journal: Journal) -> TrackedStudy:
    own = {record.run_id for record in journal.records.values() if record.run_id is not None}
    return TrackedStudy(str(journal.settings["dataset"]), name, {}, journal.id, own)


@contextmanager
def _held(home: Path, name: str) -> Iterator[None]:
    require_study(home, name)
    with _alone(home, name):
        yield


@contextmanager
def _alone(home: Path, name: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(studies_folder(home) / f"{name}.lock", timeout=0):
            yield
    except Timeout as error:
        raise BenchError(f"The study '{name}' is open in another process: wait for it, or end it.") from error
