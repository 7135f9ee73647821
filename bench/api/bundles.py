"""Studies in one file, to be computed again by others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.api.study import reopen
from bench.home import Home
from bench.progress import SILENT, Progress

if TYPE_CHECKING:
    from bench.study.bundle import Recomputed


def bundle(
    study: str, out: Path | str | None = None, *, home: Home | Path | str | None = None, progress: Progress = SILENT
) -> Path:
    """Write a study as one file that `verify_bundle` computes again, without models and texts.

    Raises:
        BenchError: there is no such study, or the file cannot be written.
    """
    from bench.study.bundle import pack

    opened = reopen(study, home=home, tracking=False, progress=progress)
    return pack(opened.study, Path(f"{study}.zip" if out is None else out))


def verify_bundle(path: Path | str) -> Recomputed:
    """Compute every table of a bundle again, and name what differs.

    Raises:
        BenchError: it is no bundle, or none that this bench can read.
    """
    from bench.study.bundle import verify

    return verify(Path(path))
