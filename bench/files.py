"""Files that are whole or absent: atomic writes and digests."""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

CHUNK = 1 << 20
CHECKSUMS = "checksums.json"
"""Beside the files of a folder: what they were when it was written."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and takes `path`'s name at once.

    A reader sees the old file, or the whole new one; a kill leaves at most a `.tmp` file, which nothing reads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _created_beside(path)
    public = temporary.stat().st_mode
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(public)  # safetensors puts a private file of its own in its place
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _created_beside(path: Path) -> Path:
    """A new empty file, as public as any other new file.

    Those of `tempfile` are private to the user. To widen one would take the umask, which can only be read by setting
    it, for all threads; so the file is made by the call to which the system applies it.
    """
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        with suppress(FileExistsError):
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return temporary


def final(path: Path) -> Path:
    """The path that a temporary one of `atomic` is to become; any other as it is."""
    match = re.fullmatch(r"\.(.+)\.\w+\.tmp", path.name)
    return path.with_name(match[1]) if match else path


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_tensors(path: Path, tensors: Mapping[str, "torch.Tensor"], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, atomically.

    Raises:
        OSError: the disk is full or the folder cannot be written; safetensors has an error of its own for that.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with atomic(path) as temporary:
        try:
            save_file(dict(tensors), temporary, dict(metadata))
        except SafetensorError as error:
            raise OSError(str(error)) from error


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
    """The files below `folder`, without its checksums and what file managers leave."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if path.name != CHECKSUMS and not path.name.startswith("."))


def existing_parent(path: Path) -> Path:
    """The nearest folder at or above `path` that exists: where its disk space would come from."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
