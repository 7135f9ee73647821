"""What a safetensors file holds, from its header alone."""

from pathlib import Path
from typing import NamedTuple

from bench.errors import BenchError


class TensorHeader(NamedTuple):
    """A tensor's type, as safetensors calls it ("F32", "BF16", "I64" …), and its shape."""

    dtype: str
    shape: tuple[int, ...]


def tensor_headers(path: Path) -> dict[str, TensorHeader]:
    """Name → what is said of the tensor; the file is as long as its header says.

    Raises:
        BenchError: the file is absent, empty, torn or altered; a clause.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return {name: TensorHeader(each.get_dtype(), tuple(each.get_shape())) for name, each in slices.items()}
    except FileNotFoundError as error:
        raise BenchError(f"{path.name} is missing") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise BenchError(f"{path.name} is torn or altered ({error}): fetch it again") from error
