"""Shelves at an address, of which what was read is kept here."""

import functools
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import BenchError
from bench.files import atomic, write_json
from bench.files.remote import TRIES, Remote
from bench.home import origin
from bench.store.copies import Copies
from bench.store.folder import DAMAGED, SUFFIX, Valid

if TYPE_CHECKING:
    import torch


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


@dataclass
class RemoteFolder:
    """A shelf's segments at an address. What is read is kept in `copies`, and checked like any other.

    Attributes:
        remote: The address.
        name: Of the folder there.
        copies: What was read of it.
    """

    remote: Remote
    name: str
    copies: Copies
    readers: int = field(default=16, init=False)
    _sizes: dict[str, int] = field(default_factory=dict, init=False)

    def where(self, name: str) -> str:
        """See `Folder`."""
        return self.remote.where(f"{self.name}/{name}")

    def names(self) -> list[str]:
        """See `Folder`."""
        self.copies.drain()
        self._sizes = self.remote.listed(self.name)
        return [name for name in self._sizes if name.endswith(SUFFIX) and not name.startswith(".")]

    def read(self, name: str, start: int, stop: int, valid: Valid) -> np.ndarray:
        """See `Folder`."""
        stop = min(stop, self._sizes.get(name, stop))
        if stop <= start:
            return np.empty(0, np.uint8)
        copy = self.copies.read(name, start, stop, valid)
        if copy is not None:
            return copy
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
            self.copies.keep(name, start, stop, content)
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
