"""Asks answered by processes of this machine, one a device."""

import multiprocessing
import signal
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bench.executors.base import A, Failure, Place, WorkerDiedError, queued


@dataclass(frozen=True)
class _Bug:
    """An error that is not for users: it is raised where the asks come from, with the worker's traceback."""

    traceback: str


@dataclass(eq=False)
class _Worker:
    """A process and this end of the pipe to it."""

    device: str
    process: BaseProcess
    connection: Connection


class Processes:
    """Workers are started when they are first needed, and a new one where one has died."""

    def __init__(self, place: Place) -> None:
        import torch

        # Spawned: a fork would copy locks and CUDA's state in whatever condition they are.
        self._context = multiprocessing.get_context("spawn")
        self._place, self._threads = place, place.threads or max(1, torch.get_num_threads() // len(place.devices))
        self._vacant = list(reversed(place.devices))
        self._workers: list[_Worker] = []

    def run(self, asks: Iterable[A]) -> Iterator[tuple[A, Any]]:
        """See `Executor`; each worker has one ask at a time."""
        waiting, busy = queued(asks), dict[Any, tuple[_Worker, A]]()
        idle = list(self._workers)
        try:
            while True:
                while waiting and (idle or self._vacant):
                    ask = waiting.popleft()
                    worker = idle.pop() if idle else self._start(self._vacant.pop())
                    busy[worker.connection] = (worker, ask)
                    with suppress(OSError):  # it has died, and its end of the pipe says so below
                        worker.connection.send(ask)
                if not busy:
                    return
                ready = [busy.pop(connection) for connection in wait(list(busy))]
                answers = [(ask, self._received(worker)) for worker, ask in ready]
                idle += [worker for worker, _ in ready if worker in self._workers]
                yield from answers
        finally:
            for worker, _ in busy.values():
                self._end(worker)

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        for worker in list(self._workers):
            self._end(worker)

    def _start(self, device: str) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, self._place.home, device, self._threads), daemon=True, name=f"bench on {device}"
        )
        process.start()
        theirs.close()  # so that the pipe ends with the worker
        self._workers.append(worker := _Worker(device, process, ours))
        return worker

    def _end(self, worker: _Worker) -> None:
        worker.process.terminate()
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        self._vacant.append(worker.device)

    def _received(self, worker: _Worker) -> Any:
        try:
            answer = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join()
            code = worker.process.exitcode or 0
            self._end(worker)
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            return Failure(
                WorkerDiedError(f"A worker on {worker.device} {how}; if memory ran out, take fewer workers.")
            )
        if isinstance(answer, _Bug):
            raise RuntimeError(f"in a worker on {worker.device}:\n{answer.traceback}")
        return answer


@contextmanager
def open_executor(place: Place) -> Iterator[Processes]:
    """Processes that end with the context, or with this process."""
    executor = Processes(place)
    try:
        yield executor
    finally:
        executor.close()


def _work(connection: Connection, home: Path, device: str, threads: int) -> None:
    """A worker's life."""
    # Ctrl-C goes to every process of the terminal; the one that asks ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    from bench.executors.desk import Desk

    torch.set_num_threads(threads)
    desk = Desk(home, device)
    with suppress(EOFError, OSError):  # nobody asks any more
        while True:
            ask = connection.recv()
            try:
                answer = desk.answer(ask)
            except Exception:  # noqa: BLE001 - it is raised again in the process that asked
                answer = _Bug(traceback.format_exc())
            connection.send(answer)
