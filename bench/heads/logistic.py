"""Converged multinomial logistic regression, its C chosen by cross-validation within the training rows.

For every job the whole grid of C × inner folds is one batch of convex problems that share one matrix, and the final fit
is one more problem on it. The matrix is expressed in its principal axes and the classes in those of their covariance,
where the Hessian is diagonal at the start: L-BFGS with that diagonal takes a handful of steps where C is small, and
hundreds where it is large and the rows are separable. With fewer rows than columns the axes are fewer, without loss.

Objective: scikit-learn's. (1 / n) Σ cross-entropy + ‖W‖² / (2 C n), the intercept unpenalised; with two classes the
penalty of the two-column form is doubled, so that C means what it means there.
Grid: C = 1e-5, 1e-4 … 1e2, on standardised features. Chosen: the smallest held-out log-loss over three stratified
inner folds; the smaller C when two tie. The only row of a class is never held out. Losses that are a decade of C apart
are told apart long before a problem has converged, so the grid is solved to `TUNING` and the final fit to `TOLERANCE`.
What it is fitted on: see `bench.heads.linear`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.heads.design import Design
from bench.heads.kinds import Job, Problem, Trained, head
from bench.heads.lbfgs import HISTORY, Objective, Solution, minimise
from bench.heads.linear import Fused, same_features
from bench.heads.pipeline import Affine
from bench.specs import Logistic

GRID = tuple(10.0**exponent for exponent in range(-5, 3))
INNER_FOLDS = 3
# On the gradient's Euclidean norm, by arithmetic; scikit-learn's default is 1e-4 on its largest component alone.
TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-5}
TUNING = 1e-4
ITERATIONS = 2000


@head(Logistic)
def train(problem: Problem) -> list[Trained]:
    """Converged logistic regression, C tuned within the training rows (the sceptic's control)."""
    with torch.no_grad():
        alike = groupby(problem.jobs, partial(same_features, problem))
        return [trained for _, jobs in alike for trained in _train(problem, list(jobs))]


def _train(problem: Problem, jobs: Sequence[Job]) -> Iterator[Trained]:
    """Heads of jobs on the same features, whose seeds draw the inner folds: where C is the same, so is the head."""
    fused = Fused.of(problem, jobs[0])
    design = Design.of(fused.read, fused.rows, problem.memory_bytes)
    task = _Task(design, fused.labels, len(fused.present), problem.memory_bytes)
    known: dict[float, Trained] = {}
    for job in jobs:
        c = task.tune(_inner_folds(fused.labels, job.seed))
        if c not in known:
            known[c] = _fitted(fused, task, c)
        yield known[c]


def _fitted(fused: Fused, task: "_Task", c: float) -> Trained:
    solution = task.solve(torch.ones_like(task.labels, dtype=task.dtype)[:, None], [c], TOLERANCE[task.dtype])
    report = {
        "C": c,
        "penalty": _penalty(c, task.classes, task.design.count),
        "iterations": int(solution.iterations[0]),
        "gradient": float(solution.gradients[0]),
        "converged": bool(solution.converged[0]),
    }
    return fused.trained(task.coefficients(solution.points[0]), report)


def _penalty(c: Any, classes: int, rows: Any) -> Any:
    """The weight of ‖W‖² / 2 beside the mean cross-entropy.

    Two classes have two columns of coefficients here and one in the form that C is known from.
    """
    return (2 if classes == 2 else 1) / (c * rows)


def _inner_folds(labels: Tensor, seed: int) -> Tensor:
    """A fold per row, dealt out class by class in random order; −1 for the only row of a class."""
    y = labels.cpu().numpy()
    order = np.random.default_rng(seed).permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    folds = np.empty(len(y), dtype=np.int64)
    folds[order] = np.arange(len(y)) % INNER_FOLDS
    folds[np.bincount(y)[y] == 1] = -1
    return torch.from_numpy(folds).to(labels.device)


@dataclass(frozen=True, eq=False)
class _Task:
    """Weighted logistic regressions on one design, many at a time.

    A point is the coefficients [axes + 1, classes] of one problem, flattened; their last row is the intercept, their
    columns are turned by `basis`.
    """

    design: Design
    labels: Tensor
    classes: int
    memory_bytes: int

    @property
    def dtype(self) -> torch.dtype:
        """Of the arithmetic."""
        return self.design.spectrum.dtype

    @property
    def axes(self) -> int:
        """Number of columns of the design."""
        return len(self.design.spectrum)

    @cached_property
    def shares(self) -> Tensor:
        """The classes' shares of the rows."""
        return self.labels.bincount(minlength=self.classes).to(self.dtype) / self.design.count

    @cached_property
    def turned(self) -> tuple[Tensor, Tensor]:
        """Variances along the axes of the classes' covariance, ascending (the first is 0), and the axes as columns.

        Where every row is given the classes' shares, as at the start, this is the Hessian over classes (Böhning 1992).
        """
        variances, basis = torch.linalg.eigh(self.shares.diag() - self.shares[:, None] * self.shares)
        return variances.clamp_min(0), basis

    def tune(self, folds: Tensor) -> float:
        """The C with the smallest log-loss over the held-out rows."""
        held_out = torch.stack([folds == fold for fold in range(INNER_FOLDS)], dim=1).to(self.dtype)
        # A point, its gradient, the steps' history and as much again on the way.
        each = (2 * HISTORY + 8) * (self.axes + 1) * self.classes * self.dtype.itemsize
        size = max(1, self.memory_bytes // (2 * each * INNER_FOLDS))
        losses: list[float] = []
        for start in range(0, len(GRID), size):
            cs = GRID[start : start + size]
            columns = held_out.repeat(1, len(cs))
            solution = self.solve(1 - columns, [c for c in cs for _ in range(INNER_FOLDS)], TUNING)
            problems = torch.arange(len(solution.points), device=columns.device)
            # Weighted by the rows that were held out, and without penalty, the objective is the log-loss.
            loss, _ = self._objective(columns, torch.zeros_like(solution.gradients))(solution.points, problems)
            losses += loss.view(len(cs), INNER_FOLDS).sum(1).tolist()
        return GRID[losses.index(min(losses))]

    def solve(self, included: Tensor, cs: list[float], tolerance: float) -> Solution:
        """Fit one problem per column of `included` [rows, problems], which says which rows it sees (1 or 0)."""
        counts = included.sum(0)
        penalties = _penalty(torch.tensor(cs).to(counts), self.classes, counts)
        variances, basis = self.turned
        start = torch.zeros(len(cs), self.axes + 1, self.classes).to(counts)
        start[:, -1] = self.shares.log() @ basis
        slopes = self.design.spectrum[:, None] * variances + penalties[:, None, None]
        # Equal intercepts change no probability: along their axis there is neither curvature nor a gradient.
        intercepts = torch.where(variances > variances.max() * 1e-9, variances, 1).expand(len(cs), 1, -1)
        diagonal = torch.cat([slopes, intercepts], dim=1)
        return minimise(
            self._objective(included / counts, penalties),
            start.flatten(1),
            1 / diagonal.flatten(1),
            tolerance=tolerance,
            iterations=ITERATIONS,
        )

    def coefficients(self, point: Tensor) -> Affine:
        """A point as a layer on the features' own axes."""
        matrix = point.view(self.axes + 1, self.classes) @ self.turned[1].T
        weight = matrix[:-1] if self.design.basis is None else self.design.basis @ matrix[:-1]
        return Affine(weight.T.float(), matrix[-1].float())

    def _objective(self, weights: Tensor, penalties: Tensor) -> Objective:
        """Σ weights · cross-entropy + penalty / 2 · ‖W‖², and its gradient, for `weights` [rows, problems]."""
        basis = self.turned[1]

        def objective(points: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
            problems = len(points)
            turned = points.view(problems, self.axes + 1, self.classes)
            matrix = turned @ basis.T
            penalty = penalties[which, None, None]
            slopes = matrix[:, :-1].transpose(0, 1).reshape(self.axes, problems * self.classes)
            loss = (penalty * matrix[:, :-1].square()).sum((1, 2)).double() / 2
            gradient = torch.zeros_like(slopes)
            intercepts = slopes.new_zeros(problems * self.classes)
            size = max(1, self.memory_bytes // (64 * problems * self.classes + 32 * self.design.width))
            for positions, rows in self.design.blocks(size):
                labels = self.labels[positions, None, None].expand(-1, problems, 1)
                share = weights[positions][:, which].unsqueeze(-1)
                scores = torch.addmm(matrix[:, -1].reshape(1, -1), rows, slopes).view(-1, problems, self.classes)
                logs = scores.log_softmax(-1)
                loss -= (logs.gather(-1, labels) * share).sum((0, 2), dtype=torch.float64)
                residuals = logs.exp_().scatter_add_(-1, labels, -torch.ones_like(share)).mul_(share).flatten(1)
                gradient += rows.T @ residuals
                intercepts += residuals.sum(0)
            whole = torch.cat([gradient, intercepts[None]]).view(-1, problems, self.classes).transpose(0, 1) @ basis
            whole[:, :-1] += penalty * turned[:, :-1]
            return loss, whole.flatten(1)

        return objective
