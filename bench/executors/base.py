"""What an executor is, and how one is found by name."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from bench.errors import BenchError
from bench.registry import Registry

A = TypeVar("A")


class WorkerDiedError(BenchError):
    """A worker ended before it had answered."""


@dataclass(frozen=True)
class Failure:
    """What an ask has instead of an outcome: the error, with its words for people."""

    error: BenchError


class Executor(Protocol):
    """Answers asks, here or elsewhere, and one failure does not keep the others from their answers."""

    def run(self, asks: Iterable[A]) -> Iterator[tuple[A, Any]]:
        """Each ask with its answer or a `Failure`, in the order in which they are there.

        An ask is a value (see `bench.executors.desk`). Asks that a caller does not wait for are given up.
        """
        ...


@dataclass(frozen=True)
class Place:
    """Where asks are to be answered, and by what.

    Attributes:
        home: The store's folder.
        devices: One for each worker.
        threads: Of each worker; None divides those of this process among them.
        answer: Answers an ask in this very process, where there are texts and a person who is told of progress.
    """

    home: Path
    devices: tuple[str, ...]
    threads: int | None = None
    answer: Callable[[Any], Any] | None = None


class ExecutorModule(Protocol):
    """What the module behind a registered name provides."""

    def open_executor(self, place: Place) -> AbstractContextManager[Executor]:
        """An executor whose workers end with the context."""
        ...


# Name → module.
EXECUTORS: Registry[str] = Registry("executor")
EXECUTORS.add("inline", "bench.executors.inline")
EXECUTORS.add("processes", "bench.executors.processes")


def open_executor(name: str, place: Place) -> AbstractContextManager[Executor]:
    """The executor `name`, for as long as the context lasts.

    Raises:
        BenchError: there is none of that name.
    """
    module = cast(ExecutorModule, importlib.import_module(EXECUTORS[name]))
    return module.open_executor(place)
