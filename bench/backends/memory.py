"""How the process holds on to memory between batches."""

import ctypes
import functools
import platform

# mallopt(3): the parameters' numbers in glibc's malloc.h.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
# The most that every release of glibc takes; larger blocks still go back to the system when freed.
LARGEST_KEPT = 32 << 20
KEPT_IN_ALL = 256 << 20


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
