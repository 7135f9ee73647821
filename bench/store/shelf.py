"""A shelf: the rows of one identity, in segments."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError, unreadable
from bench.files import size, write_json
from bench.identity import KeyGroup, group_of
from bench.pooling import POOLINGS
from bench.specs import fingerprint
from bench.store.segment import FORMAT, KEY_BYTES, KEYS, TOKENS, TRUNCATED, DamagedError, Segment, write

if TYPE_CHECKING:
    import torch


IDENTITY = "identity.json"
DAMAGED = ".damaged"
"""The suffix of what was set aside because its checksums prove it to be damaged."""


def text_key(text: str) -> bytes:
    """16 bytes that identify a text within a shelf."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]


def slot(layer: int, pooling: str) -> str:
    """The name of a layer's pooled states inside a segment; that of a plugin's pooling holds a hash of its source."""
    source = POOLINGS.source(pooling)
    return f"{layer}.{pooling}" if source is None else f"{layer}.{pooling}@{source}"


def contents(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where there is none.

    Raises:
        BenchError: it cannot be listed.
    """
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from error


def identity_fingerprint(identity: Mapping[str, Any]) -> str:
    """16 hex digits of the identity of an extraction, the model's name left out."""
    # The name is a label: a hub id, a row and a folder with the same weights are one model.
    return fingerprint({key: value for key, value in identity.items() if group_of(key) is not KeyGroup.LABEL})


@dataclass
class Shelf:
    """The rows of one identity. Safe to use from several processes at once.

    `earlier` is a shelf whose rows it has adopted: they are read as if they were its own (see `bench.store.adoption`).
    """

    folder: Path
    identity: Mapping[str, Any]
    earlier: "Shelf | None" = None
    damaged: list[str] = field(default_factory=list, init=False)
    """Segments that were set aside since this object was made."""
    _segments: dict[str, Segment] = field(default_factory=dict, init=False, repr=False)
    _where: dict[str, dict[bytes, tuple[str, int]]] = field(default_factory=dict, init=False, repr=False)

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the identity, the model's name left out."""
        return identity_fingerprint(self.identity)

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.identity.get("model", "?"))

    def refresh(self) -> None:
        """Take in segments that were written since the last look; set damaged ones aside.

        Raises:
            BenchError: one cannot be read, is of a newer format or of another identity; it stays where it is.
        """
        shelf: Shelf | None = self
        while shelf is not None:
            self._take_in(shelf.folder, shelf.fingerprint)
            shelf = shelf.earlier

    def _take_in(self, folder: Path, fingerprint: str) -> None:
        for path in contents(folder):
            if path.suffix != ".safetensors" or path.name in self._segments:
                continue
            try:
                segment = Segment(path, fingerprint)
            except FileNotFoundError:  # another process has set it aside or pruned it
                continue
            except DamagedError as error:
                self._set_aside(path, error)
                continue
            self._segments[path.name] = segment
            for name in segment.names - {KEYS}:
                where = self._where.setdefault(name, {})
                for row, key in enumerate(segment.keys):
                    where.setdefault(key, (path.name, row))

    def _set_aside(self, path: Path, error: DamagedError) -> None:
        self.damaged.append(str(error))
        try:
            path.replace(path.with_suffix(DAMAGED))
        except FileNotFoundError:
            pass  # another process has set it aside or pruned it
        except OSError as refused:
            raise BenchError(
                f"{error}, and it cannot be set aside ({refused.strerror}): delete it, or ask its owner to."
            ) from refused
        if self._segments.pop(path.name, None) is not None:
            for where in self._where.values():
                for key in [key for key, (segment, _) in where.items() if segment == path.name]:
                    del where[key]

    def missing(self, keys: Sequence[bytes], slots: Sequence[str]) -> list[int]:
        """Positions in `keys` for which any of `slots` is not stored. A repeated key is listed once."""
        self.refresh()
        tables = [self._where.get(name, {}) for name in slots]
        first: dict[bytes, int] = {}
        for position, key in enumerate(keys):
            if key not in first and not all(key in table for table in tables):
                first[key] = position
        return list(first.values())

    def introduce(self) -> None:
        """Write down of which identity the folder is, which other processes find it by.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        if not (self.folder / IDENTITY).exists():
            write_json(self.folder / IDENTITY, {"format": FORMAT, "identity": dict(self.identity)})

    def append(
        self,
        keys: Sequence[bytes],
        tokens: Sequence[int],
        truncated: Sequence[bool],
        states: Mapping[str, "torch.Tensor"],
    ) -> None:
        """Write one segment: `states` maps a slot to [rows, width] in the storage dtype.

        Raises:
            BenchError: the disk is full or the folder cannot be written.
        """
        try:
            self.introduce()
            write(self.folder, self.fingerprint, keys, tokens, truncated, states)
        except OSError as error:
            raise BenchError(
                f"Cannot write embeddings to {self.folder}: {error.strerror or error}. Free some space or set "
                "BENCH_STORE to another folder, then run the same command again: what is stored is kept."
            ) from error

    def matrix(self, keys: Sequence[bytes], name: str) -> "torch.Tensor":
        """The rows of one slot in the order of `keys`: float32 [len(keys), width].

        Raises:
            DamagedError: a segment was altered; it is set aside, and its rows are now missing.
            KeyError: a row is not stored.
        """
        import torch

        table = self._where.get(name, {})
        by_segment: dict[str, tuple[list[int], list[int]]] = {}
        for position, key in enumerate(keys):
            segment, row = table[key]
            positions, rows = by_segment.setdefault(segment, ([], []))
            positions.append(position)
            rows.append(row)
        out: torch.Tensor | None = None
        for segment, (positions, rows) in by_segment.items():
            try:
                stored = self._segments[segment].read(name)
            except DamagedError as error:
                self._set_aside(self._segments[segment].path, error)
                raise
            if out is None:
                out = torch.empty(len(keys), *stored.shape[1:], dtype=torch.float32)
            out[torch.tensor(positions)] = stored[torch.tensor(rows)].float()
        return torch.empty(0, 0) if out is None else out

    def healed(self, keys: Sequence[bytes], name: str, heal: Callable[[], None]) -> "torch.Tensor":
        """The same as `matrix`; where a segment was altered, `heal` is called to append what is then missing.

        Raises:
            DamagedError: more files turned out damaged than there were, so that the disk itself must be failing.
        """
        for _ in range(len(self._segments)):
            try:
                return self.matrix(keys, name)
            except DamagedError:
                heal()
        return self.matrix(keys, name)

    def counts(self, keys: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens seen, and whether the text was truncated, of each row: int64 and bool [len(keys)]."""
        tokens = self.matrix(keys, TOKENS).numpy().astype(np.int64)
        return tokens, self.matrix(keys, TRUNCATED).numpy().astype(bool)

    def size(self) -> int:
        """Bytes on disk."""
        return size(self.folder)

    def rows(self) -> int:
        """Distinct texts."""
        self.refresh()
        return len(self._where.get(TOKENS, {}))

    def verify(self) -> int:
        """Check every byte of every segment; set the damaged aside. Returns how many segments are whole."""
        self.refresh()
        for segment in list(self._segments.values()):
            try:
                segment.verify()
            except DamagedError as error:
                self._set_aside(segment.path, error)
        return len(self._segments)
