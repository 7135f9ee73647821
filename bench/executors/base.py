"""What an executor is, and how one is found by name."""

import importlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from bench.errors import BenchError
from bench.progress import SILENT
from bench.registry import Registry

A = TypeVar("A")


class WorkerDiedError(BenchError):
    """A worker ended before it had answered."""


RETRIES = 3
"""So often an ask whose worker died is given to another."""


@dataclass(frozen=True)
class Failure:
    """What an ask has instead of an outcome: the error, with its words for people."""

    error: BenchError


@runtime_checkable
class Errand(Protocol):
    """An ask that brings along how it is answered, for what stands above the executors.

    What a worker prepared for one errand it uses for all whose `tool` is the same.
    """

    @property
    def tool(self) -> str:
        """What the errand needs, by a name that says all of it."""
        ...

    def prepare(self, store: Path, device: str) -> "Closeable":
        """That tool, on a device; `store` is the folder of the store."""
        ...

    def answer(self, tool: Any) -> Any:
        """The answer, by the tool."""
        ...


class Closeable(Protocol):
    """What is to be let go of."""

    def close(self) -> None:
        """Let go of it."""
        ...


class Executor(Protocol):
    """Answers asks, here or elsewhere, and one failure does not keep the others from their answers."""

    def run(self, asks: Iterable[A]) -> Iterator[tuple[A, Any]]:
        """Each ask with its answer or a `Failure`, in the order in which they are there.

        An ask is a value (see `bench.executors.desk`). What a caller who gives a deque adds to it while answers come
        is answered too. Asks that a caller does not wait for are given up.
        """
        ...


def queued(asks: Iterable[A]) -> deque[A]:
    """What is still to be answered: the caller's own deque, which may grow, or a new one."""
    return asks if isinstance(asks, deque) else deque(asks)


@dataclass(frozen=True)
class Place:
    """Where asks are to be answered, and by what.

    Attributes:
        home: The store's folder.
        devices: One for each worker.
        threads: Of each worker; None divides those of this process among them.
        answer: Answers an ask in this very process, where there are texts and a person who is told of progress.
        address: Of a cluster; None starts what is needed on this machine.
        warn: Takes a line that the person who waits should not overlook.
    """

    home: Path
    devices: tuple[str, ...]
    threads: int | None = None
    answer: Callable[[Any], Any] | None = None
    address: str | None = None
    warn: Callable[[str], None] = SILENT.warn


class ExecutorModule(Protocol):
    """What the module behind a registered name provides."""

    def open_executor(self, place: Place) -> AbstractContextManager[Executor]:
        """An executor whose workers end with the context."""
        ...


# Name → module.
EXECUTORS: Registry[str] = Registry("executor")
EXECUTORS.add("inline", "bench.executors.inline")
EXECUTORS.add("processes", "bench.executors.processes")
EXECUTORS.add("ray", "bench.executors.ray")


def open_executor(name: str, place: Place) -> AbstractContextManager[Executor]:
    """The executor `name`, for as long as the context lasts.

    Raises:
        BenchError: there is none of that name.
    """
    module = cast(ExecutorModule, importlib.import_module(EXECUTORS[name]))
    return module.open_executor(place)
