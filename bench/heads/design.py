"""The matrix that a linear head is fitted on, in its principal axes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Finding more principal axes than this costs more than they save.
LARGEST_BASIS = 4096
# Up to so many values float64 costs little: calls take the time, not arithmetic.
LARGEST_DOUBLE = 1 << 18


@dataclass(frozen=True, eq=False)
class Design:
    """Training rows, kept or computed again in every pass.

    Attributes:
        count: Number of rows.
        read: The rows at given positions, or in a range of them, [positions, axes].
        basis: The axes, orthonormal columns [d, axes]; None: the features' own.
        spectrum: Mean square along each axis; its dtype is that of the arithmetic.
    """

    count: int
    read: Callable[[Tensor | slice], Tensor]
    basis: Tensor | None
    spectrum: Tensor

    @classmethod
    def of(cls, read: Callable[[Tensor], Tensor], rows: Tensor, memory_bytes: int) -> "Design":
        """The design of `rows`.

        Args:
            read: Gives the standardised features of a chunk of rows, float32 [chunk, d].
            rows: The training rows.
            memory_bytes: Kept are matrices that take no more than this while they are made.
        """
        count, width = len(rows), read(rows[:1]).shape[1]
        dtype = arithmetic(count, width)
        chunks = rows.split(max(1, memory_bytes // (32 * width)))
        matrix = torch.cat([read(chunk) for chunk in chunks]) if 16 * count * width <= memory_bytes else None
        basis: Tensor | None = None
        if matrix is not None and count <= min(width, LARGEST_BASIS):
            # Coefficients lie in the span of the rows: fewer axes than columns hold all of the problem.
            double = matrix.double()
            squares, vectors = _spectrum(double @ double.T)
            basis = (double.T @ (vectors / squares.sqrt())).to(dtype)
            matrix = (vectors * squares.sqrt()).to(dtype)
        elif width <= LARGEST_BASIS:
            gram = torch.zeros(width, width, dtype=torch.float64, device=rows.device)
            for chunk in chunks:
                gram += (part := read(chunk)).T @ part
            # the vectors of a matrix of columns are orthonormal in any arithmetic, those of rows only in float64
            squares, basis = _spectrum(gram.to(dtype))
            matrix = None if matrix is None else matrix.to(dtype) @ basis
        else:
            squares = torch.full((width,), count, dtype=torch.float64, device=rows.device)

        def compute(positions: Tensor | slice) -> Tensor:
            original = read(rows[positions]).to(dtype)
            return original if basis is None else original @ basis

        return cls(count, compute if matrix is None else matrix.__getitem__, basis, (squares / count).to(dtype))

    def kept_as(self, dtype: torch.dtype) -> "Design":
        """The same design in another arithmetic, its rows along the axes in memory."""
        rows = torch.cat([rows.to(dtype) for _, rows in self.blocks(1 << 12)])
        return Design(self.count, rows.__getitem__, self.basis, self.spectrum.to(dtype))

    @property
    def width(self) -> int:
        """Number of the features' own columns, as far as reading passes through them."""
        return len(self.spectrum) if self.basis is None else len(self.basis)

    def blocks(self, size: int) -> Iterator[tuple[slice, Tensor]]:
        """Ranges of positions and their rows, `size` at a time; kept rows are not copied."""
        for start in range(0, self.count, size):
            positions = slice(start, start + size)
            yield positions, self.read(positions)


def arithmetic(count: int, width: int) -> torch.dtype:
    """In which so many rows of so many columns are factorised."""
    return torch.float64 if count * min(count, width) <= LARGEST_DOUBLE else torch.float32


def _spectrum(gram: Tensor) -> tuple[Tensor, Tensor]:
    """The eigenvalues of a Gram matrix that are not rounding, and their vectors."""
    values, vectors = torch.linalg.eigh(gram)
    real = values > 1e-10 * values[-1]
    return values[real], vectors[:, real]
