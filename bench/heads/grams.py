"""Products of standardised sources, kept, so that those of a concatenation are put together from them."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

import torch
from torch import Tensor

from bench.heads.pipeline import Scaling, standardisation
from bench.heads.projections import orthonormal_rows
from bench.heads.regression import Read

CHUNK = 1 << 12
"""Rows that are multiplied at a time."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Centred:
    """The rows √w (x − x̄) of rows x, computed when they are read; x̄ is their weighted mean.

    Attributes:
        count: Number of rows.
        original: Gives the rows x at given positions, [positions, d].
        mean: x̄, [d]; its dtype is that of the arithmetic.
        roots: √w, [n, 1].
    """

    count: int
    original: Read
    mean: Tensor
    roots: Tensor

    @classmethod
    def of(cls, original: Read, weights: Tensor, dtype: torch.dtype, mean: Tensor | None = None) -> "Centred":
        """From the rows x and their weights w, [n], which are 1 on average; x̄ may be known."""
        if mean is not None:
            return cls(len(weights), original, mean.to(dtype), weights.to(dtype).sqrt()[:, None])
        shares = (weights.double() / len(weights)).to(dtype)
        chunks = torch.arange(len(weights), device=weights.device).split(CHUNK)
        mean = torch.stack([shares[each] @ original(each).to(dtype) for each in chunks]).sum(0)
        return cls(len(weights), original, mean.to(dtype), weights.to(dtype).sqrt()[:, None])

    def __call__(self, positions: Tensor | slice) -> Tensor:
        """The rows at given positions, [positions, d]."""
        return (self.original(positions).to(self.mean.dtype) - self.mean).mul_(self.roots[positions])

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.mean)

    def chunks(self) -> Sequence[Tensor]:
        """All positions, some at a time."""
        return list(torch.arange(self.count, device=self.mean.device).split(CHUNK))


def products(one: Centred, other: Centred) -> Tensor:
    """The products of the columns of two matrices of the same rows, float64 [d, e]."""
    total = torch.zeros(one.width, other.width, dtype=torch.float64, device=one.mean.device)
    for chunk in one.chunks():
        total += one(chunk).T @ other(chunk)
    return total


class Grams(Generic[Key]):
    """Products of sources whose columns are standardised over all rows.

    Those that still fit are kept. What no longer fits is computed anew each time: a search goes round all sources again
    and again, and dropping the oldest would drop just what is needed next.

    Args:
        read: From a source to its float32 matrix [n, d]; called whenever its rows are needed.
        weights: w of each row, [n]; 1 on average.
        dtype: Of the arithmetic.
        columns: A source that has more of them is projected to so many by random orthonormal rows, the same for all
            sources of a width; None: none is projected.
        memory_bytes: Of products that are kept.
    """

    def __init__(
        self,
        read: Callable[[Key], Tensor],
        weights: Tensor,
        *,
        dtype: torch.dtype,
        columns: int | None,
        memory_bytes: int,
    ) -> None:
        self.weights, self.dtype = weights, dtype
        self._read, self._most, self._room = read, columns, memory_bytes
        self._kept: dict[Hashable, Tensor] = {}
        self._lock = Lock()
        self._scalings: dict[Key, Scaling] = {}
        self._means: dict[Key, Tensor] = {}

    def standardised(self, source: Key) -> Read:
        """What gives the source's standardised rows at given positions, float32 [positions, d]."""
        matrix = self._read(source)
        if source not in self._scalings:
            rows = torch.arange(len(matrix), device=matrix.device)
            self._scalings[source] = standardisation(matrix.__getitem__, rows)
        scaling = self._scalings[source]
        return lambda positions: scaling.apply(matrix[positions])

    def width(self, source: Key) -> int:
        """Columns of the source as it is multiplied."""
        if source not in self._scalings:
            self.standardised(source)
        width = len(self._scalings[source].mean)
        return width if self._most is None else min(width, self._most)

    def rows(self, source: Key) -> Centred:
        """The source's rows as they are multiplied."""
        read, width = self.standardised(source), self.width(source)
        if (original := len(self._scalings[source].mean)) != width:
            projection = orthonormal_rows(width, original, torch.Generator().manual_seed(0)).T.to(self.weights.device)
            # a row keeps its square on average
            projection *= (original / width) ** 0.5
            whole = read
            read = lambda at: whole(at) @ projection  # noqa: E731
        found = Centred.of(read, self.weights, self.dtype, self._means.get(source))
        self._means[source] = found.mean
        return found

    def gram(self, sources: Sequence[Key]) -> Tensor:
        """The products of the rows of a concatenation with one another, [n, n]: the sum of its sources'."""
        total = self._gram(sources[0]).clone()
        for source in sources[1:]:
            total += self._gram(source)
        return total

    def columns(self, sources: Sequence[Key]) -> Tensor:
        """The products of the columns of a concatenation with one another, [d, d], float64: a block a pair."""
        blocks: list[list[Tensor]] = []
        for row, one in enumerate(sources):
            left = [blocks[column][row].T for column in range(row)]
            blocks.append(left + [self._products(one, other) for other in sources[row:]])
        return torch.cat([torch.cat(row, 1) for row in blocks])

    def _gram(self, source: Key) -> Tensor:
        def compute() -> Tensor:
            rows = self.rows(source)
            matrix = torch.cat([rows(chunk) for chunk in rows.chunks()])
            return matrix @ matrix.T

        return self._keep(source, compute)

    def _products(self, one: Key, other: Key) -> Tensor:
        if (other, one) in self._kept:
            return self._kept[other, one].T

        def compute() -> Tensor:
            left = self.rows(one)
            return products(left, left if one == other else self.rows(other))

        return self._keep((one, other), compute)

    def _keep(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        if (found := self._kept.get(key)) is not None:
            return found
        found = compute()
        with self._lock:  # several threads may have computed it
            if key not in self._kept and (needed := found.numel() * found.itemsize) <= self._room:
                self._room -= needed
                self._kept[key] = found
        return found
