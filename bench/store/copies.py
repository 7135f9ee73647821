"""The local copies of what was read of segments at an address, bounded together."""

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.store.folder import SUFFIX, Valid

PARTS = "parts"
"""The room of a store in which lies what was read from an address."""
DRAINED = 0.8
"""Of the bound: what is left of the copies when they have come to it."""


@dataclass(frozen=True)
class Copies:
    """Parts of one shelf's segments, each a file; what was used last is kept longest.

    Attributes:
        folder: Of this shelf, beside those of others.
        bound: Bytes that all shelves together may keep.
    """

    folder: Path
    bound: int

    def read(self, name: str, start: int, stop: int, valid: Valid) -> np.ndarray | None:
        """Bytes of a segment, uint8 [stop − start], where a copy of them is here and `valid`."""
        copy = self._path(name, start, stop)
        with suppress(OSError):
            content = np.fromfile(copy, np.uint8)
            if valid(content):
                with suppress(OSError):
                    os.utime(copy)  # what was used last goes last
                return content
        return None

    def keep(self, name: str, start: int, stop: int, content: np.ndarray) -> None:
        """Keep a copy; one that cannot be kept, as on a full disk, is only fetched again."""
        copy = self._path(name, start, stop)
        temporary = copy.with_name(f".{copy.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            content.tofile(temporary)  # none needs to outlive a loss of power
            temporary.replace(copy)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def drain(self) -> None:
        """Delete the copies of all shelves that were not used for longest, where together they take too much."""
        drain(self.folder.parent, self.bound)

    def _path(self, name: str, start: int, stop: int) -> Path:
        return self.folder / name.removesuffix(SUFFIX) / f"{start}-{stop}"


def drain(copies: Path, bound: int) -> None:
    """Delete the copies that were not used for longest, where all together take more than `bound` bytes."""
    found = []
    for folder, _, names in os.walk(copies):
        for name in names:
            with suppress(OSError):
                state = Path(folder, name).stat()
                found.append((state.st_mtime, state.st_size, Path(folder, name)))
    total = sum(size for _, size, _ in found)
    if total <= bound:
        return
    for _, size, path in sorted(found):
        if total <= bound * DRAINED:
            break
        with suppress(OSError):
            path.unlink()
            total -= size
