"""What MLflow takes from the process, lent to it for a moment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def variables(**values: str) -> Iterator[None]:
    """Environment variables that the user has not set, for a moment."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def used(uri: str) -> Iterator[None]:
    """Let MLflow's functions that take the store from the process use this one, for a moment.

    Setting an address also exports it to child processes (`mlflow.set_tracking_uri`); what was exported before, which
    is mostly nothing, comes back at the end, or the next command of this process would write to this store.
    """
    import mlflow

    names = "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"
    before = {name: os.environ.get(name) for name in names}
    tracking = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(tracking)  # type: ignore[arg-type]  # None unsets
        mlflow.set_registry_uri(before["MLFLOW_REGISTRY_URI"])  # type: ignore[arg-type]
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
