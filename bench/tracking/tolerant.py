"""A tracker whose failing ends no work: what it could not write is said, and written later."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from bench.progress import Progress
from bench.tracking.record import Record, Status, TrackedStudy, Tracker, TrackingError

T = TypeVar("T")
AGAIN = 300.0
"""Seconds after a failure in which nothing is tried: each trial would wait for a store that is gone."""


class Tolerant:
    """Another tracker. A store that fails before any work is an error, and one that fails later a warning.

    `missing` says why the store lacks something and what to do; it is None while it lacks nothing.
    """

    def __init__(self, tracker: Tracker, progress: Progress) -> None:
        self._tracker, self._progress = tracker, progress
        self._opened = False
        self._not_before = 0.0
        self.missing: str | None = None

    @property
    def uri(self) -> str | None:
        """As the other tracker's."""
        return self._tracker.uri

    def open(self, study: TrackedStudy) -> str | None:
        """Begin or resume a parent run; None where the store failed before and does so still: nothing is written then.

        Raises:
            BenchError: the store cannot be used, and nothing is computed yet that this could harm.
        """
        self._opened = True
        if self.missing is None:
            return self._tracker.open(study)
        parent = self._tried(lambda: self._tracker.open(study))
        self._opened = parent is not None
        return parent

    @contextmanager
    def opened(self, study: TrackedStudy) -> Iterator[str | None]:
        """The same; a parent run whose work breaks off, by Ctrl-C too, does not look as if somebody worked on it.

        Raises:
            BenchError: see `open`.
        """
        try:
            yield self.open(study)
        except BaseException:
            with suppress(Exception):
                self._tracker.close({}, {}, "KILLED")
            raise

    def look(self, study: TrackedStudy) -> str | None:
        """As the other tracker."""
        return self._tracker.look(study)

    def tag(self, name: str) -> str | None:
        """As the other tracker."""
        return self._tracker.tag(name)

    def set_tag(self, name: str, value: str) -> None:
        """Tag the opened parent run."""
        self._tried(lambda: self._tracker.set_tag(name, value))

    def find(self, key: str) -> str | None:
        """As the other tracker."""
        return self._tracker.find(key)

    def log(self, record: Record) -> str | None:
        """Write a nested run, and return its id; None where it could not be written."""
        return self._tried(lambda: self._tracker.log(record))

    def update(self, run: str | None, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Add metrics and set tags of a run that exists."""
        self._tried(lambda: self._tracker.update(run, metrics, tags))

    def attach(self, artifacts: Mapping[str, bytes]) -> None:
        """Put files on the parent run."""
        self._tried(lambda: self._tracker.attach(artifacts))

    def close(self, metrics: Mapping[str, float], tags: Mapping[str, str], status: Status = "FINISHED") -> None:
        """End the parent run."""
        self._tried(lambda: self._tracker.close(metrics, tags, status))

    def compare_url(self, runs: Sequence[str]) -> str | None:
        """As the other tracker."""
        return self._tracker.compare_url(runs)

    def runs_url(self) -> str | None:
        """As the other tracker."""
        return self._tracker.runs_url()

    def retry(self) -> None:
        """Begin anew: what is missing is about to be written, and the store is asked whatever it did before."""
        self.missing, self._not_before = None, 0.0

    def _tried(self, write: Callable[[], T]) -> T | None:
        if not self._opened or time.monotonic() < self._not_before:
            return None
        try:
            return write()
        except TrackingError as error:
            self._not_before = time.monotonic() + AGAIN
            if self.missing is None:
                self._progress.warn(f"{error} The work goes on without it, and what is missing is written later.")
            self.missing = (
                f"{error} All else is done and kept, and the store lacks a part of it: run the same command again, "
                "which computes nothing anew and writes what is missing."
            )
            return None
