"""Search over multi-model embedding fusion for text classification."""

from typing import TYPE_CHECKING, Any

from bench.version import __version__

if TYPE_CHECKING:
    from bench.api import Searched, compare, distill, evaluate, export, label_next, predict, reopen, search, suspects

_CALLS = (
    "Searched",
    "compare",
    "distill",
    "evaluate",
    "export",
    "label_next",
    "predict",
    "reopen",
    "search",
    "suspects",
)
__all__ = [
    "Searched",
    "__version__",
    "compare",
    "distill",
    "evaluate",
    "export",
    "label_next",
    "predict",
    "reopen",
    "search",
    "suspects",
]


def __getattr__(name: str) -> Any:
    # late, so that `bench --help` does not wait for what a search imports
    if name in _CALLS:
        from bench import api

        return getattr(api, name)
    raise AttributeError(f"module 'bench' has no attribute '{name}'")
