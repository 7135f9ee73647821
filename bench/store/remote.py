"""Shelves in an object store, or wherever else fsspec reaches, and the local copy of what was read of them."""

import functools
import json
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bench.addresses import concealed, redacted
from bench.errors import BenchError, nearest
from bench.files import atomic, write_json
from bench.home import origin
from bench.store.folder import DAMAGED, SUFFIX, Valid

if TYPE_CHECKING:
    import torch

STAMPS = (
    "ETag",
    "etag",
    "md5Hash",
    "md5",
    "generation",
    "LastModified",
    "last_modified",
    "mtime",
    "updated",
    "created",
)
"""What libraries call by which a changed file shows: digests first."""
TRIES = 6
"""How often something is asked for before it is given up."""
PAUSE = 0.5
"""Seconds before it is asked for again; each time twice as long, and by chance up to half less or more."""
ATOMIC = {"abfs", "abfss", "az", "gcs", "gs", "memory", "oss", "r2", "s3", "s3a"}
"""Where what is written appears whole and at once. Elsewhere it is written under another name, and renamed."""
PARTS = "parts"
"""The room of a store in which lies what was read from an address."""
DRAINED = 0.8
"""Of the bound: what is left of the copies when they have come to it."""
T = TypeVar("T")


class Remote:
    """Files below an address. Names are paths below it.

    Everything is tried `TRIES` times: whoever asks gets an answer, that there is no such file, or an error for people.

    `called` is what lies there in words for people, and `instead` what to do where nothing reaches it.

    Raises:
        BenchError: there is no way to such an address.
    """

    def __init__(
        self,
        address: str,
        called: str = "The store",
        instead: str = "set BENCH_STORE to a folder, or to an address of a kind that fsspec knows",
    ) -> None:
        import fsspec

        self.address = address
        protocol = address.partition("://")[0]
        try:
            self._files, root = fsspec.url_to_fs(address)
        except ImportError as error:
            extra = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}.get(protocol)
            remedy = f"pip install 'bench[{extra}]'" if extra else concealed(str(error), address)
            raise BenchError(
                f"{called} {redacted(address)} needs a package that is not installed: {remedy}."
            ) from error
        except Exception as error:  # each library has errors of its own
            known = nearest(protocol, fsspec.available_protocols())
            raise BenchError(
                f"{called} {redacted(address)} cannot be used ({concealed(str(error), address)}): {instead} ({known})."
            ) from error
        self._root, self._atomic = str(root).rstrip("/"), protocol in ATOMIC

    def where(self, name: str) -> str:
        """A file in words for people."""
        return redacted(f"{self.address.rstrip('/')}/{name}")

    def listed(self, folder: str) -> dict[str, int]:
        """Name → bytes of what lies in a folder, −1 of what is one itself; nothing where there is none."""
        return {name: size for name, (size, _) in self.entries(folder).items()}

    def entries(self, folder: str) -> dict[str, tuple[int, str]]:
        """The same, and by what a changed file gives itself away, as far as the place says: its digest or its time."""
        path = f"{self._root}/{folder}"

        def ask() -> list[dict[str, Any]]:
            self._files.invalidate_cache()
            return list(self._files.ls(path, detail=True))

        try:
            found = self._tried("list", folder, ask)
        except FileNotFoundError:
            return {}
        lying = {}
        for each in found:
            place, is_folder = str(each["name"]), each["type"] == "directory"
            name = place.rstrip("/").rpartition("/")[2]
            itself = place.strip("/") == path.strip("/")  # which some list
            marker = place.endswith("/") and not is_folder  # a console's folder
            if itself or marker or name in ("", ".", ".."):  # a key may hold anything
                continue
            stamp = next((str(each[key]) for key in STAMPS if each.get(key)), "")
            lying[name] = (-1 if is_folder else int(each["size"] or 0), stamp)
        return dict(sorted(lying.items()))

    def fetch(self, name: str, to: Path) -> None:
        """Copy a file to one of this machine, a part at a time. Raises as `read`."""
        self._tried("read", name, lambda: self._files.get_file(f"{self._root}/{name}", str(to)))

    def read(
        self, name: str, start: int = 0, stop: int | None = None, valid: Callable[[bytes], bool] | None = None
    ) -> bytes:
        """Bytes of a file. Where they are not `valid` to the last, what came is returned.

        Raises:
            FileNotFoundError: it is not there.
            BenchError: it cannot be read.
        """
        last = b""

        def ask() -> bytes:
            nonlocal last
            last = bytes(self._files.cat_file(f"{self._root}/{name}", start=start, end=stop))
            if valid is not None and not valid(last):
                raise _TornError
            return last

        try:
            return self._tried("read", name, ask)
        except _TornError:
            return last

    def write(self, name: str, content: bytes) -> None:
        """Write a file that is whole or absent. Raises BenchError."""
        path = f"{self._root}/{name}"

        def put() -> None:
            if self._atomic:
                self._files.pipe_file(path, content)
                return
            folder, _, last = path.rpartition("/")
            temporary = f"{folder}/.{last}.{os.getpid()}-{threading.get_ident()}.tmp"
            self._files.makedirs(folder, exist_ok=True)
            self._files.pipe_file(temporary, content)
            self._files.mv(temporary, path)

        try:
            self._tried("write", name, put)
        except FileNotFoundError as error:
            raise BenchError(f"{self.where(name)} cannot be written: there is no such place. Make it first.") from error

    def rename(self, old: str, new: str) -> None:
        """Rename a file; that it is gone already is no error. Raises BenchError."""
        with suppress(FileNotFoundError):
            self._tried("rename", old, lambda: self._files.mv(f"{self._root}/{old}", f"{self._root}/{new}"))

    def _tried(self, what: str, name: str, ask: Callable[[], T]) -> T:
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            try:
                return ask()
            except FileNotFoundError:
                raise
            except Exception as error:  # noqa: BLE001 - each library has errors of its own
                last = error
                if isinstance(error, PermissionError):
                    break
        if isinstance(last, _TornError):
            raise last
        reason = concealed(" ".join(f"{type(last).__name__}: {last}".split()), self.address)[:300]
        tried = "once" if isinstance(last, PermissionError) else f"{TRIES} times"
        raise BenchError(
            f"Cannot {what} {self.where(name)}, tried {tried} ({reason}). Check the connection and the rights, then "
            "run the same command again: what is stored is kept."
        ) from last


@functools.cache
def remote_of(home: Path) -> Remote | None:
    """What the store at `home` is the local part of, if it is one.

    Raises:
        BenchError: there is no way to the address.
    """
    found = origin(home)
    return None if found is None else Remote(found.address)


def mirror(home: Path, path: Path) -> None:
    """Bring a file below `home` from the address that it stands for, where it lies there and not here.

    Raises:
        BenchError: the address cannot be reached.
    """
    if not path.exists() and (remote := remote_of(home)) is not None:
        with suppress(FileNotFoundError):
            content = remote.read(path.relative_to(home).as_posix())
            with atomic(path) as temporary:
                temporary.write_bytes(content)


def publish(home: Path, path: Path) -> None:
    """Bring a file below `home` to the address that it stands for, if there is one and it is not there already.

    Raises:
        BenchError: it cannot be written.
    """
    if (remote := remote_of(home)) is not None:
        name = path.relative_to(home).as_posix()
        if path.name not in remote.listed(name.rpartition("/")[0]):
            remote.write(name, path.read_bytes())


class _TornError(Exception):
    """What came is not what was written."""


@dataclass
class RemoteFolder:
    """A shelf's segments at an address. What is read is kept in `copies`, and checked like any other.

    Attributes:
        remote: The address.
        name: Of the folder there.
        copies: A local folder.
        bound: Bytes of copies that all shelves together may keep.
    """

    remote: Remote
    name: str
    copies: Path
    bound: int
    readers: int = field(default=16, init=False)
    _sizes: dict[str, int] = field(default_factory=dict, init=False)

    def where(self, name: str) -> str:
        """See `Folder`."""
        return self.remote.where(f"{self.name}/{name}")

    def names(self) -> list[str]:
        """See `Folder`."""
        drain(self.copies.parent, self.bound)
        self._sizes = self.remote.listed(self.name)
        return [name for name in self._sizes if name.endswith(SUFFIX) and not name.startswith(".")]

    def read(self, name: str, start: int, stop: int, valid: Valid) -> np.ndarray:
        """See `Folder`."""
        stop = min(stop, self._sizes.get(name, stop))
        if stop <= start:
            return np.empty(0, np.uint8)
        copy = self.copies / name.removesuffix(SUFFIX) / f"{start}-{stop}"
        with suppress(OSError):
            content = np.fromfile(copy, np.uint8)
            if valid(content):
                with suppress(OSError):
                    os.utime(copy)  # what was used last goes last
                return content
        content = np.frombuffer(
            bytearray(
                self.remote.read(
                    f"{self.name}/{name}",
                    start,
                    stop,
                    lambda read: len(read) == stop - start and valid(np.frombuffer(read, np.uint8)),
                )
            ),
            np.uint8,
        )
        if len(content) < stop - start and name in self._sizes:
            # of a file that is that long: the connection is bad, and not what lies there for everybody
            raise BenchError(
                f"{self.where(name)} came only in part, {TRIES} times. Check the connection, then run the same command "
                "again: what is stored is kept."
            )
        if valid(content):
            _keep(copy, content)
        return content

    def write(self, name: str, tensors: "Mapping[str, torch.Tensor]", metadata: Mapping[str, str]) -> None:
        """See `Folder`."""
        from safetensors.torch import save

        self.remote.write(f"{self.name}/{name}", save(dict(tensors), dict(metadata)))

    def set_aside(self, name: str) -> None:
        """See `Folder`."""
        self.remote.rename(f"{self.name}/{name}", f"{self.name}/{name.removesuffix(SUFFIX)}{DAMAGED}")

    def has(self, record: str) -> bool:
        """See `Folder`. As far as was looked: to publish it twice does no harm."""
        return record in self._sizes

    def publish(self, record: Path) -> None:
        """See `Folder`."""
        content = record.read_bytes()
        self.remote.write(f"{self.name}/{record.name}", content)
        self._sizes[record.name] = len(content)

    def fetch(self, record: Path) -> None:
        """See `Folder`."""
        with suppress(FileNotFoundError, ValueError):
            write_json(record, json.loads(self.remote.read(f"{self.name}/{record.name}", valid=_is_json)))

    def size(self) -> int:
        """See `Folder`."""
        return sum(max(0, size) for size in self.remote.listed(self.name).values())


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _keep(copy: Path, content: np.ndarray) -> None:
    """A copy that cannot be kept, as on a full disk, is only fetched again. None needs to outlive a loss of power."""
    temporary = copy.with_name(f".{copy.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        content.tofile(temporary)
        temporary.replace(copy)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


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
