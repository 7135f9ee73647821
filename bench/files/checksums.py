"""Digests of files, and of all that a folder holds."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from bench.files.temporary import write_json

CHUNK = 1 << 20
CHECKSUMS = "checksums.json"
"""Beside the files of a folder: what they were when it was written."""


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path) -> None:
    """Write down what every file of `folder` is, for `altered`."""
    write_json(folder / CHECKSUMS, {name: sha256(folder / name) for name in _contents(folder)})


def altered(folder: Path, digest: Callable[[Path], str] = sha256) -> str | None:
    """What in `folder` is not as its checksums say, as a clause; None where all is. Finds damage, not forgery.

    A file that was added counts too: who reads the folder may take it for a part.

    Raises:
        OSError: a file cannot be read, which does not make it damaged.
    """
    try:
        listed = dict(json.loads((folder / CHECKSUMS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return "it has no checksums"
    except (ValueError, TypeError) as error:
        return f"its {CHECKSUMS} is damaged ({error})"
    for name, expected in listed.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if digest(folder / name) != expected:
            return f"{name} was altered"
    return next((f"{name} was added" for name in _contents(folder) if name not in listed), None)


def _contents(folder: Path) -> list[str]:
    """The files below `folder`, without its checksums and what file managers and Python leave of themselves."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    kept = (path for path in found if not path.name.startswith(".") and "__pycache__" not in path.parts)
    return sorted(path.as_posix() for path in kept if path.name != CHECKSUMS)
