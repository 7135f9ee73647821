"""Operators, poolings and heads from packages of one's own, found by the entry point group ``bench.plugins``.

Each entry point names a module, whose import registers what it defines with bench's own decorators. What comes from a
plugin has no version of bench to stand for it, so a hash of the plugin's source stands in every identity that it enters
(see `source_of`): when the source changes, nothing that was computed with the old one is read.
"""

import hashlib
import inspect
import sys
import threading
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from bench.errors import BenchError

GROUP = "bench.plugins"
DIGITS = 12

_turn = threading.RLock()
_loaded = False


def load() -> None:
    """Import every installed plugin, once.

    Raises:
        BenchError: one cannot be imported; the message names its distribution.
    """
    global _loaded
    with _turn:
        if _loaded:
            return
        _loaded = True  # a plugin that reads a registry while it is imported must not begin again
        try:
            for point in entry_points(group=GROUP):
                _import(point)
        except BaseException:
            _loaded = False
            raise


def _import(point: EntryPoint) -> None:
    try:
        point.load()
    except Exception as error:
        package = point.dist.name if point.dist is not None else point.value
        raise BenchError(
            f"The plugin '{point.name}' of the package '{package}' cannot be imported "
            f"({type(error).__name__}: {error}): mend it, or uninstall it (python -m pip uninstall {package})."
        ) from error


def source_of(function: Callable[..., Any]) -> str | None:
    """12 hex digits of the source that `function` is part of, or None where that is bench itself.

    The source is every Python file of the function's top-level package, so that a helper's change shows too; of a
    function that stands in a single file, that file.

    Raises:
        BenchError: the source cannot be read.
    """
    top = function.__module__.partition(".")[0]
    if top == "bench":
        return None
    module = sys.modules.get(top if top != "__main__" else function.__module__)
    file = getattr(module, "__file__", None)
    if file is None:
        return _of_text(function)
    path = Path(file)
    return _of_files(path.parent if path.name == "__init__.py" else path)


@cache
def _of_files(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(path).as_posix()} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()[:DIGITS]


def _of_text(function: Callable[..., Any]) -> str:
    """A notebook's cell has no file, but a text."""
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:DIGITS]
    except OSError as error:
        raise BenchError(
            f"The source of '{function.__name__}' cannot be read, so that what is computed with it could not be told "
            "from what another version of it gives: define it in a file."
        ) from error
