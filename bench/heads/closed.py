"""Ridge regression in closed form: what it says of rows that it has not seen, from what it says of those that it has.

What is minimised over the coefficients B [d, k] and the intercept b [k], for rows x and targets y:

    Σ w · ‖y − b − Bᵀ x‖² + λ ‖B‖²

that is `sklearn.linear_model.Ridge(alpha=λ).fit(X, Y, sample_weight=w)`. Call Z the rows √w (x − x̄) (x̄ the weighted
mean), u the vector √w / ‖√w‖, which is the intercept's and has no penalty, and

    M = I − Z (ZᵀZ + λ)⁻¹ Zᵀ − u uᵀ = λ (ZZᵀ + λ)⁻¹ − u uᵀ

what is left of weighted targets √w y when they are predicted. Then

- a row's residual when it is left out is its residual divided by M_ii (Allen 1974, PRESS);
- a block's residual when all of its rows are left out (a fold, a group) is M_bb⁻¹ times its residual.

Both are exact for rows that are standardised once and weights that are given once: the same numbers as fitting anew
without those rows gives. A fold's own standardisation and class weights would differ a little from those of all rows.

The first form of M needs the inverse of the columns' products, the second that of the rows' products: the one is for
fewer columns, the other for fewer rows (`bench.heads.regression`). A penalty takes one such inverse, in float32 a tenth
of what the principal axes take that would serve all penalties. Few are looked at: the inverse says as well how the
error of left-out rows changes with λ, and downhill lies its minimum (`best_fit`). Nothing forbids a second one; in 660
fits on three data sets all penalties led to the same choice (docs/design/ridge.md).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from bench.heads.regression import LeastSquares

PENALTIES = tuple(10.0 ** (exponent / 2) for exponent in range(-6, 5))
"""λ as multiples of the mean square of a row, which is the number of columns where they are standardised."""
REFINED = 1
"""Steps of iterative refinement (Higham 2002, chapter 12) by which coefficients gain what float32 lacks."""


class BestFit(NamedTuple):
    """The penalty under which left-out rows are predicted best, by its place among those given, and its regression."""

    place: int
    fit: "Fit"


def fitted(problem: LeastSquares, penalty: float) -> "Fit":
    """The regression under one λ.

    Raises:
        torch.linalg.LinAlgError: there is next to no penalty, and rounding decides.
    """
    return (_OfRows if problem.products.of_rows else _OfColumns)(problem, penalty)


def best_fit(problem: LeastSquares, penalties: Sequence[float]) -> BestFit:
    """From the mean square of a row downhill to where, of some λ, ascending, the error of left-out rows is smallest."""

    def at(place: int) -> Fit | None:
        try:
            return fitted(problem, penalties[place])
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            return None  # next to no penalty: a larger one is wanted

    place = min(range(len(penalties)), key=lambda each: abs(math.log(penalties[each] / problem.unit)))
    before, fit = -1, at(place)
    while True:
        further = place + (1 if fit is None or fit.slope < 0 else -1)
        if further == before or not 0 <= further < len(penalties):
            break
        other = at(further)
        if fit is not None and (other is None or other.error >= fit.error):
            break
        before, place, fit = place, further, other
    if fit is None:
        raise torch.linalg.LinAlgError("no penalty is large enough")  # type: ignore[attr-defined]
    return BestFit(place, fit)


class Fit(ABC):
    """The regression under one λ.

    Attributes:
        residuals: M √w y, [n, k].
        diagonal: M_ii, [n, 1].
        slopes: Of both, by λ.
    """

    residuals: Tensor
    diagonal: Tensor
    slopes: tuple[Tensor, Tensor]

    def __init__(self, problem: LeastSquares, penalty: float) -> None:
        self.problem, self.penalty = problem, penalty

    @abstractmethod
    def block(self, blocks: Tensor) -> Tensor:
        """M_bb, [blocks, size, size], for positions [blocks, size]."""

    @abstractmethod
    def block_slope(self, blocks: Tensor) -> Tensor:
        """The same of its slope by λ."""

    @abstractmethod
    def coefficients(self) -> Tensor:
        """B, float64 [d, k]; what is said of x̄ is ȳ."""

    @cached_property
    def error(self) -> float:
        """The weighted mean square of the residuals of left-out rows or groups."""
        squares = self._left[0].square().sum(dtype=torch.float64)
        return float(squares / (self.problem.weights.sum() * self.problem.targets.shape[1]))

    @cached_property
    def slope(self) -> float:
        """Of the error, by λ, up to a positive factor."""
        left, slopes = self._left
        return float((left * slopes).sum(dtype=torch.float64))

    def left_out(self) -> Tensor:
        """What is said of each row by the regression on all others, or on all others' groups, [n, k]."""
        return self.problem.targets - self._left[0] / self.problem.roots

    def out_of_fold(self, folds: Tensor) -> Tensor:
        """What is said of each row by the regression on the rows of the other folds.

        Args:
            folds: The fold of each row in each repetition, int64 [repetitions, n]; rows of fold −1 are never left out.

        Returns:
            [repetitions, n, k]; NaN for rows of fold −1.
        """
        found = self.problem.centred.new_full((len(folds), *self.problem.targets.shape), torch.nan)
        for number, repetition in enumerate(folds):
            for fold in repetition.unique():
                if fold >= 0:
                    rows = (repetition == fold).nonzero().flatten()
                    residuals = self._without(rows[None])[0]
                    found[number, rows] = self.problem.targets[rows] - residuals / self.problem.roots[rows]
        return found

    @cached_property
    def _left(self) -> tuple[Tensor, Tensor]:
        """The residuals of rows that are left out, with their groups, and their slopes by λ, [n, k] each."""
        # what rounding may bring to zero where the penalty is next to nothing
        diagonal = self.diagonal.clamp_min(torch.finfo(self.problem.dtype).eps)
        found = self.residuals / diagonal
        slopes = (self.slopes[0] - self.slopes[1] * found) / diagonal
        for blocks in self.problem.alike:
            size = blocks.shape[1]
            for chunk in blocks.split(max(1, self.problem.memory_bytes // (32 * size * (self.problem.most + size)))):
                factor = torch.linalg.cholesky(self.block(chunk))
                found[chunk] = torch.cholesky_solve(self.residuals[chunk], factor)
                change = self.slopes[0][chunk] - self.block_slope(chunk) @ found[chunk]
                slopes[chunk] = torch.cholesky_solve(change, factor)
        return found, slopes

    def _without(self, blocks: Tensor) -> Tensor:
        """The residuals of blocks of rows [blocks, size] under the regression on all others, [blocks, size, k]."""
        return torch.cholesky_solve(self.residuals[blocks], torch.linalg.cholesky(self.block(blocks)))


class _OfRows(Fit):
    """By P = (ZZᵀ + λ)⁻¹, of which every block of M is a block; its slope is −P²."""

    def __init__(self, problem: LeastSquares, penalty: float) -> None:
        super().__init__(problem, penalty)
        self._inverse = _inverse(problem.products.matrix, penalty)
        self._solved = self._inverse @ problem.centred
        diagonal = self._inverse.diagonal()[:, None]
        self.residuals = penalty * self._solved
        self.diagonal = penalty * diagonal - problem.axis.square()
        self.slopes = (
            self._solved - penalty * (self._inverse @ self._solved),
            diagonal - penalty * self._inverse.square().sum(1, keepdim=True),
        )

    def block(self, blocks: Tensor) -> Tensor:
        axis = self.problem.axis[blocks]
        return self.penalty * self._inverse[blocks[:, :, None], blocks[:, None, :]] - axis @ axis.mT

    def block_slope(self, blocks: Tensor) -> Tensor:
        rows = self._inverse[blocks]
        return self._inverse[blocks[:, :, None], blocks[:, None, :]] - self.penalty * rows @ rows.mT

    def coefficients(self) -> Tensor:
        problem, solved = self.problem, self._solved.double()
        rows = problem.rows(slice(0, problem.count)).double()
        for _ in range(REFINED if problem.dtype == torch.float32 else 0):
            rest = problem.centred.double() - rows @ (rows.T @ solved) - self.penalty * solved
            solved += (self._inverse @ rest.to(problem.dtype)).double()
        return rows.T @ solved


class _OfColumns(Fit):
    """By S = (ZᵀZ + λ)⁻¹: M is I − Z S Zᵀ − u uᵀ, and its slope Z S² Zᵀ."""

    def __init__(self, problem: LeastSquares, penalty: float) -> None:
        super().__init__(problem, penalty)
        self._whole = _inverse(problem.products.matrix, penalty)
        self._inverse = self._whole.to(problem.dtype)
        self._solved = self._whole @ problem.moments.to(self._whole.dtype)
        solved = self._solved.to(problem.dtype)
        parts = []
        for at, rows in problem.blocks(problem.width):
            through = rows @ self._inverse
            hat = (through * rows).sum(1, keepdim=True)
            parts.append(
                (
                    problem.centred[at] - rows @ solved,
                    1 - hat - problem.axis[at].square(),
                    through @ solved,
                    through.square().sum(1, keepdim=True),
                )
            )
        self.residuals, self.diagonal, *slopes = map(torch.cat, zip(*parts, strict=True))
        self.slopes = (slopes[0], slopes[1])

    def block(self, blocks: Tensor) -> Tensor:
        rows, axis = self._rows(blocks), self.problem.axis[blocks]
        return torch.eye(blocks.shape[1]).to(rows) - rows @ self._inverse @ rows.mT - axis @ axis.mT

    def block_slope(self, blocks: Tensor) -> Tensor:
        through = self._rows(blocks) @ self._inverse
        return through @ through.mT

    def _rows(self, blocks: Tensor) -> Tensor:
        return self.problem.rows(blocks.flatten()).view(*blocks.shape, -1)

    def _without(self, blocks: Tensor) -> Tensor:
        if blocks.shape[1] <= self.problem.width + 1:
            return super()._without(blocks)
        return torch.stack([self._without_many(block) for block in blocks])

    def _without_many(self, block: Tensor) -> Tensor:
        """The same of one block that has more rows than there are columns: by the products without it, [size, k]."""
        problem = self.problem
        width = problem.width
        matrix = torch.zeros(width + 1, width + 1).to(self._whole)
        matrix[:-1, :-1] = _plus(problem.products.matrix, self.penalty)
        matrix[-1, -1] = problem.weights.sum()
        moments = torch.cat([problem.moments, torch.zeros(1, problem.targets.shape[1]).to(problem.moments)]).to(matrix)
        chunks = block.split(max(1, problem.memory_bytes // (32 * (2 * width + 1))))
        for chunk in chunks:
            rows = self._with_axis(chunk)
            matrix -= rows.T @ rows
            moments -= rows.T @ problem.centred[chunk]
        found = torch.cholesky_solve(moments, torch.linalg.cholesky(matrix)).to(problem.dtype)
        return torch.cat([problem.centred[chunk] - self._with_axis(chunk) @ found for chunk in chunks])

    def _with_axis(self, positions: Tensor) -> Tensor:
        """Rows of Z and √w, [positions, d + 1]."""
        return torch.cat([self.problem.rows(positions), self.problem.roots[positions]], 1)

    def coefficients(self) -> Tensor:
        problem, found = self.problem, self._solved.double()
        for _ in range(REFINED if problem.dtype == torch.float32 else 0):
            rest = -self.penalty * found
            for at, rows in problem.blocks(2 * problem.width):
                double = rows.double()
                rest += double.T @ (problem.centred[at].double() - double @ found)
            found = found + (self._whole @ rest.to(self._whole)).double()
        return found


def _plus(matrix: Tensor, penalty: float) -> Tensor:
    """The matrix with a penalty on its diagonal."""
    found = matrix.clone()
    found.diagonal().add_(penalty)
    return found


def _inverse(matrix: Tensor, penalty: float) -> Tensor:
    """(matrix + λ)⁻¹."""
    return torch.cholesky_inverse(torch.linalg.cholesky(_plus(matrix, penalty)))
