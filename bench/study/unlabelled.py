"""Texts without labels that a student learns on: kept under a study's home, so that it can be trained again."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.datasets.checks import mended
from bench.datasets.dataset import Dataset
from bench.errors import BenchError
from bench.files import atomic
from bench.progress import Progress
from bench.specs import fingerprint

FOLDER = "data"
"""Of a home: where rows lie that a study stands on, and that no file of the user's holds."""
DIGITS = 12


def kept_texts(
    home: Path, texts: Sequence[str | None], dataset: Dataset, *, strip: bool, progress: Progress
) -> str | None:
    """The digest of texts without labels, which are kept under `home`; None where none is left.

    Texts that a row of the data set has are left out: they would be taught in the folds that hold them out. `strip`
    removes white space around texts, as the data set's loader did.
    """
    rows = set(dataset.texts)
    given = dict.fromkeys(mended(text.strip() if strip else text) for text in texts if text and not text.isspace())
    found = [text for text in given if text not in rows]
    if len(found) < len(given):
        progress.say(f"{len(given) - len(found)} of {len(given)} texts are rows of {dataset.name}, and are left out")
    if not found:
        return None
    digest = fingerprint(found, length=DIGITS)
    path = _path(home, digest)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_text(json.dumps(found), encoding="utf-8")
    return digest


def reader(home: Path) -> Callable[[str], Sequence[str]]:
    """From a digest to the texts without labels that are kept under `home`."""
    return partial(_read, home)


def _read(home: Path, digest: str) -> Sequence[str]:
    path = _path(home, digest)
    try:
        found: list[str] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(
            f"The texts without labels that a student learnt on cannot be read from {path} ({error}): distil it anew, "
            "with the file that they came from."
        ) from error
    if fingerprint(found, length=DIGITS) != digest:
        raise BenchError(f"{path} was altered: distil the student anew, with the file that its texts came from.")
    return found


def _path(home: Path, digest: str) -> Path:
    return home / FOLDER / f"unlabelled-{digest}.json"
