"""A dry run resolves models, and must leave nothing behind."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.models.digests import MEMORY
from bench.models.package import CONVERTED


@contextmanager
def scratch(store: Path) -> Iterator[Path]:
    """A folder that stands for the store where models are resolved: it knows what the store does, and is deleted."""
    with tempfile.TemporaryDirectory(prefix="bench-dry-run-") as name:
        folder = Path(name)
        (folder / CONVERTED).mkdir()
        for made in (store / CONVERTED).glob("*"):
            if made.is_dir() and not made.name.startswith(".") and made.suffix != ".damaged":
                (folder / CONVERTED / made.name).symlink_to(made)
        if (store / MEMORY).is_file():
            shutil.copy(store / MEMORY, folder)
        yield folder
