"""A shelf: the rows of one identity, in segments."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError
from bench.files import write_json
from bench.identity import KeyGroup, group_of
from bench.pooling import POOLINGS
from bench.specs import fingerprint
from bench.store.folder import Folder, LocalFolder
from bench.store.index import KEY_BYTES, Index, packed
from bench.store.segment import FORMAT, TOKENS, TRUNCATED, DamagedError, Segment, opened, write

if TYPE_CHECKING:
    import torch

    from bench.store.remote import RemoteFolder


IDENTITY = "identity.json"
PLANS = 4
"""Lists of rows whose places are remembered: the training and the test rows, and their halves."""
BLOCK = 256
"""Rows that are converted at once: what lies between a file and a matrix stays in the processor's cache."""


def text_key(text: str) -> bytes:
    """16 bytes that identify a text within a shelf."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]


def slot(layer: int, pooling: str) -> str:
    """The name of a layer's pooled states inside a segment; that of a plugin's pooling holds a hash of its source."""
    source = POOLINGS.source(pooling)
    return f"{layer}.{pooling}" if source is None else f"{layer}.{pooling}@{source}"


def identity_fingerprint(identity: Mapping[str, Any]) -> str:
    """16 hex digits of the identity of an extraction, the model's name left out."""
    # The name is a label: a hub id, a row and a folder with the same weights are one model.
    return fingerprint({key: value for key, value in identity.items() if group_of(key) is not KeyGroup.LABEL})


@dataclass(frozen=True, eq=False)
class _Place:
    """Where some of the rows that were asked for lie: in one segment, in the order that was asked for.

    Attributes:
        segment: Its number.
        rows: Of the segment, int32 [found].
        positions: Of the list that was asked for, int32 [found].
    """

    segment: int
    rows: np.ndarray
    positions: np.ndarray

    def copy(self, stored: "torch.Tensor", out: np.ndarray) -> None:
        """From the segment's tensor to the matrix: a run of rows at once, others in blocks."""
        import torch

        if _run(self.rows) and _run(self.positions):
            row, position, count = int(self.rows[0]), int(self.positions[0]), len(self.rows)
            torch.from_numpy(out[position : position + count]).copy_(stored[row : row + count])
            return
        for start in range(0, len(self.rows), BLOCK):
            rows, positions = (each[start : start + BLOCK] for each in (self.rows, self.positions))
            out[positions] = stored.index_select(0, torch.from_numpy(rows)).float().numpy()


def _run(places: np.ndarray) -> bool:
    return int(places[-1]) - int(places[0]) == len(places) - 1 and bool((np.diff(places) == 1).all())


@dataclass
class Shelf:
    """The rows of one identity. Safe to use from several processes at once.

    `earlier` is a shelf whose rows it has adopted: they are read as if they were its own (see `bench.store.adoption`).
    """

    folder: Path
    identity: Mapping[str, Any]
    earlier: "Shelf | None" = None
    remote: "RemoteFolder | None" = None
    """Where its segments lie, if not in `folder`."""
    damaged: list[str] = field(default_factory=list, init=False)
    """Segments that were set aside since this object was made."""
    _segments: list[Segment] = field(default_factory=list, init=False, repr=False)
    _numbers: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    """Name → place in the list, of those that are not set aside."""
    _indices: dict[frozenset[str], Index] = field(default_factory=dict, init=False, repr=False)
    _plans: dict[tuple[bytes, tuple[int, ...]], list[_Place]] = field(default_factory=dict, init=False, repr=False)

    @property
    def files(self) -> Folder:
        """Its segments."""
        return self.remote or LocalFolder(self.folder)

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
            self._take_in(shelf.files, shelf.fingerprint)
            shelf = shelf.earlier

    def _take_in(self, folder: Folder, fingerprint: str) -> None:
        found: dict[frozenset[str], list[tuple[int, np.ndarray]]] = {}
        try:
            for name in folder.names():
                if name in self._numbers:
                    continue
                try:
                    segment, keys = opened(folder, name, fingerprint)
                except FileNotFoundError:  # another process has set it aside or pruned it
                    continue
                except DamagedError as error:
                    self._set_aside(folder, name, error)
                    continue
                self._numbers[name] = number = len(self._segments)
                self._segments.append(segment)
                found.setdefault(frozenset(segment.layout), []).append((number, keys))
        finally:  # one that is refused takes nothing from the others
            for slots, segments in found.items():
                self._indices.setdefault(slots, Index()).add(segments)
            if found:
                self._plans.clear()

    def _set_aside(self, folder: Folder, name: str, error: DamagedError) -> None:
        self.damaged.append(str(error))
        try:
            folder.set_aside(name)
        except OSError as refused:
            raise BenchError(
                f"{error}, and it cannot be set aside ({refused.strerror}): delete it, or ask its owner to."
            ) from refused
        if (number := self._numbers.pop(name, None)) is not None:
            for index in self._indices.values():
                index.drop(number)
            self._plans.clear()

    def missing(self, keys: Sequence[bytes], slots: Sequence[str]) -> list[int]:
        """Positions in `keys` for which any of `slots` is not stored. A repeated key is listed once."""
        self.refresh()
        wanted, positions = np.unique(packed(keys), return_index=True)
        found = {held: index.find(wanted)[0] >= 0 for held, index in self._indices.items()}
        there = np.ones(len(wanted), dtype=bool)
        for name in slots:
            held = [rows for slots_held, rows in found.items() if name in slots_held]
            there &= np.any(held, axis=0) if held else False
        return [int(position) for position in np.sort(positions[~there])]

    def slots(self) -> list[str]:
        """The names of all that is stored of any row, tokens and truncation among them."""
        return sorted({name for held, index in self._indices.items() if len(index) for name in held})

    def keys(self, name: str) -> list[bytes]:
        """The keys of all rows of which a slot is stored, sorted."""
        found = [index.keys() for held, index in self._indices.items() if name in held]
        return [bytes(row) for row in np.unique(np.concatenate(found)).view(np.uint8).reshape(-1, KEY_BYTES)]

    def introduce(self) -> None:
        """Write down of which identity the folder is, which other processes find it by.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        if not (self.folder / IDENTITY).exists():
            write_json(self.folder / IDENTITY, {"format": FORMAT, "identity": dict(self.identity)})
        if not self.files.has(IDENTITY):
            self.files.publish(self.folder / IDENTITY)

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
            write(self.files, self.fingerprint, keys, tokens, truncated, states)
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

        plan = self._plan(packed(keys), name)
        if not plan:
            return torch.empty(0, 0)
        first = self._segments[plan[0].segment]
        # NumPy asks the system for huge pages, which are had at once; torch's take longer than the reading
        out = np.empty((len(keys), *first.layout[name].shape[1:]), dtype=np.float32)

        def fill(place: _Place) -> tuple[Segment, DamagedError] | None:
            segment = self._segments[place.segment]
            try:
                place.copy(segment.read(name), out)
            except DamagedError as error:
                return segment, error
            return None

        # no two threads write to the same rows, and none holds more than one tensor
        with ThreadPoolExecutor(min(len(plan), first.folder.readers)) as pool:
            found = [each for each in pool.map(fill, plan) if each is not None]
        for segment, error in found:
            self._set_aside(segment.folder, segment.name, error)
        if found:
            raise found[0][1]
        return torch.from_numpy(out)

    def _plan(self, keys: np.ndarray, name: str) -> list[_Place]:
        """Where rows of a slot are, by segment; remembered for the other slots of the same rows.

        Raises:
            KeyError: a row is not stored.
        """
        import xxhash

        held = [number for number, slots in enumerate(self._indices) if name in slots]
        known = (xxhash.xxh3_128_digest(keys.data), tuple(held))
        if known in self._plans:
            return self._plans[known]
        order = np.argsort(keys, kind="stable")
        segments, rows = np.full(len(keys), -1, np.int32), np.full(len(keys), -1, np.int32)
        for index in (list(self._indices.values())[number] for number in held):
            absent = segments < 0
            segments[absent], rows[absent] = index.find(keys[order[absent]])
        if (segments < 0).any():
            raise KeyError(name)
        together = np.lexsort((order, segments))
        segments, rows, order = segments[together], rows[together], order[together].astype(np.int32)
        ends = np.flatnonzero(np.diff(segments)) + 1
        parts = zip(*(np.split(each, ends) for each in (segments, rows, order)), strict=True)
        plan = [_Place(int(segment[0]), row, position) for segment, row, position in parts if len(segment)]
        if len(self._plans) >= PLANS:
            self._plans.pop(next(iter(self._plans)), None)
        self._plans[known] = plan
        return plan

    def healed(self, keys: Sequence[bytes], name: str, heal: Callable[[], None]) -> "torch.Tensor":
        """The same as `matrix`; where a segment was altered, `heal` is called to append what is then missing.

        Raises:
            DamagedError: more files turned out damaged than there were, so that the disk itself must be failing.
        """
        for _ in range(len(self._numbers)):
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
        return self.files.size()

    def rows(self) -> int:
        """Distinct texts."""
        self.refresh()
        return len(np.unique(np.concatenate([packed(()), *(index.keys() for index in self._indices.values())])))

    def verify(self) -> int:
        """Check every byte of every segment; set the damaged aside. Returns how many segments are whole."""
        self.refresh()
        for number in list(self._numbers.values()):
            segment = self._segments[number]
            try:
                segment.verify()
            except DamagedError as error:
                self._set_aside(segment.folder, segment.name, error)
        return len(self._numbers)
