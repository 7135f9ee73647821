"""Where texts come from and answers go: a folder or file of this machine, or an address that fsspec reaches."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from bench import files
from bench.addresses import holds_secret, redacted
from bench.errors import BenchError
from bench.files.remote import Remote


@dataclass(frozen=True)
class Found:
    """A file by its path below a place. `stamp` changes with it: its time, or what an address says instead."""

    name: str
    bytes: int
    stamp: str


class Files(Protocol):
    """Files at a place, by their paths below it."""

    @property
    def shown(self) -> str:
        """The place in words for people."""
        ...

    def found(self) -> list[Found]:
        """All that lies there at any depth, by name; the one file where the place is a file."""
        ...

    def look(self, name: str) -> Found | None:
        """One of these, as it is now."""
        ...

    def read(self, name: str) -> bytes | None:
        """What a file holds; None where there is none."""
        ...

    def opened(self, name: str) -> AbstractContextManager[Path]:
        """A file as one of this machine, for as long as the context lasts."""
        ...

    def written(self, name: str) -> AbstractContextManager[Path]:
        """A temporary file that takes the name at the end of the context, whole, or not at all."""
        ...


def place_of(where: Path | str) -> Files:
    """The place that a path or an address names.

    Raises:
        BenchError: the address holds a password, or nothing reaches it.
    """
    text = str(where)
    if text.startswith("file://"):
        text = url2pathname(urlsplit(text).path)
    if "://" not in text:
        return Here(Path(os.path.expanduser(text)).absolute())  # noqa: PTH111 - that of Path refuses a ~name of nobody
    if holds_secret(text):
        raise BenchError(
            f"{redacted(text)} holds a password or key, which would be seen wherever the address is: leave it out, and "
            "give it as fsspec's package for such addresses takes it, as in AWS_SECRET_ACCESS_KEY."
        )
    return There(text.rstrip("/"))


@dataclass(frozen=True)
class Here:
    """A folder, or a file, of this machine."""

    path: Path

    @property
    def shown(self) -> str:
        """See `Files`."""
        return str(self.path)

    def found(self) -> list[Found]:
        """See `Files`."""
        if self.path.is_file():
            return [self._found(self.path, self.path.name)]
        lying = []
        for folder, _, names in os.walk(self.path, onerror=_refuse, followlinks=True):
            lying += [path for path in (Path(folder, name) for name in names) if path.is_file()]
        return [self._found(path, path.relative_to(self.path).as_posix()) for path in sorted(lying)]

    def look(self, name: str) -> Found | None:
        """See `Files`."""
        path = self.path if self.path.is_file() else self.path / name
        return self._found(path, name) if path.is_file() else None

    def _found(self, path: Path, name: str) -> Found:
        state = path.stat()
        return Found(name, state.st_size, str(state.st_mtime_ns))

    def read(self, name: str) -> bytes | None:
        """See `Files`."""
        with suppress(FileNotFoundError):
            return (self.path / name).read_bytes()
        return None

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """See `Files`."""
        yield self.path if self.path.is_file() else self.path / name

    def written(self, name: str) -> AbstractContextManager[Path]:
        """See `Files`."""
        return files.atomic(self.path / name)


def _refuse(error: OSError) -> None:
    if isinstance(error, FileNotFoundError):
        return
    raise BenchError(f"{error.filename} cannot be read ({error.strerror}): ask its owner for the right to.") from error


@dataclass(frozen=True)
class There:
    """An address. A worker elsewhere asks for it anew."""

    address: str

    def __post_init__(self) -> None:
        """Raise BenchError where nothing reaches it."""
        self._below(self.address)

    def _below(self, address: str) -> Remote:
        return Remote(address, "The place", "give a folder, or an address of a kind that fsspec knows")

    def _at(self, name: str) -> tuple[Remote, str]:
        """Where a file lies: below the address, or as the file that has it."""
        parent, _, last = self.address.rpartition("/")
        if name == last and name not in self._below(self.address).listed(""):
            return self._below(parent), name
        return self._below(self.address), name

    @property
    def shown(self) -> str:
        """See `Files`."""
        return redacted(self.address)

    def found(self) -> list[Found]:
        """See `Files`."""
        if found := list(self._walked(self._below(self.address), "")):
            return sorted(found, key=lambda each: each.name)
        parent, _, name = self.address.rpartition("/")
        itself = _found(self._below(parent), name)
        return [] if itself is None else [itself]

    def look(self, name: str) -> Found | None:
        """See `Files`."""
        return _found(*self._at(name))

    def _walked(self, remote: Remote, folder: str) -> Iterator[Found]:
        for name, (size, stamp) in remote.entries(folder).items():
            path = f"{folder}/{name}".lstrip("/")
            if size >= 0:
                yield Found(path, size, stamp)
            else:
                yield from self._walked(remote, path)

    def read(self, name: str) -> bytes | None:
        """See `Files`."""
        with suppress(FileNotFoundError):
            return self._below(self.address).read(name)
        return None

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """See `Files`."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / PurePosixPath(name).name
            remote, where = self._at(name)
            try:
                remote.fetch(where, path)
            except FileNotFoundError:
                raise BenchError(f"{remote.where(where)} is gone: run the same command again.") from None
            yield path

    @contextmanager
    def written(self, name: str) -> Iterator[Path]:
        """See `Files`."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / PurePosixPath(name).name
            yield path
            self._below(self.address).write(name, path.read_bytes())


def _found(remote: Remote, name: str) -> Found | None:
    """A file with the name, whose last part is looked for in the folder that the others name."""
    folder, _, last = name.rpartition("/")
    size, stamp = remote.entries(folder).get(last, (-1, ""))
    return None if size < 0 else Found(name, size, stamp)
