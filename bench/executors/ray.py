"""Asks answered by Ray, on this machine or a cluster whose machines share the store.

What trains a candidate (an `Ask`) reads the store alone and is a task, which any worker answers: it is given the
processors that an ask needs, and sets its threads to what it was given. What runs a model (portions of texts, errands)
is for an actor that holds it, one a GPU (or as many GPUs of one machine as the model is cut over); it writes its files
itself, and gives back what it wrote. Ray repeats nothing: what a worker took with it is a `Failure`, and who asked
decides.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from typing import Any

from bench.errors import BenchError, counted
from bench.evaluation.ask import Ask
from bench.evaluation.evaluator import company
from bench.executors.assignment import Assignment, Holder, Refused, fingerprint_of, versions, work
from bench.executors.base import A, Failure, Place, WorkerDiedError, queued
from bench.executors.cluster import Cluster, check_installed, connected
from bench.extraction import Portion
from bench.home import origin

TICK = 1.0
"""Seconds after which an answer that does not come is a reason to look whether Ray still runs."""
LONG = 60
"""As many of them after which one is a reason to say so."""


@dataclass(eq=False)
class _Flight:
    """Asks that are being answered, by an actor where they need one."""

    asks: list[Any]
    actor: Any = None


class Ray:
    """Ray is started, or joined, when the first ask comes."""

    def __init__(self, place: Place) -> None:
        self._place, self._stack = place, ExitStack()
        self._joined: Cluster | None = None
        self._idle: list[Any] = []
        self._silent, self._told = 0, False

    def close(self) -> None:
        """Leave the cluster; one that was started for this ends."""
        self._idle.clear()
        self._joined = None
        self._stack.close()

    def run(self, asks: Iterable[A]) -> Iterator[tuple[A, Any]]:
        """See `Executor`; no more is under way than there are workers.

        Raises:
            BenchError: there is no Ray, it has ended, or a worker may not answer (see `Assignment.refusal`).
        """
        waiting, flying = queued(asks), dict[Any, _Flight]()
        self._silent = 0
        try:
            while waiting or flying:
                while waiting and len(flying) < self._slots(waiting[0]):
                    ref, flight = self._launch(_together(waiting, self._slots(waiting[0])))
                    flying[ref] = flight
                for ref in self._landed(list(flying)):
                    flight = flying.pop(ref)
                    yield from zip(flight.asks, self._received(ref, flight), strict=True)
        finally:
            self._give_up(flying)
            self._dismiss()  # an actor holds a model and processors, which whoever asked may need now

    @property
    def _cluster(self) -> Cluster:
        if self._joined is None:
            self._joined = self._stack.enter_context(connected(self._place.address, len(self._place.devices)))
        return self._joined

    def _slots(self, ask: Any) -> int:
        """How many flights there may be at once."""
        workers, cluster = len(self._place.devices), self._cluster
        if not cluster.processors:
            raise _lacking("no processors")
        if isinstance(ask, Ask):
            return workers
        gpus, _ = self._device(ask)
        if not gpus:  # an actor keeps its processors, so that one too many would wait for ever
            return min(workers, sum(cluster.processors))
        if not (seats := sum(seats for _, seats in cluster.seats(gpus))):
            raise _lacking(f"no machine with {counted(gpus, 'GPU')}")
        return seats if isinstance(ask, Portion) else min(seats, workers)

    def _device(self, ask: Any) -> tuple[int, str]:
        """How many GPUs what runs a model needs, and its device there: an actor sees those that it was granted."""
        if isinstance(ask, Portion):
            gpus = ask.settings.tensor_parallel if ask.settings.device.startswith("cuda") else 0
            return gpus, "cuda:0" if gpus == 1 else ask.settings.device
        kinds = {each.partition(":")[0] for each in self._place.devices}
        if len(kinds) > 1:
            raise BenchError(
                f"Under `executor='ray'` all workers have devices of one kind, not {' and '.join(sorted(kinds))}: "
                "give all workers devices of one kind."
            )
        return (1, "cuda:0") if kinds == {"cuda"} else (0, self._place.devices[0])

    def _launch(self, asks: list[Any]) -> tuple[Any, _Flight]:
        import ray

        first = asks[0]
        assigned = Assignment(
            home=self._place.home.absolute(),
            device="cpu" if isinstance(first, Ask) else self._device(first)[1],
            asks=tuple(asks),
            fingerprints=tuple(map(fingerprint_of, asks)),
            versions=versions(),
            origin=origin(self._place.home),
        )
        if isinstance(first, Ask):
            self._dismiss()  # actors keep what they were granted
            task = ray.remote(work).options(num_cpus=self._threads(), max_retries=0, name="asks")
            return task.remote(assigned), _Flight(asks)
        actor = self._idle.pop() if self._idle else self._actor(first)
        return actor.work.remote(assigned), _Flight(asks, actor)

    def _threads(self) -> int:
        """Of each candidate: how the terms of a product are summed depends on them, so that they are the study's."""
        import torch

        threads, most = torch.get_num_threads(), max(self._cluster.processors)
        if threads > most:
            raise BenchError(
                f"A candidate of this search is trained on {threads} threads, and no machine of the Ray cluster has "
                f"more than {most} processors: set OMP_NUM_THREADS={most}, or take a larger wave."
            )
        return threads

    def _actor(self, ask: Any) -> Any:
        """An actor with its share of a machine, which is the same everywhere."""
        import ray

        cluster, (gpus, _) = self._cluster, self._device(ask)
        if gpus:
            share = min(processors // seats for processors, seats in cluster.seats(gpus))
        else:
            share = max(1, min(cluster.processors) // ceil(self._slots(ask) / len(cluster.processors)))
        return ray.remote(Holder).options(num_cpus=share, num_gpus=gpus, max_restarts=0).remote()

    def _dismiss(self) -> None:
        """End the actors that have nothing to do."""
        while self._idle:
            _end(self._idle.pop())

    def _landed(self, refs: list[Any]) -> list[Any]:
        import ray

        ready, _ = ray.wait(refs, timeout=TICK)
        self._silent = 0 if ready else self._silent + 1
        if not ready:
            self._cluster.check()
        if self._silent == LONG and not self._told:
            self._told = True
            self._place.warn(
                "Ray has answered nothing for a minute. Where no ask takes so long, others have its processors or "
                "GPUs: ray status says who waits for what."
            )
        return list(ready)

    def _received(self, ref: Any, flight: _Flight) -> list[Any]:
        import ray
        from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

        try:
            found = ray.get(ref)
        except RayTaskError as error:
            if isinstance(error.cause, ImportError):
                raise BenchError(f"A worker lacks what it needs ({error.cause}): install it there.") from None
            raise RuntimeError(f"in a worker:\n{error}") from None
        except RayError as error:
            self._cluster.check()
            short = isinstance(error, OutOfMemoryError)
            why = "ended by Ray because memory ran short" if short else f"lost ({type(error).__name__})"
            failure = Failure(WorkerDiedError(f"A worker was {why}; if memory ran out, take fewer workers."))
            return [failure] * len(flight.asks)
        if flight.actor is not None:
            self._idle.append(flight.actor)
        if isinstance(found, Refused):
            raise BenchError(found.why)
        return list(found)

    def _give_up(self, flying: Mapping[Any, _Flight]) -> None:
        for ref, flight in flying.items():
            _end(flight.actor, ref)


def _end(actor: Any, ref: Any = None) -> None:
    """End an actor, or the task of that reference where there is none; where Ray has ended, so have they."""
    import ray

    if not ray.is_initialized():
        return  # it would start anew to be told
    with suppress(Exception):
        if actor is None:
            ray.cancel(ref, force=True)
        else:
            ray.kill(actor)


def _lacking(what: str) -> BenchError:
    return BenchError(f"The Ray cluster has {what} to give: add machines, or leave the executor out.")


def _together(waiting: deque[Any], slots: int) -> list[Any]:
    """The first of what waits, with others that train together with it or read the same matrices, out of the queue.

    A share of the queue at most, so that no worker is left without.
    """
    first = waiting[0]
    room = ceil(len(waiting) / slots)
    chosen = [place for place, ask in enumerate(waiting) if _kind(ask) == _kind(first)][:room]
    found = [waiting[place] for place in chosen]
    for place in reversed(chosen):
        del waiting[place]
    return found


def _kind(ask: Any) -> Any:
    """What is equal of asks that should go to one worker; nothing that runs a model should go with another."""
    if not isinstance(ask, Ask):
        return id(ask)
    return company(ask) if ask.beside is not None else (ask.train, ask.test, ask.inputs)


@contextmanager
def open_executor(place: Place) -> Iterator[Ray]:
    """As many workers as the place has devices. What Ray started ends with the context.

    Raises:
        BenchError: Ray is not installed.
    """
    check_installed()
    executor = Ray(place)
    try:
        yield executor
    finally:
        executor.close()
