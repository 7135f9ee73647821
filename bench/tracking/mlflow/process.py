"""What MLflow takes from the process, lent to it for a moment."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from threading import Thread
from typing import TypeVar

T = TypeVar("T")
LAST = 10.0
"""Seconds that an interrupted process waits for what its store is doing."""


@contextmanager
def variables(*, over: bool = False, **values: str) -> Iterator[None]:
    """Environment variables for a moment, those alone that the user has not set, or `over` what is set."""
    given = {name: value for name, value in values.items() if over or name not in os.environ}
    with _restored(given):
        os.environ.update(given)
        yield


@contextmanager
def _restored(names: Iterable[str]) -> Iterator[None]:
    """Put environment variables back as they are now, or nowhere."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def used(uri: str) -> Iterator[None]:
    """Let MLflow's functions that take the store from the process use this one, for a moment.

    Setting an address also exports it to child processes (`mlflow.set_tracking_uri`); what was exported before, which
    is mostly nothing, comes back at the end, or the next command of this process would write to this store.
    """
    import mlflow

    registry = os.environ.get("MLFLOW_REGISTRY_URI")
    tracking = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    with _restored(["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"]):
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(tracking)  # type: ignore[arg-type]  # None unsets
            mlflow.set_registry_uri(registry)  # type: ignore[arg-type]


def unbroken(call: Callable[[], T]) -> T:
    """What `call` gives, in a thread of its own: signals reach the first thread alone.

    One that came between a transaction's statements would leave it open, and a database that is a file locked for
    everybody, the interrupted process too when it wants to write how it ended. An interruption is raised here once the
    call has ended, which has the word before what is asked next, or after `LAST` seconds, or when another one comes.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  # raised again below
            future.set_exception(error)

    try:
        Thread(target=work, name="bench-store", daemon=True).start()
        return future.result()
    except BaseException:
        wait([future], LAST)
        raise
