"""Files at an address: in an object store, or wherever else fsspec reaches."""

import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from bench.addresses import concealed, redacted
from bench.errors import BenchError, nearest

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


class _TornError(Exception):
    """What came is not what was written."""
