"""What MLflow takes from the process, lent to it for a moment."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


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


@contextmanager
def interruptible() -> Iterator[None]:
    """Let an interruption through where MLflow's database hides it behind an error of its own.

    SQLAlchemy fails when it leaves a transaction that Ctrl-C or SIGTERM has broken off, and its error takes the place
    of the interruption, which would then pass for a store that cannot be used.
    """
    handled = sys.exc_info()[1]  # an earlier one, where this is called while that is cleaned up after
    try:
        yield
    except Exception as error:
        hidden = error.__context__
        while hidden is not None and hidden is not handled:
            if isinstance(hidden, KeyboardInterrupt):
                raise hidden from None
            hidden = hidden.__context__
        raise
