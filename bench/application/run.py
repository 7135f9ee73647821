"""An application from its plan to its last shard."""

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from bench.application.asked import Applying
from bench.application.places import Files, Here
from bench.application.plan import PLAN, ApplicationPlan, Input, planned, sources
from bench.application.shards import Opening, Shard, WrittenShard, cut
from bench.backends.resolution import applying, resolve
from bench.errors import BenchError, counted
from bench.executors.base import RETRIES, Executor, Failure, Place, WorkerDiedError, open_executor
from bench.executors.settings import Workers
from bench.extraction import all_devices
from bench.packaging.pipeline import PackagedPipeline, read
from bench.packaging.texts import read_texts
from bench.progress import Progress, Work

AHEAD = 2
"""Shards of a worker that are in memory: the one that it answers, and the next."""

LOCK = "._apply.lock"


@dataclass(frozen=True)
class Applied:
    """What was done.

    Attributes:
        out: The folder of the answers.
        files: Of texts.
        rows: In all files.
        shards: Files of answers.
        before: Rows whose answers were there already.
        blank: Rows without a text, of those that were answered now.
        seconds: What this call took, without what was there already.
        worked: The seconds that workers spent on their shards, summed.
    """

    out: str
    files: int
    rows: int
    shards: int
    before: int
    blank: int
    seconds: float
    worked: float

    @property
    def rate(self) -> float | None:
        """Texts a second; None where all was there."""
        now = self.rows - self.before
        return now / self.seconds if now and self.seconds else None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "rate": self.rate}


def apply(asked: Applying, workers: Workers, devices: Sequence[str], store: Path, progress: Progress) -> Applied:
    """Answer every row of the source, but for the shards that are there.

    Args:
        asked: What is applied to what.
        workers: Who answers; at least as many as there are devices.
        devices: For them, in turn; none is what the search ran on, and all of them, where that was a GPU of several.
        store: The folder of the store, for models that the package names and does not hold.
        progress: What is told on the way.

    Raises:
        BenchError: a file, the package or a model cannot be read, the folder holds something else or is another
            process's, or workers died again and again.
    """
    pipeline, _ = read(asked.package)
    sources(asked.source)  # refused before there is a folder
    with _claimed(asked.out):
        plan = planned(asked, pipeline, progress)
        _refuse_names(plan, pipeline, asked)
        found = tuple(devices) or _devices(pipeline)
        used = tuple(islice(cycle(found), max(workers.workers, len(found))))
        if workers.executor == "ray" and any(each != "cpu" for each in used):
            raise BenchError("Under `executor='ray'` answers are given on processors: use `executor='processes'`.")
        name = workers.executor or ("inline" if len(used) == 1 else "processes")
        place = Place(store, used, address=workers.ray_address, warn=progress.warn)
        return _Application(asked, plan, progress).done(name, place)


def _devices(pipeline: PackagedPipeline) -> tuple[str, ...]:
    return tuple(all_devices(resolve(applying(pipeline.models[0].settings)))) if pipeline.models else ("cpu",)


class _Application:
    def __init__(self, asked: Applying, plan: ApplicationPlan, progress: Progress) -> None:
        self._asked, self._plan, self._progress = asked, plan, progress
        self._opening = Opening(plan.package, asked.package, asked.rule, asked.trust_remote_code)
        self._written = {each.name for each in asked.out.found()}

    def done(self, executor: str, place: Place) -> Applied:
        said = list[WrittenShard]()
        there = sum(rows for each in self._plan.inputs for rows in self._there(each))
        started = time.perf_counter()
        if there < self._plan.rows:
            with (
                self._progress.task("apply", self._plan.rows, "texts", done=there) as task,
                open_executor(executor, place) as workers,
            ):
                for answered in self._answered(workers, AHEAD * len(place.devices), task):
                    task.advance(answered.rows)
                    said.append(answered)
        seconds = time.perf_counter() - started
        self._require_all()
        return Applied(
            out=self._asked.out.shown,
            files=len(self._plan.inputs),
            rows=self._plan.rows,
            shards=sum(-(-each.rows // self._asked.shard_rows) for each in self._plan.inputs),
            before=there,
            blank=sum(each.blank for each in said),
            seconds=seconds if said else 0.0,
            worked=sum(each.seconds for each in said),
        )

    def _require_all(self) -> None:
        """Raise BenchError where a shard is missing: a file has become shorter, or workers write elsewhere."""
        self._written = {each.name for each in self._asked.out.found()}
        missing = sum(each.rows - sum(self._there(each)) for each in self._plan.inputs)
        if missing:
            raise BenchError(
                f"Answers to {counted(missing, 'text')} are not in {self._asked.out.shown}: has a file of texts "
                "changed meanwhile, or do workers of other machines not see that folder? Then run the same command "
                "again."
            )

    def _answered(self, workers: Executor, ahead: int, task: Work) -> Iterator[WrittenShard]:
        """Each shard once it is written. So many are read `ahead`: all of them might not fit into memory."""
        missing, died = self._missing(task), Counter[str]()
        waiting = deque(islice(missing, ahead))
        for shard, answer in workers.run(waiting):
            waiting.extend(islice(missing, 1))
            if not isinstance(answer, Failure):
                yield answer
            elif isinstance(answer.error, WorkerDiedError) and died[shard.name] < RETRIES:
                died[shard.name] += 1
                self._progress.warn(f"{answer.error} {shard.name} is begun again.")
                waiting.append(shard)
            else:
                raise answer.error

    def _missing(self, task: Work) -> Iterator[Shard]:
        for each in self._plan.inputs:
            if sum(self._there(each)) == each.rows:
                continue
            task.note(each.name)
            each.require(self._asked.source.look(each.name), self._asked.out)
            with self._asked.source.opened(each.name) as path:
                for start, texts, beside in cut(read_texts(path, self._asked.reading), self._asked.shard_rows):
                    if (name := self._name(each, start)) not in self._written:
                        yield Shard(self._opening, texts, beside, self._plan.types, self._asked.out, name)

    def _there(self, each: Input) -> Iterator[int]:
        """The rows of each shard that is written."""
        size = self._asked.shard_rows
        for start in range(0, each.rows, size):
            if self._name(each, start) in self._written:
                yield min(size, each.rows - start)

    def _name(self, each: Input, start: int) -> str:
        return f"{each.name}-{start:010d}.{self._asked.format}"


@contextmanager
def _claimed(place: Files) -> Iterator[None]:
    """Of two processes on one machine one is refused; at an address two write the same twice."""
    from filelock import FileLock, Timeout

    if not isinstance(place, Here):
        yield
        return
    out = place.path
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BenchError(f"Another process writes answers to {out}: wait for it, or give another folder.") from None
    except (OSError, NotImplementedError):
        pass  # a network's disk that knows no locks
    try:
        yield
    finally:
        lock.release()
        if not (out / PLAN).exists():  # nothing has begun
            (out / LOCK).unlink(missing_ok=True)
            with suppress(OSError):
                out.rmdir()


def _refuse_names(plan: ApplicationPlan, pipeline: PackagedPipeline, asked: Applying) -> None:
    for name in plan.beside:
        if name in pipeline.columns(asked.rule):
            raise BenchError(f"The answer has a column '{name}' of its own: rename the one to be kept beside it.")
