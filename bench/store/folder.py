"""Where a shelf's files lie: what is done with them, whatever medium it is."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bench.errors import unreadable
from bench.files import size, write_tensors

if TYPE_CHECKING:
    import torch

SUFFIX = ".safetensors"
DAMAGED = ".damaged"
"""The suffix of what was set aside because its checksums prove it to be damaged."""


Valid = Callable[[np.ndarray], bool]
"""Whether bytes are those that were written."""


class Folder(Protocol):
    """The segments of a shelf. Names are those of files."""

    @property
    def readers(self) -> int:
        """So many reads at once are faster than one after the other."""
        ...

    def where(self, name: str) -> str:
        """The file, in words for people."""
        ...

    def names(self) -> list[str]:
        """All segments, sorted; none where the folder is not there.

        Raises:
            BenchError: it cannot be listed.
        """
        ...

    def read(self, name: str, start: int, stop: int, valid: Valid) -> np.ndarray:
        """Bytes `start` to `stop`, or fewer where the file ends before: uint8 [bytes].

        Where a medium may garble what it holds whole, it is asked again until what came is `valid`, and then given up;
        who reads checks it in any case.

        Raises:
            FileNotFoundError: it is gone.
            BenchError: it cannot be read, which is no damage.
        """
        ...

    def write(self, name: str, tensors: "Mapping[str, torch.Tensor]", metadata: Mapping[str, str]) -> None:
        """Write a safetensors file that is whole or absent.

        Raises:
            OSError: it cannot be written.
        """
        ...

    def set_aside(self, name: str) -> None:
        """Rename a damaged file, so that nobody takes it for a segment; that it is gone already is no error.

        Raises:
            OSError: it cannot be renamed.
        """
        ...

    def has(self, record: str) -> bool:
        """Whether others find a small file of that name."""
        ...

    def publish(self, record: Path) -> None:
        """Let others find a small file that was written to the shelf's own folder."""
        ...

    def fetch(self, record: Path) -> None:
        """Bring what others have published of that name into the shelf's own folder, if they have."""
        ...

    def size(self) -> int:
        """Bytes of all that is there."""
        ...


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


@dataclass(frozen=True)
class LocalFolder:
    """A folder of a disk, or of a network that looks like one."""

    path: Path
    readers: int = field(default=8, init=False, repr=False)

    def where(self, name: str) -> str:
        """See `Folder`."""
        return str(self.path / name)

    def names(self) -> list[str]:
        """See `Folder`."""
        return [path.name for path in contents(self.path) if path.suffix == SUFFIX]

    def read(self, name: str, start: int, stop: int, valid: Valid) -> np.ndarray:  # noqa: ARG002
        """See `Folder`. A disk gives what it holds."""
        path, filled = self.path / name, 0
        try:
            with path.open("rb", buffering=0) as file:
                # a torn or altered size must not ask for more memory than there is
                content = np.empty(max(0, min(stop, os.fstat(file.fileno()).st_size) - start), np.uint8)
                if len(content):
                    file.seek(start)
                while filled < len(content) and (count := file.readinto(content[filled:].data)):
                    filled += count
        except FileNotFoundError:
            raise
        except OSError as error:
            raise unreadable(path, error) from error
        return content[:filled]

    def write(self, name: str, tensors: "Mapping[str, torch.Tensor]", metadata: Mapping[str, str]) -> None:
        """See `Folder`."""
        write_tensors(self.path / name, tensors, metadata)

    def set_aside(self, name: str) -> None:
        """See `Folder`."""
        path = self.path / name
        with suppress(FileNotFoundError):  # another process has set it aside or pruned it
            path.replace(path.with_suffix(DAMAGED))

    def has(self, record: str) -> bool:
        """See `Folder`."""
        return (self.path / record).exists()

    def publish(self, record: Path) -> None:
        """See `Folder`. It is where others look."""

    def fetch(self, record: Path) -> None:
        """See `Folder`. It is there."""

    def size(self) -> int:
        """See `Folder`."""
        return size(self.path)
