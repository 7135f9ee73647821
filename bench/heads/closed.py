"""Ridge regression in closed form: every penalty and every fold from one factorisation.

What is minimised over the coefficients B [d, k] and the intercept b [k], for rows x and targets y:

    Σ w · ‖y − b − Bᵀ x‖² + λ ‖B‖²

that is `sklearn.linear_model.Ridge(alpha=λ).fit(X, Y, sample_weight=w)`. With the rows √w (x − x̄) (x̄ the weighted mean)
in their principal axes, beside them √w as one more axis without penalty, which is the intercept, the matrix to be
inverted is diagonal for every λ. Call these rows Z, their squares' sums along the axes s, and H = Z (s + λ)⁻¹ Zᵀ. Then

- a row's residual when it is left out is its residual divided by 1 − H_ii (Allen 1974, PRESS);
- a block's residual when all of its rows are left out (a fold, a group) is (I − H_bb)⁻¹ times its residual, or, where
  it has more rows than there are axes, follows from the coefficients without it, whose matrix is (s + λ) − Z_bᵀ Z_b.

Both are exact for rows that are standardised once and weights that are given once: the same numbers as fitting anew
without those rows gives. A fold's own standardisation and class weights would differ a little from those of all rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bench.heads.design import Design

PENALTIES = tuple(10.0 ** (exponent / 2) for exponent in range(-6, 5))
"""λ as multiples of the mean square of a row, which is the number of columns where they are standardised."""


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Ridge regressions of the same targets on the same rows.

    Attributes:
        design: The rows √w (x − x̄) in their principal axes.
        targets: [n, k].
        weights: w, [n]; above 0.
        memory_bytes: About how much may be used at a time, beside one block's products.
        groups: Rows of one number are left out together, int64 [n]; None: each by itself.
    """

    design: Design
    targets: Tensor
    weights: Tensor
    memory_bytes: int
    groups: Tensor | None = None

    @property
    def unit(self) -> float:
        """The mean square of a row, ‖√w (x − x̄)‖²."""
        return float(self.design.spectrum.sum())

    @cached_property
    def roots(self) -> Tensor:
        """√w, [n, 1]."""
        return self.weights.to(self.design.spectrum.dtype).sqrt()[:, None]

    @cached_property
    def weighted(self) -> Tensor:
        """√w y, [n, k]."""
        return self.targets.to(self.roots.dtype) * self.roots

    @cached_property
    def moments(self) -> Tensor:
        """Zᵀ √w y, [axes + 1, k]; the last row is the intercept's."""
        axes = len(self.design.spectrum)
        found = self.weighted.new_zeros(axes + 1, self.targets.shape[1], dtype=torch.float64)
        for positions, rows in self._blocks(axes):
            found += rows.T @ self.weighted[positions]
        return found.to(self.roots.dtype)

    def errors(self, penalties: Sequence[float]) -> list[float]:
        """The weighted mean square of the residuals of left-out rows, one for each λ."""
        if self.groups is not None:
            return list(map(self._error, penalties))
        inverse = self._inverse(penalties)
        # [axes + 1, penalties, k]: all coefficients side by side
        coefficients = inverse[:, :, None] * self.moments[:, None, :]
        found = inverse.new_zeros(len(penalties), dtype=torch.float64)
        for positions, rows in self._blocks(len(inverse) + coefficients[0].numel()):
            residuals = self.weighted[positions][:, None] - (rows @ coefficients.flatten(1)).view(
                len(rows), *coefficients.shape[1:]
            )
            left = _above_zero(1 - rows.square() @ inverse)
            found += (residuals / left[:, :, None]).square().sum((0, 2), dtype=torch.float64)
        return (found / (self.weights.sum() * self.targets.shape[1])).tolist()

    def left_out(self, penalty: float) -> Tensor:
        """What is said of each row by the regression on all others, or on all others' groups, [n, k]."""
        inverse = self._inverse([penalty])
        found = torch.empty_like(self.weighted)
        single, *several = self._alike()
        for positions in self._chunks(single.flatten(), len(inverse)):
            rows = self._rows(positions)
            left = _above_zero(1 - rows.square() @ inverse)
            residuals = self.weighted[positions] - rows @ (inverse * self.moments)
            found[positions] = self.targets[positions] - residuals / left / self.roots[positions]
        for blocks in several:
            size = blocks.shape[1]
            for chunk in self._chunks(blocks, size * (len(inverse) + size)):
                found[chunk] = self._without(penalty, chunk)
        return found

    def out_of_fold(self, penalty: float, folds: Tensor) -> Tensor:
        """What is said of each row by the regression on the rows of the other folds.

        Args:
            penalty: λ.
            folds: The fold of each row in each repetition, int64 [repetitions, n]; rows of fold −1 are never left out.

        Returns:
            [repetitions, n, k]; NaN for rows of fold −1.
        """
        found = self.weighted.new_full((len(folds), *self.weighted.shape), torch.nan)
        for number, repetition in enumerate(folds):
            for fold in repetition.unique():
                if fold >= 0:
                    block = (repetition == fold).nonzero().flatten()
                    found[number, block] = self._without(penalty, block[None])[0]
        return found

    def coefficients(self, penalty: float) -> tuple[Tensor, Tensor]:
        """B along the axes, [axes, k], and what is said of x̄, [k]."""
        found = self._inverse([penalty]) * self.moments
        return found[:-1], found[-1]

    def _error(self, penalty: float) -> float:
        """The weighted mean square of the residuals of rows whose groups were left out."""
        try:
            residuals = (self.targets - self.left_out(penalty)) * self.roots
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            return float("inf")  # next to no penalty, and a group without which rounding decides
        return float(residuals.square().mean(1, dtype=torch.float64).sum() / self.weights.sum())

    def _alike(self) -> list[Tensor]:
        """Rows that are left out together, [groups, size]: first those of size 1, then the larger ones by size."""
        if self.groups is None:
            return [torch.arange(self.design.count, device=self.roots.device)[:, None]]
        _, numbers, counts = self.groups.unique(return_inverse=True, return_counts=True)
        order = numbers.argsort(stable=True)
        sizes = counts[numbers[order]]
        larger = [int(size) for size in counts.unique() if size > 1]
        return [order[sizes == size].view(-1, size) for size in (1, *larger)]

    def _without(self, penalty: float, blocks: Tensor) -> Tensor:
        """What is said of each block's rows [blocks, rows] by the regression on all others, [blocks, rows, k]."""
        inverse = self._inverse([penalty])
        if blocks.shape[1] > len(inverse):
            return torch.stack([self._without_many(inverse, block) for block in blocks])
        rows = self._rows(blocks.flatten()).view(*blocks.shape, -1)
        residuals = self.weighted[blocks] - rows @ (inverse * self.moments)
        hat = (rows * inverse.T) @ rows.mT
        factor = torch.linalg.cholesky(torch.eye(blocks.shape[1]).to(hat) - hat)
        return self.targets[blocks] - torch.cholesky_solve(residuals, factor) / self.roots[blocks]

    def _without_many(self, inverse: Tensor, block: Tensor) -> Tensor:
        """The same of one block that has more rows than there are axes, [rows, k]."""
        matrix, moments = (1 / inverse).flatten().diag(), self.moments.clone()
        for positions in self._chunks(block, len(inverse)):
            rows = self._rows(positions)
            matrix -= rows.T @ rows
            moments -= rows.T @ self.weighted[positions]
        coefficients = torch.cholesky_solve(moments, torch.linalg.cholesky(matrix))
        return torch.cat(
            [self._rows(each) @ coefficients / self.roots[each] for each in self._chunks(block, len(inverse))]
        )

    def _inverse(self, penalties: Sequence[float]) -> Tensor:
        """1 / (s + λ), [axes + 1, penalties]; the intercept has no penalty."""
        squares = self.design.spectrum * self.design.count
        axes = 1 / (squares[:, None] + squares.new_tensor(penalties))
        return torch.cat([axes, axes.new_full((1, len(penalties)), 1 / float(self.weights.sum()))])

    def _rows(self, positions: Tensor) -> Tensor:
        """Z at some positions, [positions, axes + 1]."""
        return torch.cat([self.design.read(positions), self.roots[positions]], 1)

    def _blocks(self, values: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All positions and their rows of Z, as many at a time as `values` numbers a row allow."""
        for positions in self._chunks(torch.arange(self.design.count, device=self.roots.device), values):
            yield positions, self._rows(positions)

    def _chunks(self, positions: Tensor, values: int) -> Sequence[Tensor]:
        size = max(1, self.memory_bytes // (32 * (1 + values + self.design.width)))
        return list(positions.split(size))


def _above_zero(left: Tensor) -> Tensor:
    """1 − H_ii, which rounding may bring to zero where the penalty is next to nothing."""
    return left.clamp_min(torch.finfo(left.dtype).eps)
