"""What a study has written down of itself, and who writes it: a tracker, or nobody."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bench.errors import BenchError

DESCRIPTION = "mlflow.note.content"
"""The tag that MLflow shows above a run, as Markdown."""
Status = Literal["FINISHED", "KILLED"]
Params = Mapping[str, str | int | float]


class TrackingError(BenchError):
    """The tracking store refuses, or does not answer any more; what was computed does not hang on it."""


@dataclass(frozen=True)
class TrackedStudy:
    """A study, told from others of its name: other people and other folders write to the same store.

    `id` was drawn when the study was made; None of one that an earlier bench made, and that was not gone on with since.
    Runs of such a study bear none: they are its own where `params` agree and `runs`, which it remembers as its own, are
    among them. `runs` None asks for `params` alone, which then say all that the numbers depend on. `tags` stand on
    every run of the study. `columns` are the metrics that a list of its runs should show, by the first of which it is
    sorted, `descending` where more of it is better.
    """

    experiment: str
    name: str
    params: Params
    id: str | None = None
    runs: Collection[str] | None = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    descending: bool = True


@dataclass(frozen=True)
class Record:
    """One run, whole: it is written after the work is done, so that little can be left half-written.

    `key` identifies it within its study; a record with a known key replaces nothing and is written once. `steps` are
    (name, step, value). `artifacts` map a relative path to a file's content.
    """

    key: str
    name: str
    params: Params = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    steps: Sequence[tuple[str, int, float]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelRecord:
    """A model that a run led to."""

    name: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class ModelPlace:
    """Where a model will lie: the ids of its run and its own, and the store's location of its files."""

    run: str
    model: str
    location: str


class Tracker(Protocol):
    """What a study needs of experiment tracking: a parent run with nested runs."""

    @property
    def uri(self) -> str | None:
        """The store's address without a password; None where nothing is written, and nothing need be made for it."""

    def open(self, study: TrackedStudy) -> str | None:
        """Begin or resume the parent run of a study, which nobody else has open, and return its id."""

    def look(self, study: TrackedStudy) -> str | None:
        """The id of the parent run of a study, which `attach` and `compare_url` then mean; None where there is none.

        Nothing is created or changed.
        """

    def tag(self, name: str) -> str | None:
        """A tag of the opened parent run, as it was when it was opened; None without one."""

    def set_tag(self, name: str, value: str) -> None:
        """Tag the opened parent run."""

    def find(self, key: str) -> str | None:
        """The id of the nested run with that key, or None."""

    def log(self, record: Record) -> str | None:
        """Write a nested run, unless its key is there already, and return its id."""

    def update(self, run: str | None, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Add metrics and set tags of a run that exists."""

    def attach(self, artifacts: Mapping[str, bytes]) -> None:
        """Put files on the parent run; a file of that name is replaced."""

    def close(self, metrics: Mapping[str, float], tags: Mapping[str, str], status: Status = "FINISHED") -> None:
        """End the parent run."""

    def compare_url(self, runs: Sequence[str]) -> str | None:
        """Where a browser shows runs of the study side by side."""

    def runs_url(self) -> str | None:
        """Where a browser lists the runs with the study's columns; None where there is no such list."""


class NoTracker:
    """Writes nothing down; a search that is tracked later writes what is missing."""

    uri: None = None

    def open(self, study: TrackedStudy) -> None:
        """There is no run."""

    def look(self, study: TrackedStudy) -> None:
        """There is no run."""

    def tag(self, name: str) -> None:
        """There is no run."""

    def set_tag(self, name: str, value: str) -> None:
        """Nothing is written."""

    def find(self, key: str) -> None:
        """There is no run."""

    def log(self, record: Record) -> None:
        """Nothing is written."""

    def update(self, run: str | None, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Nothing is written."""

    def attach(self, artifacts: Mapping[str, bytes]) -> None:
        """Nothing is written."""

    def close(self, metrics: Mapping[str, float], tags: Mapping[str, str], status: Status = "FINISHED") -> None:
        """Nothing is written."""

    def compare_url(self, runs: Sequence[str]) -> None:
        """There is nothing to be shown."""

    def runs_url(self) -> None:
        """There is nothing to be shown."""


UNTRACKED = NoTracker()
"""Nobody writes."""
