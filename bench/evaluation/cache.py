"""Outcomes on disk: what was answered once is never computed again, in this study or another."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.evaluation.ask import Ask
from bench.evaluation.outcome import Outcome, ScoreKind
from bench.files import read_checked, write_checked

FOLDER = "evaluations"
FORMAT = 2


@dataclass(frozen=True)
class EvaluationCache:
    """Outcomes by the fingerprint of their ask. `home` None keeps nothing."""

    home: Path | None

    def _path(self, ask: Ask) -> Path | None:
        if self.home is None:
            return None
        name = ask.fingerprint()
        return self.home / FOLDER / f"v{FORMAT}" / name[:2] / f"{name}.safetensors"

    def get(self, ask: Ask) -> Outcome | None:
        """The outcome as it was put, bit for bit, or None. A torn or altered file counts as absent.

        Raises:
            BenchError: the file cannot be read, or is of a newer format; it stays as it is.
        """
        path = self._path(ask)
        if path is None or (found := read_checked(path, FORMAT)) is None:
            return None
        arrays, metadata = found
        if metadata["ask"] != _text(ask):
            return None
        kind: ScoreKind = json.loads(metadata["kind"])
        reports = tuple(tuple(report) for report in json.loads(metadata["reports"]))
        predicted = arrays["predicted"]
        if np.issubdtype(predicted.dtype, np.integer):
            predicted = predicted.astype(np.int64)
        return Outcome(arrays["rows"].astype(np.int64), predicted, arrays["scores"], kind, reports)

    def put(self, ask: Ask, outcome: Outcome) -> None:
        """Keep an outcome."""
        if (path := self._path(ask)) is None:
            return
        whole = np.issubdtype(outcome.predicted.dtype, np.integer)
        bytes_do = whole and outcome.predicted.min(initial=0) >= 0 and outcome.predicted.max(initial=0) < 256
        small = np.uint8 if bytes_do else np.int32
        arrays = {
            "rows": outcome.rows.astype(np.int32),
            "predicted": outcome.predicted.astype(small) if whole else outcome.predicted,
            "scores": outcome.scores.astype(np.float32),
        }
        metadata = {
            "format": str(FORMAT),
            "ask": _text(ask),
            "kind": json.dumps(outcome.kind),
            "reports": json.dumps(outcome.reports),
        }
        # A full disk must not end a search: what is not kept is only computed again when it is next asked for.
        with contextlib.suppress(OSError):
            write_checked(path, arrays, metadata)


@dataclass(frozen=True)
class Kept:
    """How many files of remembered evaluations a store has, and their bytes; `earlier` ones are not read any more."""

    files: int
    bytes: int
    earlier: int
    earlier_bytes: int


def kept(home: Path) -> Kept:
    """What is remembered in the store at `home`."""
    folder = home / FOLDER
    sizes: dict[bool, list[int]] = {True: [], False: []}
    for path in folder.rglob("*.safetensors"):
        with contextlib.suppress(OSError):
            sizes[path.is_relative_to(folder / f"v{FORMAT}")].append(path.stat().st_size)
    return Kept(len(sizes[True]), sum(sizes[True]), len(sizes[False]), sum(sizes[False]))


def _text(ask: Ask) -> str:
    return json.dumps(ask.identity(), sort_keys=True)
