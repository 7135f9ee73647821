"""Studies in one file, to be computed again by others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.api.known import known_study
from bench.api.study import reopen
from bench.errors import BenchError
from bench.home import Home
from bench.progress import SILENT, Progress

if TYPE_CHECKING:
    from bench.study.bundle import Recomputed


def bundle(
    study: str, out: Path | str | None = None, *, home: Home | Path | str | None = None, progress: Progress = SILENT
) -> Path:
    """Write a study as one file that `verify_bundle` computes again, without models and texts.

    Raises:
        BenchError: there is no such study, or `out` cannot be written, or is there and is no bundle.
    """
    known_study(study, home)

    from bench.study.bundle import pack, refuse_other

    path = Path(f"{study}.zip" if out is None else out)
    refuse_other(path)
    opened = reopen(study, home=home, tracking=False, progress=progress)
    return pack(opened.study, path)


def verify_bundle(path: Path | str) -> Recomputed:
    """Compute every table of a bundle again, and name what differs.

    Raises:
        BenchError: it is no bundle, or none that this bench can read.
    """
    if not Path(path).is_file():
        raise BenchError(f"There is no file {path}: `bench study bundle STUDY` makes one.")

    from bench.study.bundle import verify

    return verify(Path(path))
