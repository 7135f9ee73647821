"""How the process holds on to memory between batches, and how much it takes at most."""

from __future__ import annotations

import ctypes
import functools
import platform
import threading

# mallopt(3): the parameters' numbers in glibc's malloc.h.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
# The most that every release of glibc takes; larger blocks still go back to the system when freed.
LARGEST_KEPT = 32 << 20
KEPT_IN_ALL = 256 << 20
GIB = 2**30


@functools.cache
def keep_freed_memory() -> bool:
    """Let the C library keep the memory of a finished layer for the next one; whether it could be told so.

    By default glibc gives freed blocks of the size of activations back to the system, which hands them out again page
    by page and zeroed. Seen with SmolLM2 in bfloat16: a seventh of the processor's time. Other C libraries are left
    alone.
    """
    library = _glibc()
    if library is None:
        return False
    return bool(library.mallopt(MMAP_THRESHOLD, LARGEST_KEPT)) and bool(library.mallopt(TRIM_THRESHOLD, KEPT_IN_ALL))


def give_back_freed_memory() -> bool:
    """Return to the system what the C library has kept; whether it did.

    For before resident memory is measured: a model would otherwise seem smaller after another, whose memory it takes.
    """
    library = _glibc()
    return library is not None and bool(library.malloc_trim(0))


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


class PeakMemory:
    """The peak of memory within a ``with`` block: `device_gb` on CUDA, else `grown_gb` of resident memory."""

    interval_seconds = 0.005

    def __init__(self) -> None:
        self.grown_gb = 0.0
        self.device_gb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        import torch

        if torch.cuda.is_available():
            for device in range(torch.cuda.device_count()):
                torch.cuda.reset_peak_memory_stats(device)
        give_back_freed_memory()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        import torch

        self._stop.set()
        self._thread.join()
        if torch.cuda.is_available():
            devices = range(torch.cuda.device_count())
            self.device_gb = sum(torch.cuda.max_memory_allocated(device) for device in devices) / GIB

    def _sample(self) -> None:
        import psutil

        process = psutil.Process()
        # A backend may compute in processes of its own, which were started when it was opened.
        processes = [process, *process.children(recursive=True)]

        def resident() -> int:
            return sum(each.memory_info().rss for each in processes if each.is_running())

        start = resident()
        while not self._stop.wait(self.interval_seconds):
            self.grown_gb = max(self.grown_gb, (resident() - start) / GIB)
