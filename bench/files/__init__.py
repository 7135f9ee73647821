"""Files that are whole or absent, and that tell when they are not what was written."""

import os
from pathlib import Path

from bench.files.checked import read_checked, read_header, write_checked, write_tensors
from bench.files.checksums import CHECKSUMS, CHUNK, altered, sha256, write_checksums
from bench.files.temporary import abandoned, atomic, delete, final, is_temporary, sweep, temporary_folder, write_json

__all__ = [
    "CHECKSUMS",
    "CHUNK",
    "abandoned",
    "altered",
    "atomic",
    "delete",
    "existing_parent",
    "final",
    "free",
    "is_temporary",
    "read_checked",
    "read_header",
    "sha256",
    "size",
    "sweep",
    "temporary_folder",
    "write_checked",
    "write_checksums",
    "write_json",
    "write_tensors",
]


def existing_parent(path: Path) -> Path:
    """The nearest folder at or above `path` that exists: where its disk space would come from."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def size(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    if not path.is_dir() or path.is_symlink():
        return _bytes(path)
    return sum(_bytes(Path(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:  # whoever wrote it is done with it
        return 0


def free(path: Path) -> Path:
    """The path, or the next one by number that is not taken."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found
