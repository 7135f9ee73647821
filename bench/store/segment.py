"""Segments: immutable files of rows, each named by the checksums of what it holds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, check_format, unreadable
from bench.files import read_header, write_tensors
from bench.specs import fingerprint

if TYPE_CHECKING:
    import torch

FORMAT = 1
KEYS, TOKENS, TRUNCATED = "keys", "tokens", "truncated"
KEY_BYTES = 16


class DamagedError(BenchError):
    """A segment does not hold what it was written with, as its checksums prove. Its rows count as missing."""


def _checksum(tensor: "torch.Tensor") -> str:
    """XXH3 of dtype, shape and bytes."""
    import torch
    import xxhash

    digest = xxhash.xxh3_128(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _stem(metadata: Mapping[str, str]) -> str:
    return fingerprint(dict(metadata), length=32)


class Segment:
    """One immutable file of rows. Opening checks header and row keys; `read` checks a tensor when it is first read.

    Args:
        path: Of the file, whose name is the digest of its header's metadata.
        identity: The fingerprint of the shelf that it lies on.

    Raises:
        FileNotFoundError: it is gone.
        DamagedError: it does not hold what its name and checksums say.
        BenchError: it cannot be read, is of a newer format, or holds rows of another identity; that is no damage.
    """

    def __init__(self, path: Path, identity: str) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = path
        self._checked: dict[str, torch.Tensor] = {}
        try:
            metadata = read_header(path)
            check_format(path, metadata.get("format"), FORMAT)
            if _stem(metadata) != path.stem:
                raise DamagedError(f"{path}: the header does not match the file's name")
            if (found := metadata.get("identity")) != identity:
                raise BenchError(
                    f"{path} holds hidden states of the extraction {found}, and lies in the folder of {identity}: it "
                    f"was copied or moved there. Move it to the folder whose name ends in {found}, or delete it."
                )
            self._file = safe_open(path, framework="pt")
            self._checksums: dict[str, str] = json.loads(metadata["checksums"])
            self.names = set(self._file.keys())
            keys = self.read(KEYS).numpy()
            self.read(TOKENS), self.read(TRUNCATED)  # small, and needed for every row
        except FileNotFoundError:
            raise
        except OSError as error:
            raise unreadable(path, error) from error
        except (SafetensorError, KeyError, ValueError) as error:
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


def write(
    folder: Path,
    identity: str,
    keys: Sequence[bytes],
    tokens: Sequence[int],
    truncated: Sequence[bool],
    states: Mapping[str, "torch.Tensor"],
) -> None:
    """Write a segment of rows to the folder of a shelf, atomically.

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
    checksums = {name: _checksum(tensor) for name, tensor in tensors.items()}
    metadata = {"format": str(FORMAT), "identity": identity, "checksums": json.dumps(checksums, sort_keys=True)}
    write_tensors(folder / f"{_stem(metadata)}.safetensors", tensors, metadata)
