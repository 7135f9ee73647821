"""Safetensors files: written whole, and with a checksum that tells what is not as it was written."""

import errno
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import check_format, unreadable
from bench.files.temporary import atomic

if TYPE_CHECKING:
    import numpy as np
    import torch

CHECKED = "xxh3"
"""In a file's metadata: the checksum of `write_checked`."""


def write_tensors(path: Path, tensors: Mapping[str, "torch.Tensor"], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, atomically.

    Raises:
        OSError: the disk is full or the folder cannot be written; safetensors has an error of its own for that.
    """
    from safetensors.torch import save_file

    _save(path, save_file, tensors, metadata)


def _save(path: Path, save: Callable[..., None], contents: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    from safetensors import SafetensorError

    with atomic(path) as temporary:
        try:
            save(dict(contents), temporary, dict(metadata))
        except SafetensorError as error:
            found = re.search(r"\(os error (\d+)\)", str(error))
            number = int(found[1]) if found else errno.EIO
            raise OSError(number, os.strerror(number)) from error


def write_checked(path: Path, arrays: Mapping[str, "np.ndarray"], metadata: Mapping[str, str]) -> None:
    """Write arrays with a checksum over them and `metadata`, atomically, for `read_checked`.

    Raises:
        OSError: see `write_tensors`.
    """
    import numpy as np
    from safetensors.numpy import save_file

    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    _save(path, save_file, whole, {**metadata, CHECKED: _checksum(whole, metadata)})


def read_header(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file. The library itself says of every file it cannot open that it is not there.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds no whole header.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        # a torn or altered size must not ask for more memory than there is
        content = file.read(min(size, path.stat().st_size))
    try:
        return {str(name): str(value) for name, value in json.loads(content)["__metadata__"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("its header is torn or altered") from error


def read_checked(path: Path, form: int) -> tuple[dict[str, "np.ndarray"], dict[str, str]] | None:
    """The arrays and the metadata as they were written, bit for bit; None of a file that is absent, torn or altered.

    Raises:
        BenchError: the file is there and cannot be read, or its "format" is not `form`, which says nothing against it.
    """
    from safetensors import SafetensorError, safe_open

    try:
        metadata = read_header(path)
        check_format(path, metadata.get("format"), form)
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (FileNotFoundError, SafetensorError, ValueError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    return (arrays, metadata) if metadata.pop(CHECKED, None) == _checksum(arrays, metadata) else None


def _checksum(arrays: Mapping[str, "np.ndarray"], metadata: Mapping[str, str]) -> str:
    """XXH3 of metadata, and of every array's name, dtype, shape and bytes."""
    import xxhash

    digest = xxhash.xxh3_128(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
