"""The store: a folder of shelves, and what of it may be deleted."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError, nearest
from bench.files import existing_parent
from bench.store.segment import FORMAT
from bench.store.shelf import Shelf, identity_fingerprint


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
        return self.home / "embeddings"

    def shelf(self, identity: Mapping[str, Any]) -> Shelf:
        """The shelf of that identity, whatever the model was called; its folder appears with the first row."""
        name = identity_fingerprint(identity)
        if known := sorted(self._folder.glob(f"*-{name}")):
            return Shelf(known[0], identity)
        slug = re.sub(r"[^\w.-]+", "-", str(identity["model"])).strip("-.")[-60:]
        return Shelf(self._folder / f"{slug}-{name}", identity)

    def find(self, fingerprint: str) -> Shelf:
        """The shelf of an extraction by its fingerprint.

        Raises:
            BenchError: there is none, or its identity cannot be read.
        """
        for shelf in self._opened(f"*-{fingerprint}"):
            return shelf
        raise BenchError(f"The store {self.home} has no hidden states of the extraction {fingerprint}.")

    def shelves(self) -> Iterator[Shelf]:
        """Every shelf, by name."""
        return self._opened("*")

    def _opened(self, folders: str) -> Iterator[Shelf]:
        for path in sorted(self._folder.glob(f"{folders}/identity.json")):
            try:
                stored = json.loads(path.read_text(encoding="utf-8"))
                if stored["format"] == FORMAT:
                    yield Shelf(path.parent, stored["identity"])
            except (OSError, ValueError, KeyError):
                continue

    def prunable(self, prefixes: Sequence[str] = (), *, evaluations: bool = False) -> dict[Path, int]:
        """What may be deleted, with its bytes: leftovers of kills and damage, and what is named.

        Raises:
            BenchError: no shelf begins with one of `prefixes`.
        """
        found = [*self._folder.glob("*/*.damaged"), *self._folder.glob("*/.*.tmp")]
        shelves = [path.parent for path in self._folder.glob("*/identity.json")]
        for prefix in prefixes:
            named = [path for path in shelves if path.name.startswith(prefix)]
            if not named:
                raise BenchError(f"No shelf begins with '{prefix}': {nearest(prefix, [path.name for path in shelves])}")
            found += named
        if evaluations and (folder := self.home / "evaluations").is_dir():
            found.append(folder)
        files = {path: path.rglob("*") if path.is_dir() else [path] for path in found}
        return {path: sum(file.stat().st_size for file in inside if file.is_file()) for path, inside in files.items()}

    def delete(self, paths: Iterable[Path]) -> None:
        """Delete what `prunable` named."""
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
