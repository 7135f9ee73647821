"""States on their way out of the engine's process, in memory that both sides map.

Through a socket they would be copied five times: with all layers kept, longer than an H200 takes to compute them.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

SLOTS = 2
"""So that one is filled while the other is read."""


class Slot:
    """An anonymous file of float32 values, which two processes map; it is gone with the last of them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._mapped: mmap.mmap | None = None

    def array(self, shape: Sequence[int]) -> NDArray[np.float32]:
        """Its first values as an array of that shape; the file grows to hold them."""
        size = 4 * prod(shape)
        if self._mapped is None or len(self._mapped) < size:
            if os.fstat(self._descriptor).st_size < size:
                os.truncate(self._descriptor, size)
            self._mapped = mmap.mmap(self._descriptor, size)
        return np.frombuffer(self._mapped, dtype=np.float32, count=prod(shape)).reshape(shape)


def new_descriptors() -> list[int]:
    """Files for `SLOTS` slots, which a child inherits that is told of them."""
    return [_anonymous() for _ in range(SLOTS)]


def _anonymous() -> int:
    # not in /dev/shm, which is small in many containers
    if hasattr(os, "memfd_create"):
        return os.memfd_create("bench-states")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
