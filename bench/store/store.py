"""The store: a folder of shelves, and what of it may be deleted."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError, check_format, nearest, unreadable
from bench.files import delete, existing_parent, size
from bench.files.remote import Remote
from bench.home import origin
from bench.identity import ADOPTED, but_for_versions
from bench.store.adoption import RECORD, REFUSED, adoption_of
from bench.store.copies import PARTS, Copies
from bench.store.folder import contents
from bench.store.leftovers import EMBEDDINGS, Leftover, holds_nothing, leftovers
from bench.store.remote import RemoteFolder, remote_of
from bench.store.segment import FORMAT
from bench.store.shelf import IDENTITY, Shelf, identity_fingerprint


@dataclass(frozen=True)
class Store:
    """A folder of shelves.

    Raises:
        BenchError: `home`, or what it would lie in, is no folder.
    """

    home: Path

    def __post_init__(self) -> None:
        if not (found := existing_parent(self.home)).is_dir():
            raise BenchError(f"The store {self.home} cannot be used: {found} is a file. Set BENCH_STORE to a folder.")

    @property
    def _folder(self) -> Path:
        return self.home / EMBEDDINGS

    @property
    def remote(self) -> Remote | None:
        """Where its hidden states and rows lie, if not in `home`.

        Raises:
            BenchError: there is no way to it.
        """
        return remote_of(self.home)

    @property
    def where(self) -> str:
        """Its address or folder, for people."""
        return self.remote.where("") if self.remote else str(self.home)

    def _segments(self, folder: Path) -> RemoteFolder | None:
        found = origin(self.home)
        if found is None or self.remote is None:
            return None
        copies = Copies(self.home / PARTS / folder.name, found.bound)
        return RemoteFolder(self.remote, f"{EMBEDDINGS}/{folder.name}", copies)

    def shelf(self, identity: Mapping[str, Any]) -> Shelf:
        """The shelf of that identity, whatever the model was called; its folder appears with the first row.

        Raises:
            BenchError: the store cannot be read.
        """
        name = identity_fingerprint(identity)
        if known := self._folders(name):
            return self._shelf(known[0], identity)
        slug = re.sub(r"[^\w.-]+", "-", str(identity["model"])).strip("-.")[-60:]
        folder = self._folder / f"{slug}-{name}"
        return Shelf(folder, identity, remote=self._segments(folder))

    def _shelf(self, folder: Path, identity: Mapping[str, Any]) -> Shelf:
        """The shelf in `folder`, which reads what it has adopted too, while that is there."""
        remote = self._segments(folder)
        if remote is not None and ADOPTED in identity and not (folder / RECORD).exists():
            remote.fetch(folder / RECORD)
        adoption = adoption_of(folder)
        if adoption is None or adoption.of != identity.get(ADOPTED):
            return Shelf(folder, identity, remote=remote)
        try:
            return Shelf(folder, identity, self.find(adoption.of), remote)
        except BenchError:
            return Shelf(folder, identity, remote=remote)  # it was deleted since: its rows are missing

    def find(self, fingerprint: str) -> Shelf:
        """The shelf of an extraction by its fingerprint.

        Raises:
            BenchError: there is none, or its identity cannot be read.
        """
        for folder in self._folders(fingerprint):
            return self._opened(folder)
        raise BenchError(f"The store {self.where} has no hidden states of the extraction {fingerprint}.")

    def shelves(self) -> Iterator[Shelf]:
        """Every shelf that can be opened, by name."""
        for folder in self._folders():
            with suppress(BenchError):
                yield self._opened(folder)

    def adopting(self, identity: Mapping[str, Any]) -> Iterator[Shelf]:
        """Shelves of that identity that read rows of earlier versions too, by name."""
        for shelf in self.shelves():
            wanted = {**identity, ADOPTED: shelf.identity.get(ADOPTED)}
            if shelf.earlier is not None and shelf.fingerprint == identity_fingerprint(wanted):
                yield shelf

    def earlier(self, identity: Mapping[str, Any]) -> Iterator[Shelf]:
        """Shelves that differ from that identity in nothing but versions of libraries, and do so, by name."""
        same = but_for_versions(identity)
        for shelf in self.shelves():
            plain = {key: value for key, value in shelf.identity.items() if key != ADOPTED}
            if but_for_versions(shelf.identity) == same and identity_fingerprint(plain) != identity_fingerprint(
                identity
            ):
                yield shelf

    def closed(self) -> dict[Path, str]:
        """Folders of rows that cannot be opened by themselves, and why: without identity, or of a newer format."""
        found = {}
        for folder in self._folders():
            try:
                self._opened(folder)
            except BenchError as error:
                if not holds_nothing(folder):
                    found[folder] = str(error)
        return found

    def _opened(self, folder: Path) -> Shelf:
        """The shelf in `folder` by the identity that is written there.

        Raises:
            BenchError: it has none, or one that cannot be read, is of a newer format, or of another shelf.
        """
        path = folder / IDENTITY
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            check_format(path, stored["format"], FORMAT)
            shelf = self._shelf(folder, dict(stored["identity"]))
            found = shelf.fingerprint
        except FileNotFoundError as error:
            raise BenchError(f"{folder} has no identity.json; the next extraction of its rows writes one.") from error
        except OSError as error:
            raise unreadable(path, error) from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BenchError(
                f"{path} is no identity of a shelf: delete it, and the next extraction writes one."
            ) from error
        if not folder.name.endswith(f"-{found}"):
            raise BenchError(f"{path} is the identity of the extraction {found}, not that of its folder.")
        return shelf

    def _folders(self, fingerprint: str = "") -> list[Path]:
        if self.remote is not None:
            self._look(self.remote)
        found = [path for path in contents(self._folder) if path.is_dir()]
        return [path for path in found if not fingerprint or path.name.endswith(f"-{fingerprint}")]

    def _look(self, remote: Remote) -> None:
        """Give every shelf at the address a folder here, with what it says of itself."""
        for name, count in remote.listed(EMBEDDINGS).items():
            folder = self._folder / name
            if count < 0 and not (folder / IDENTITY).exists() and (segments := self._segments(folder)):
                for record in (REFUSED, IDENTITY):  # the last tells that the first was looked for
                    segments.fetch(folder / record)

    def leftovers(self) -> list[Leftover]:
        """What kills and damage have left."""
        return list(leftovers(self.home))

    def prunable(self, prefixes: Sequence[str] = (), *, evaluations: bool = False) -> dict[Path, int]:
        """What may be deleted, with its bytes: leftovers that nobody is writing, and what is named.

        Raises:
            BenchError: no shelf begins with one of `prefixes`, or somebody is writing into what is named.
        """
        left = self.leftovers()
        found = {each.path: each.bytes for each in left if not each.in_use}
        folders = self._folders()
        whole = [self.home / "evaluations"] if evaluations else []
        for prefix in prefixes:
            named = [path for path in folders if path.name.startswith(prefix)]
            if named and self.remote is not None:
                raise BenchError(f"'{named[0].name}' lies in {self.where}, with whoever else uses it: delete it there.")
            if not named:
                raise BenchError(f"No shelf begins with '{prefix}': {nearest(prefix, [path.name for path in folders])}")
            whole += named
        for folder in (path for path in whole if path.is_dir()):
            if busy := next((each.path for each in left if each.in_use and folder in each.path.parents), None):
                raise BenchError(f"Nothing was deleted: a process may be writing {busy}. Wait until it has ended.")
            found[folder] = size(folder)
        return {path: count for path, count in found.items() if not any(above in found for above in path.parents)}

    def delete(self, paths: Iterable[Path]) -> None:
        """Delete what `prunable` named.

        Raises:
            BenchError: some of it cannot be deleted; the rest is.
        """
        refused = {}
        for path in paths:
            try:
                delete(path)
            except OSError as error:
                refused[path] = error.strerror or str(error)
        if refused:
            path, reason = next(iter(refused.items()))
            more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
            raise BenchError(f"{path}{more} cannot be deleted: {reason}. The rest is.")
