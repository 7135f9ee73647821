"""Where bench keeps its things: said once, where a command or a Python call comes in, and passed on from there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from bench.errors import BenchError

RUNS = Path("mlruns")
STORE = "BENCH_STORE"


def store_home() -> Path:
    """The folder of embeddings and evaluations: `BENCH_STORE`, else a folder of the user's cache.

    For doors alone (the API, a package that is served): whatever is behind one is given a folder.
    """
    if folder := os.environ.get(STORE):
        return Path(folder).expanduser().resolve()
    return platformdirs.user_cache_path("bench", appauthor=False)


@dataclass(frozen=True)
class Home:
    """Two folders.

    Attributes:
        runs: Studies' journals, reports and MLflow's database.
        store: Hidden states, evaluations, and what is known of model files.
    """

    runs: Path
    store: Path

    @classmethod
    def at(cls, place: Home | Path | str | None = None) -> Home:
        """A home as it is, or a folder of runs (``mlruns`` where there is none) with the usual store.

        Raises:
            BenchError: it is neither.
        """
        if isinstance(place, Home):
            return place
        if not isinstance(place, str | os.PathLike | None):
            raise BenchError(f"A home is a folder, and not {place!r}.")
        return cls(RUNS if place is None else Path(place), store_home())
