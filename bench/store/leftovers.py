"""What kills and damage have left in a store, and who may still be writing it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.files import abandoned, is_temporary, size
from bench.store.folder import DAMAGED

EMBEDDINGS, CHECKS, EXPORTS, SELFTESTS, DTYPES = "embeddings", "checks", "exports", "selftests", "dtypes"
ROOMS = (EMBEDDINGS, "evaluations", "rows", "converted", "parts", CHECKS, EXPORTS, SELFTESTS, DTYPES)
"""The folders of a store; what else lies beside them is not its own."""
SCRATCH = {CHECKS, EXPORTS}
"""Those that hold nothing but what is under way."""


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nothing reads, with its bytes; `in_use` where somebody may still be writing it."""

    path: Path
    bytes: int
    in_use: bool


def leftovers(home: Path) -> Iterator[Leftover]:
    """Temporary files and folders, what was set aside as damaged, and shelves in which nothing was stored yet."""
    for path in _found(home):
        yield Leftover(path, size(path), path.suffix != DAMAGED and not abandoned(path))


def _found(home: Path) -> Iterator[Path]:
    yield from (path for path in sorted(home.glob(".*")) if is_temporary(path.name))
    for room in ROOMS:
        for folder, folders, files in os.walk(home / room):
            for name in sorted([*folders, *files]):
                path = Path(folder, name)
                if _left(path, room, top=Path(folder) == home / room):
                    yield path
                    if name in folders:
                        folders.remove(name)  # it goes as a whole


def _left(path: Path, room: str, *, top: bool) -> bool:
    if is_temporary(path.name) or path.suffix == DAMAGED or room in SCRATCH:
        return True
    if room == EMBEDDINGS and top and path.is_dir():
        return holds_nothing(path)
    return room == "converted" and top and path.name.startswith(".")  # of an earlier bench


def holds_nothing(shelf: Path) -> bool:
    """Whether it has claims at most: its first rows are still computed, or never were."""
    return all(each.name == "claims" or is_temporary(each.name) for each in shelf.iterdir())
