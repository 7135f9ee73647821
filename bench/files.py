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
    import numpy as np
    import torch

CHUNK = 1 << 20
CHECKSUMS = "checksums.json"
"""Beside the files of a folder: what they were when it was written."""
CHECKED = "xxh3"
"""In a file's metadata: the checksum of `write_checked`."""


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
    from safetensors.torch import save_file

    _save(path, save_file, tensors, metadata)


def _save(path: Path, save: Callable[..., None], contents: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    from safetensors import SafetensorError

    with atomic(path) as temporary:
        try:
            save(dict(contents), temporary, dict(metadata))
        except SafetensorError as error:
            raise OSError(str(error)) from error


def write_checked(path: Path, arrays: Mapping[str, "np.ndarray"], metadata: Mapping[str, str]) -> None:
    """Write arrays with a checksum over them and `metadata`, atomically, for `read_checked`.

    Raises:
        OSError: see `write_tensors`.
    """
    import numpy as np
    from safetensors.numpy import save_file

    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    _save(path, save_file, whole, {**metadata, CHECKED: _checksum(whole, metadata)})


def read_checked(path: Path) -> tuple[dict[str, "np.ndarray"], dict[str, str]] | None:
    """The arrays and the metadata as they were written, bit for bit; None of a file that is absent, torn or altered."""
    from safetensors import SafetensorError, safe_open

    with suppress(SafetensorError, OSError, KeyError, ValueError), safe_open(path, "np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        metadata = dict(file.metadata())
        if metadata.pop(CHECKED) == _checksum(arrays, metadata):
            return arrays, metadata
    return None


def _checksum(arrays: Mapping[str, "np.ndarray"], metadata: Mapping[str, str]) -> str:
    """XXH3 of metadata, and of every array's name, dtype, shape and bytes."""
    import xxhash

    digest = xxhash.xxh3_128(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


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
