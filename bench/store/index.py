"""Which segment holds which row: keys in NumPy, sorted, so that a million rows are megabytes and open in seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

KEY_BYTES = 16
KEY = np.dtype(f"S{KEY_BYTES}")
"""NumPy takes NULs at the end of such a value for padding; of values that all have this length it loses none."""


def packed(keys: Sequence[bytes]) -> np.ndarray:
    """Keys as one array, `KEY` [len(keys)]."""
    return np.frombuffer(b"".join(keys), dtype=KEY)


@dataclass(frozen=True, eq=False)
class _Run:
    """Rows in the order of their keys, `KEY`, int32 and int32 [rows]; of equal ones in the order in which they came."""

    keys: np.ndarray
    segments: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, keys: np.ndarray, segments: np.ndarray, rows: np.ndarray) -> "_Run":
        order = np.argsort(keys, kind="stable")
        return cls(keys[order], segments[order], rows[order])

    def with_later(self, later: "_Run") -> "_Run":
        pairs = zip((self.keys, self.segments, self.rows), (later.keys, later.segments, later.rows), strict=True)
        return _Run.of(*(np.concatenate(pair) for pair in pairs))

    def without(self, segment: int) -> "_Run":
        kept = self.segments != segment
        return _Run(self.keys[kept], self.segments[kept], self.rows[kept])


@dataclass(eq=False)
class Index:
    """The rows of segments that hold the same slots.

    Sorted runs, each at least twice as long as the next, as in a log-structured merge tree (O'Neil and others 1996):
    a segment that is written while others are read costs its own rows, and not a sort of all.
    """

    _runs: list[_Run] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(run.keys) for run in self._runs)

    def add(self, segments: Sequence[tuple[int, np.ndarray]]) -> None:
        """Take in segments by their number, each with its rows' keys in their order."""
        lengths = [len(keys) for _, keys in segments]
        run = _Run.of(
            np.concatenate([keys for _, keys in segments]),
            np.repeat(np.array([number for number, _ in segments], dtype=np.int32), lengths),
            np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        )
        while self._runs and len(self._runs[-1].keys) < 2 * len(run.keys):
            run = self._runs.pop().with_later(run)
        self._runs.append(run)

    def drop(self, segment: int) -> None:
        """Forget the rows of a segment."""
        self._runs = [run.without(segment) for run in self._runs]

    def keys(self) -> np.ndarray:
        """All keys, sorted, each once."""
        return np.unique(np.concatenate([run.keys for run in self._runs])) if self._runs else np.empty(0, KEY)

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The segment and the row of each of `keys`, which are sorted: int32 [len(keys)] each, −1 where none is."""
        segments = np.full(len(keys), -1, dtype=np.int32)
        rows = np.full(len(keys), -1, dtype=np.int32)
        for run in reversed(self._runs):  # so that what came first stands in the end
            if len(run.keys):
                place = np.minimum(np.searchsorted(run.keys, keys), len(run.keys) - 1)
                found = run.keys[place] == keys
                segments[found], rows[found] = run.segments[place[found]], run.rows[place[found]]
        return segments, rows
