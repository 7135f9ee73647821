"""A backend as a plugin would add it: transformers under another name."""

from typing import Any

from bench.backends.transformers import (
    INSTEAD,
    SETTINGS,
    goes_on,
    open,  # noqa: A004 - as the protocol
    resolve_settings,
    supports,
    unavailable,
)
from bench.backends.transformers import identity as plain

__all__ = ["INSTEAD", "SETTINGS", "goes_on", "identity", "open", "resolve_settings", "supports", "unavailable"]


def identity(model: Any, settings: Any) -> dict[str, Any]:
    return {**plain(model, settings), "backend": "toy"}
