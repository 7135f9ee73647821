"""The store: hidden states computed once, found again by everything that could change a value.

A *shelf* is a folder for one identity (weights, tokenizer, dtype, backend and its version, kernels, maximum length,
prompt, norm …); its rows are keyed by the text itself, so that a subset, another data set with the same texts, or a
second study reuses them. A shelf holds *segments*: immutable safetensors files, one tensor a layer and pooling, whose
name is the digest of their header's checksums. A directory listing is therefore the whole index, two processes may
write at once, and a torn or altered file gives itself away: the header against the name when a segment is opened, a
tensor against its checksum when it is first read.
"""

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError, nearest
from bench.files import existing_parent, write_json, write_tensors
from bench.specs import fingerprint

if TYPE_CHECKING:
    import torch

FORMAT = 1
KEYS, TOKENS, TRUNCATED = "keys", "tokens", "truncated"
KEY_BYTES = 16


class DamagedError(BenchError):
    """A segment does not hold what it was written with. It has been set aside; its rows count as missing."""


def text_key(text: str) -> bytes:
    """16 bytes that identify a text within a shelf."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]


def slot(layer: int, pooling: str) -> str:
    """The name of a layer's pooled states inside a segment."""
    return f"{layer}.{pooling}"


def _checksum(tensor: "torch.Tensor") -> str:
    """XXH3 of dtype, shape and bytes."""
    import torch
    import xxhash

    digest = xxhash.xxh3_128(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _stem(metadata: Mapping[str, str]) -> str:
    return fingerprint(dict(metadata), length=32)


def _fingerprint(identity: Mapping[str, Any]) -> str:
    # The name is a label: a hub id, a row and a folder with the same weights are one model.
    return fingerprint({key: value for key, value in identity.items() if key != "model"})


class Segment:
    """One immutable file of rows. Opening checks header and row keys; `read` checks a tensor when it is first read."""

    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = path
        self._checked: dict[str, torch.Tensor] = {}
        try:
            self._file = safe_open(path, framework="pt")
            metadata = self._file.metadata() or {}
            if _stem(metadata) != path.stem:
                raise DamagedError(f"{path}: the header does not match the file's name")
            self._checksums: dict[str, str] = json.loads(metadata["checksums"])
            self.names = set(self._file.keys())
            keys = self.read(KEYS).numpy()
            self.read(TOKENS), self.read(TRUNCATED)  # small, and needed for every row
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise DamagedError(f"{path}: {error}") from error
        self.keys = [row.tobytes() for row in keys]

    def read(self, name: str) -> "torch.Tensor":
        """The tensor of that name, mapped from the file, in the storage dtype. Raises DamagedError."""
        if name not in self._checked:
            tensor = self._file.get_tensor(name)
            if _checksum(tensor) != self._checksums.get(name):
                raise DamagedError(f"{self.path}: '{name}' does not match its checksum")
            self._checked[name] = tensor
        return self._checked[name]

    def verify(self) -> None:
        """Read every tensor once. Raises DamagedError."""
        for name in sorted(self.names):
            self.read(name)
            if name not in (KEYS, TOKENS, TRUNCATED):
                del self._checked[name]


@dataclass
class Shelf:
    """The rows of one identity. Safe to use from several processes at once."""

    folder: Path
    identity: Mapping[str, Any]
    damaged: list[str] = field(default_factory=list)
    """Segments that were set aside since this object was made."""
    _segments: dict[str, Segment] = field(default_factory=dict)
    _where: dict[str, dict[bytes, tuple[str, int]]] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the identity, the model's name left out."""
        return _fingerprint(self.identity)

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.identity.get("model", "?"))

    def refresh(self) -> None:
        """Take in segments that were written since the last look; set damaged ones aside."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name in self._segments:
                continue
            try:
                segment = Segment(path)
            except DamagedError as error:
                if path.exists():  # otherwise another process has set it aside or pruned it
                    self._set_aside(path, error)
                continue
            self._segments[path.name] = segment
            for name in segment.names - {KEYS}:
                where = self._where.setdefault(name, {})
                for row, key in enumerate(segment.keys):
                    where.setdefault(key, (path.name, row))

    def _set_aside(self, path: Path, error: DamagedError) -> None:
        self.damaged.append(str(error))
        with contextlib.suppress(FileNotFoundError):  # another process has set it aside or pruned it
            path.replace(path.with_suffix(".damaged"))
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
        import torch

        tensors = {name: tensor.contiguous() for name, tensor in states.items()}
        tensors[KEYS] = torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).reshape(len(keys), KEY_BYTES)
        tensors[TOKENS] = torch.tensor(tokens, dtype=torch.int32)
        tensors[TRUNCATED] = torch.tensor(truncated, dtype=torch.uint8)
        checksums = {name: _checksum(tensor) for name, tensor in tensors.items()}
        metadata = {
            "format": str(FORMAT),
            "identity": self.fingerprint,
            "checksums": json.dumps(checksums, sort_keys=True),
        }
        try:
            if not (self.folder / "identity.json").exists():
                write_json(self.folder / "identity.json", {"format": FORMAT, "identity": dict(self.identity)})
            write_tensors(self.folder / f"{_stem(metadata)}.safetensors", tensors, metadata)
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
                self._set_aside(self.folder / segment, error)
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
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())

    def rows(self) -> int:
        """Distinct texts."""
        self.refresh()
        return len(self._where.get(TOKENS, {}))

    def verify(self) -> int:
        """Check every byte of every segment; set the damaged aside. Returns how many segments are whole."""
        self.refresh()
        for name, segment in list(self._segments.items()):
            try:
                segment.verify()
            except DamagedError as error:
                self._set_aside(self.folder / name, error)
        return len(self._segments)


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
        name = _fingerprint(identity)
        if known := sorted(self._folder.glob(f"*-{name}")):
            return Shelf(known[0], identity)
        slug = re.sub(r"[^\w.-]+", "-", str(identity["model"])).strip("-.")[-60:]
        return Shelf(self._folder / f"{slug}-{name}", identity)

    def shelves(self) -> Iterator[Shelf]:
        """Every shelf, by name."""
        for path in sorted(self._folder.glob("*/identity.json")):
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
