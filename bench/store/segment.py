"""Segments: immutable files of rows, each named by the checksums of what it holds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import BenchError, check_format
from bench.specs import fingerprint
from bench.store.folder import SUFFIX, Folder
from bench.store.index import KEY, KEY_BYTES

if TYPE_CHECKING:
    import torch

FORMAT = 1
KEYS, TOKENS, TRUNCATED = "keys", "tokens", "truncated"
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "U8": "uint8",
}
"""Those that a segment holds: safetensors' names and torch's."""
UNPARSED = (KeyError, ValueError, TypeError, AttributeError, RecursionError)
"""What comes of a header that is torn or altered."""
HEAD = 16 << 10
"""So many bytes are read at first: mostly all of a header."""


class DamagedError(BenchError):
    """A segment does not hold what it was written with, as its checksums prove. Its rows count as missing."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Where in a file a tensor lies, and of which type and shape it is."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


Layout = Mapping[str, _Part]
_LAYOUTS: dict[tuple[tuple[str, _Part], ...], Layout] = {}
"""Segments of as many rows and the same slots are laid out alike: one object stands for all."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One immutable file of rows, whose header and row keys were found to be as they were written.

    Attributes:
        folder: Where it lies.
        name: Of the file: the digest of its header's metadata.
        layout: Its tensors, but for the keys.
        checksums: Of these, in their order, 16 bytes each.
    """

    folder: Folder
    name: str
    layout: Layout
    checksums: bytes

    @property
    def where(self) -> str:
        """The file, in words for people."""
        return self.folder.where(self.name)

    def read(self, name: str) -> "torch.Tensor":
        """The tensor of that name in the storage dtype, checked.

        Raises:
            DamagedError: it is not what was written, or gone.
            BenchError: it cannot be read, which is no damage.
        """
        import torch

        part = self.layout[name]
        place = 16 * list(self.layout).index(name)
        content = _checked(self.folder, self.name, name, part, self.checksums[place : place + 16])
        return torch.from_numpy(content).view(getattr(torch, DTYPES[part.dtype])).reshape(part.shape)

    def verify(self) -> None:
        """Read every tensor once. Raises DamagedError."""
        for name in self.layout:
            self.read(name)


def opened(folder: Folder, name: str, identity: str) -> tuple[Segment, np.ndarray]:
    """A segment of the shelf with that fingerprint, and the keys of its rows: `KEY` [rows].

    Raises:
        FileNotFoundError: it is gone.
        DamagedError: it does not hold what its name and checksums say.
        BenchError: it cannot be read, is of a newer format, or holds rows of another identity; that is no damage.
    """
    where = folder.where(name)
    try:
        metadata, parts = _header(folder, name)
        check_format(where, metadata.get("format"), FORMAT)
        if _stem(metadata) + SUFFIX != name:
            raise DamagedError(f"{where}: the header does not match the file's name")
        if (found := metadata.get("identity")) != identity:
            raise BenchError(
                f"{where} holds hidden states of the extraction {found}, and lies in the folder of {identity}: it "
                f"was copied or moved there. Move it to the folder whose name ends in {found}, or delete it."
            )
        checksums = {tensor: bytes.fromhex(each) for tensor, each in json.loads(metadata["checksums"]).items()}
        content = _checked(folder, name, KEYS, parts[KEYS], checksums[KEYS])
        layout = {tensor: part for tensor, part in parts.items() if tensor != KEYS}
        segment = Segment(
            folder,
            name,
            _LAYOUTS.setdefault(tuple(layout.items()), layout),
            b"".join(checksums[tensor] for tensor in layout),
        )
        segment.read(TOKENS), segment.read(TRUNCATED)  # small, and needed for every row
    except UNPARSED as error:
        raise DamagedError(f"{where}: its header is torn or altered") from error
    return segment, content.view(KEY).reshape(-1)


def _header(folder: Folder, name: str) -> tuple[dict[str, str], dict[str, _Part]]:
    """The metadata of a safetensors file, and what it says of each tensor.

    Raises:
        FileNotFoundError: it is gone.
        ValueError, KeyError, TypeError, AttributeError, RecursionError: it holds no whole header.
    """

    def whole(content: np.ndarray) -> bool:
        if _size(content) > len(content) >= HEAD:
            return True  # as far as can be said before the rest is here
        try:
            return _stem(_parsed(content)[0]) + SUFFIX == name
        except UNPARSED:
            return False

    content = folder.read(name, 0, HEAD, whole)
    if _size(content) > len(content):
        content = folder.read(name, 0, _size(content), whole)
    return _parsed(content)


def _size(content: np.ndarray) -> int:
    """The bytes of a file before its tensors, by its first eight."""
    return 8 + int.from_bytes(content[:8].tobytes(), "little")


def _parsed(content: np.ndarray) -> tuple[dict[str, str], dict[str, _Part]]:
    size = _size(content)
    header = json.loads(content[8:size].tobytes())
    metadata = {str(key): str(value) for key, value in header.pop("__metadata__").items()}
    return metadata, {tensor: _part(entry, size) for tensor, entry in header.items()}


def _part(entry: Mapping[str, Any], base: int) -> _Part:
    start, stop = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if not all(isinstance(each, int) and each >= 0 for each in (start, stop, *shape)):
        raise ValueError("no sizes")
    return _Part(str(entry["dtype"]), shape, base + start, base + stop)


def _checked(folder: Folder, segment: str, name: str, part: _Part, checksum: bytes) -> np.ndarray:
    """The bytes of a tensor, uint8 [bytes], whose checksum is that of `checksum_of`. Raises DamagedError."""
    import xxhash

    shape = f"torch.{DTYPES.get(part.dtype)}{part.shape}".encode()

    def valid(content: np.ndarray) -> bool:
        digest = xxhash.xxh3_128(shape)
        digest.update(content.data)
        return bool(digest.digest() == checksum)

    try:
        content = folder.read(segment, part.start, part.stop, valid)
    except FileNotFoundError as error:
        raise DamagedError(f"{folder.where(segment)} is gone") from error
    if not valid(content):
        raise DamagedError(f"{folder.where(segment)}: '{name}' does not match its checksum")
    return content


def checksum_of(tensor: "torch.Tensor") -> str:
    """XXH3 of dtype, shape and bytes, as 32 hex digits."""
    import torch
    import xxhash

    digest = xxhash.xxh3_128(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _stem(metadata: Mapping[str, str]) -> str:
    return fingerprint(dict(metadata), length=32)


def write(
    folder: Folder,
    identity: str,
    keys: Sequence[bytes],
    tokens: Sequence[int],
    truncated: Sequence[bool],
    states: Mapping[str, "torch.Tensor"],
) -> None:
    """Write a segment of rows to the folder of a shelf; it is whole or absent.

    Args:
        folder: Of the shelf.
        identity: The shelf's fingerprint.
        keys: What identifies each row's text, `KEY_BYTES` bytes.
        tokens: How many each row's text has, as the model saw it.
        truncated: Whether it was longer than that.
        states: Slot → [rows, width] in the storage dtype.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    import torch

    tensors = {name: tensor.contiguous() for name, tensor in states.items()}
    tensors[KEYS] = torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).reshape(len(keys), KEY_BYTES)
    tensors[TOKENS] = torch.tensor(tokens, dtype=torch.int32)
    tensors[TRUNCATED] = torch.tensor(truncated, dtype=torch.uint8)
    checksums = {name: checksum_of(tensor) for name, tensor in tensors.items()}
    metadata = {"format": str(FORMAT), "identity": identity, "checksums": json.dumps(checksums, sort_keys=True)}
    folder.write(_stem(metadata) + SUFFIX, tensors, metadata)
