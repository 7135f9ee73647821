"""A ridge regression before it is solved: rows, targets and weights, and the products that a solution needs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

LARGEST_CHUNK = 1 << 12
"""Rows that are multiplied at a time at most: so many products of float32 are summed before they are float64."""

Read = Callable[[Tensor | slice], Tensor]


@dataclass(frozen=True, eq=False)
class Products:
    """The products of some rows Z with one another, [n, n], or of their columns, [d, d]."""

    matrix: Tensor
    of_rows: bool

    @property
    def squares(self) -> float:
        """The sum of all squares of Z."""
        return float(self.matrix.diagonal().sum(dtype=torch.float64))


def fewer_rows(count: int, width: int) -> bool:
    """Whether the rows' products take less than the columns': an inverse instead of a factor and as many solutions."""
    return 5 * count <= 6 * width


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Ridge regressions of the same targets on the same rows.

    Attributes:
        products: Of the rows Z = √w (x − x̄), or of their columns.
        rows: Z at given positions, [positions, d], in the type of the arithmetic. With the products of rows it is read
            for coefficients alone.
        targets: [n, k].
        weights: w, [n]; above 0.
        dtype: Of the arithmetic. What the columns' products are factorised in is their own type.
        memory_bytes: About how much may be used at a time, beside the products and one block's.
        groups: Rows of one number are left out together, int64 [n]; None: each by itself.
    """

    products: Products
    rows: Read
    targets: Tensor
    weights: Tensor
    dtype: torch.dtype
    memory_bytes: int
    groups: Tensor | None = None

    @classmethod
    def of(
        cls, rows: Read, targets: Tensor, weights: Tensor, memory_bytes: int, groups: Tensor | None = None
    ) -> "LeastSquares":
        """From Z at given positions, whose type is that of the arithmetic; it is kept where memory allows."""
        count, (width, dtype) = len(weights), _shape(rows)
        size = max(1, min(LARGEST_CHUNK, memory_bytes // (32 * width)))
        chunks = [slice(start, min(count, start + size)) for start in range(0, count, size)]
        kept = torch.cat(list(map(rows, chunks))) if 16 * count * width <= memory_bytes else None
        if kept is not None and fewer_rows(count, width):
            products = Products(kept @ kept.T, of_rows=True)
        else:
            total = torch.zeros(width, width, dtype=torch.float64, device=weights.device)
            for chunk in chunks:
                total += (part := rows(chunk) if kept is None else kept[chunk]).T @ part
            products = Products(total, of_rows=False)
        return cls(products, rows if kept is None else kept.__getitem__, targets, weights, dtype, memory_bytes, groups)

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.weights)

    @property
    def unit(self) -> float:
        """The mean square of a row, ‖√w (x − x̄)‖²; 1 where all rows are alike, which no penalty changes."""
        return self.products.squares / self.count or 1.0

    @cached_property
    def width(self) -> int:
        """Number of columns of Z."""
        return _shape(self.rows)[0]

    @property
    def most(self) -> int:
        """The larger of the width and the side of the products."""
        return max(self.width, len(self.products.matrix))

    @cached_property
    def roots(self) -> Tensor:
        """√w, [n, 1]."""
        return self.weights.to(self.dtype).sqrt()[:, None]

    @cached_property
    def axis(self) -> Tensor:
        """u, [n, 1]."""
        found: Tensor = self.roots / self.roots.norm()
        return found

    @cached_property
    def centred(self) -> Tensor:
        """√w (y − ȳ), [n, k]: what the weighted targets are beside the intercept."""
        return self.roots * (self.targets - self.mean).to(self.dtype)

    @cached_property
    def mean(self) -> Tensor:
        """ȳ, float64 [k]."""
        shares = self.weights.double() / self.weights.sum()
        found: Tensor = shares @ self.targets.double()
        return found

    @cached_property
    def moments(self) -> Tensor:
        """Zᵀ √w (y − ȳ), float64 [d, k]."""
        return torch.stack([rows.T @ self.centred[at] for at, rows in self.blocks(0)]).sum(0, dtype=torch.float64)

    @cached_property
    def alike(self) -> list[Tensor]:
        """Rows that are left out together, [groups, size], for each size of two and more."""
        if self.groups is None:
            return []
        _, numbers, counts = self.groups.unique(return_inverse=True, return_counts=True)
        order = numbers.argsort(stable=True)
        sizes = counts[numbers[order]]
        return [order[sizes == size].view(-1, size) for size in counts.unique().tolist() if size > 1]

    def blocks(self, values: int) -> Iterator[tuple[slice, Tensor]]:
        """Positions and their rows of Z, as many at a time as `values` further numbers a row allow."""
        size = max(1, self.memory_bytes // (32 * (1 + values + self.width)))
        for start in range(0, self.count, size):
            at = slice(start, min(self.count, start + size))
            yield at, self.rows(at)


def _shape(rows: Read) -> tuple[int, torch.dtype]:
    """Number of columns of Z, and its type."""
    first = rows(slice(0, 1))
    return first.shape[1], first.dtype
