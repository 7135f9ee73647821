"""Ray as it is used here: started on this machine for as long as it is needed, or joined where it runs already.

What is started listens on loopback alone, to those who know a token that is drawn for this process; it sends nothing
to anybody, says nothing on the terminal, and ends with the context.
"""

import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import psutil

from bench.errors import BenchError, in_words

OBJECTS = 256 << 20
"""Bytes of shared memory for what tasks give back: outcomes of some 10⁵ rows. Hidden states never pass through it."""
LONGEST = 30
"""Characters of a temporary folder's name below which Ray's sockets, whose names are limited to 107, have room."""
PATIENCE = 5.0
"""Seconds in which what was told to end may do so by itself."""
ALWAYS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
HERE = {
    # Ray takes 127.0.0.1 for the address that other machines know this one by, unless it is told that there are none
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    # so long do agents that have lost everybody else try to tell of it; more than Ray waits for what it starts, so
    # that it says what failed
    "RAY_gcs_rpc_server_reconnect_timeout_s": "40",
}


QUIET: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": logging.CRITICAL}


class _Started:
    """The processes that are started from here on, their children among them, so that none is left behind."""

    def __init__(self) -> None:
        self._before = set(psutil.Process().children())
        self._family: set[psutil.Process] = set()
        self._daemons: set[psutil.Process] = set()

    def settle(self) -> "_Started":
        """What was started by now is what must not end."""
        self._daemons = set(psutil.Process().children()) - self._before
        return self

    def whole(self) -> bool:
        """Whether none of them has ended."""
        return all(map(_lives, self._daemons))

    def look(self) -> None:
        """Remember who is there: once a parent is gone, nobody knows whose children they were."""
        for each in self._daemons or set(psutil.Process().children()) - self._before:
            with suppress(psutil.Error):
                self._family.update([each, *each.children(recursive=True)])

    def end(self) -> None:
        """Kill what has not ended by itself."""
        _, alive = psutil.wait_procs(list(filter(_lives, self._family)), PATIENCE)
        for each in alive:
            with suppress(psutil.Error):
                each.kill()
        psutil.wait_procs(alive, PATIENCE)


@dataclass(frozen=True)
class Cluster:
    """What Ray runs on: the processors and the GPUs of each machine that has processors to give."""

    processors: tuple[int, ...]
    gpus: tuple[int, ...]
    started: _Started | None = None

    def seats(self, gpus: int) -> list[tuple[int, int]]:
        """Of each machine that has so many GPUs for one actor: its processors, and how many actors it takes.

        An actor needs a processor too, so that there are never more than those.
        """
        each = [
            (processors, min(processors, has // gpus))
            for processors, has in zip(self.processors, self.gpus, strict=True)
        ]
        return [(processors, seats) for processors, seats in each if seats]

    def check(self) -> None:
        """See that what was started here is still there.

        Raises:
            BenchError: one of Ray's own processes has ended, without which nothing is answered any more.
        """
        if self.started is None:
            return
        if not self.started.whole():
            raise BenchError(
                "One of Ray's own processes was ended. What is done is kept: run the same command again to go on; if "
                "memory ran out, with fewer workers."
            )
        self.started.look()


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@contextmanager
def connected(address: str | None, workers: int) -> Iterator[Cluster]:
    """Ray at `address`, or started here for as long as the context lasts; where it is joined already, it stays so.

    Raises:
        BenchError: Ray is not installed, cannot be started, or does not answer.
    """
    with _environment(ALWAYS if address is not None else {**ALWAYS, **HERE, "RAY_AUTH_TOKEN": _token()}):
        import ray

        if ray.is_initialized():
            yield _seen(ray)
            return
        _hush()
        with _joined(ray, address) if address is not None else _own(ray, workers) as cluster:
            yield cluster


@contextmanager
def _environment(defaults: Mapping[str, str]) -> Iterator[None]:
    """Variables for Ray, where the user has not set them, and for as long as it is used."""
    added = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@lru_cache(maxsize=1)
def _token() -> str:
    """One for all that this process starts: Ray keeps the first that it has read."""
    return secrets.token_hex(32)


@contextmanager
def _joined(ray: Any, address: str) -> Iterator[Cluster]:
    """Nothing of it is this process's child, so that nothing is to be watched or ended."""
    try:
        with _own_signals(), _in_words(address):
            _join(ray, address)
        yield _seen(ray)
    finally:
        with _own_signals():
            ray.shutdown()


@contextmanager
def _own(ray: Any, workers: int) -> Iterator[Cluster]:
    """One that is started here, and ends with all that it started."""
    started, folder = _Started(), _folder()
    try:
        with _own_signals(), _in_words(None):
            _start(ray, folder, workers)
        yield _seen(ray, started.settle())
    finally:
        started.look()
        with _own_signals():
            ray.shutdown()
        started.end()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _in_words(address: str | None) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Ray raises that very class, where it waited in vain
        raise BenchError(_unstarted(address, error)) from error


def _join(ray: Any, address: str) -> None:
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()  # Ray itself asks for minutes
        if host in {"127.0.0.1", "localhost", "[::1]"}:
            _keep_to_loopback()
    ray.init(address=address, **QUIET)


def _keep_to_loopback() -> None:
    """As `HERE` says, for those who imported Ray before."""
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = False


def _start(ray: Any, folder: str, workers: int) -> None:
    from ray._raylet import Config  # type: ignore[attr-defined]

    _keep_to_loopback()
    Config.initialize("")
    ray.init(
        address="local",
        num_cpus=max(workers, os.cpu_count() or 1),
        include_dashboard=False,
        object_store_memory=OBJECTS,
        _node_ip_address="127.0.0.1",
        _temp_dir=folder,
        **QUIET,
    )


def _seen(ray: Any, started: "_Started | None" = None) -> Cluster:
    found = [each["Resources"] for each in ray.nodes() if each["Alive"] and each["Resources"].get("CPU", 0) >= 1]
    return Cluster(tuple(int(each["CPU"]) for each in found), tuple(int(each.get("GPU", 0)) for each in found), started)


def _unstarted(address: str | None, error: Exception) -> str:
    """Why there is no Ray, in words."""
    if address is None:
        return f"Ray cannot be started on this machine ({in_words(error)[:300]}): take `executor='processes'`."
    return (
        f"No Ray cluster can be joined at {address} ({in_words(error)[:300]}): begin one with ray start --head, or "
        "leave `ray_address` out to have one on this machine."
    )


def check_installed() -> None:
    """Raise BenchError where there is no Ray; it is not imported."""
    if "ray" not in sys.modules and find_spec("ray") is None:
        raise BenchError("The executor 'ray' needs Ray, which is not installed: pip install 'bench[ray]'.")


def _folder() -> str:
    """For Ray's sockets and logs."""
    usual = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="bench-ray-", dir=usual if len(usual) < LONGEST else "/tmp")  # noqa: S108 - it is 0700


def _hush() -> None:
    """Let nothing that Ray says of its processes reach the terminal, nor what a command prints for programs.

    It has no setting for what it prints of dead workers, on standard output.
    """
    from ray._private import worker

    worker.print_to_stdstream = lambda *_, **__: None
    logging.getLogger("ray").setLevel(logging.CRITICAL)


@contextmanager
def _own_signals() -> Iterator[None]:
    """SIGTERM goes on meaning what it meant: Ray puts a handler of its own in its place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
