"""Converged multinomial logistic regression, its C chosen by cross-validation within the training rows.

For every job the inner folds are one batch of convex problems that share one matrix. C is raised along its grid, each
solution beginning at the one before, until something was learned and the held-out loss rises: beyond its minimum the
problems cost most, and nothing that is chosen depends on them. The head itself begins at the mean of the folds'
solutions. The matrix is expressed in its principal axes and the classes in those of their covariance, where the
Hessian is diagonal at the start and nearly so on the way: the diagonal that it has where a solution begins
preconditions L-BFGS. With fewer rows than columns the axes are fewer, without loss.

Objective: scikit-learn's. (1 / n) Σ w · cross-entropy + ‖W‖² / (2 C n), the intercept unpenalised, with rows' weights w
by class (`Logistic.class_weight`); with two classes the penalty of the two-column form is doubled, so that C means what
it means there. Held-out rows have the same weights.
Grid: C = 1e-5, 1e-4 … 1e2, on standardised features. Chosen: the first minimum of the held-out log-loss over three
stratified inner folds that is below that of the classes' shares by `LEARNED`, else the least of all: where a few
large axes say nothing of the classes, the loss rises a little at first and falls far below when the smaller ones come
in. Rows of one group are held out together, the only row or group of a class never. Losses that are a decade of C apart
are told apart long before a problem has converged, so the path is solved to `TUNING` in float32 and the head to
`TOLERANCE`.
What it is fitted on: see `bench.heads.linear`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, groupby
from typing import Any

import torch
from torch import Tensor

from bench.heads.design import Design
from bench.heads.inner import inner_folds
from bench.heads.kinds import Job, Problem, Trained, head
from bench.heads.lbfgs import Objective, Solution, minimise
from bench.heads.linear import Fused, each_solved, same_features
from bench.heads.pipeline import Affine
from bench.heads.several import settled, thresholds
from bench.heads.weights import class_weights
from bench.specs import Logistic

GRID = tuple(10.0**exponent for exponent in range(-5, 3))
INNER_FOLDS = 3
# On the gradient's Euclidean norm, by arithmetic; scikit-learn's default is 1e-4 on its largest component alone.
TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-5}
ROUGH, TUNING = torch.float32, 5e-5
ITERATIONS = 2000
# Of the log-loss of the classes' shares: what a first minimum has to be below by.
LEARNED = 0.02
# Of the largest curvature: what is smaller is rounding.
FLAT = 1e-6


@head(Logistic)
def train(problem: Problem) -> list[Trained]:
    """Converged logistic regression, C tuned within the training rows (the sceptic's control)."""
    alike = [list(jobs) for _, jobs in groupby(problem.jobs, partial(same_features, problem))]
    return list(chain.from_iterable(each_solved(problem, partial(_train, problem), alike)))


@head(Logistic, tasks=("multilabel",))
def train_labels(problem: Problem) -> list[Trained]:
    """Converged logistic regression of each label on its own, with its own C and threshold."""
    return each_solved(problem, partial(_train_labels, problem), problem.jobs)


@torch.no_grad()
def _train_labels(problem: Problem, job: Job) -> Trained:
    """One design for all labels; what a label's folds say of the rows held out tells its threshold."""
    fused = Fused.of(problem, job)
    design = Design.of(fused.read, fused.rows, problem.memory_bytes)
    width = design.width
    layer = Affine(
        torch.zeros(problem.classes, width, device=problem.device), torch.zeros(problem.classes).to(problem.device)
    )
    rough_design = design.kept_as(ROUGH) if design.spectrum.dtype != ROUGH else design
    report: dict[str, float] = {"converged": True}
    for label, there in enumerate(fused.labels.T):
        if len(there.unique()) < 2:
            continue
        weights = class_weights(there, problem.settings.class_weight)
        task = _Task(design, there, weights, 2, problem.memory_bytes)
        folds = inner_folds(there, fused.groups, INNER_FOLDS, job.seed)
        rough = replace(task, design=rough_design)
        c, near = rough.tune(folds)
        solution = task.solve(task.given[None], c, near.mean(0, keepdim=True).to(task.dtype), TOLERANCE[task.dtype])
        weight, bias = task.coefficients(solution.points[0])
        held = (folds >= 0).nonzero().flatten()
        outputs = rough.difference(near)[folds[held], held]
        least = thresholds(outputs[:, None].double(), there[held, None], 0.0)
        layer.weight[label], layer.bias[label] = weight[1] - weight[0], bias[1] - bias[0] - least[0].float()
        report[f"C {label}"] = c
        report["converged"] = bool(report["converged"]) and bool(solution.converged[0])
    return fused.trained(settled(layer, fused.labels), report)


@torch.no_grad()
def _train(problem: Problem, jobs: Sequence[Job]) -> list[Trained]:
    """Heads of jobs on the same features, whose seeds draw the inner folds."""
    fused = Fused.of(problem, jobs[0])
    design = Design.of(fused.read, fused.rows, problem.memory_bytes)
    weights = class_weights(fused.labels, problem.settings.class_weight)
    task = _Task(design, fused.labels, weights, len(fused.present), problem.memory_bytes)
    rough = replace(task, design=design.kept_as(ROUGH)) if task.dtype != ROUGH else task
    found = []
    for job in jobs:
        c, near = rough.tune(inner_folds(fused.labels, fused.groups, INNER_FOLDS, job.seed))
        near = near.mean(0, keepdim=True)
        solution = task.solve(task.given[None], c, near.to(task.dtype), TOLERANCE[task.dtype])
        report = {
            "C": c,
            "penalty": _penalty(c, task.classes, design.count),
            "iterations": int(solution.iterations[0]),
            "gradient": float(solution.gradients[0]),
            "converged": bool(solution.converged[0]),
        }
        found.append(fused.trained(task.coefficients(solution.points[0]), report))
    return found


def _penalty(c: Any, classes: int, rows: Any) -> Any:
    """The weight of ‖W‖² / 2 beside the mean cross-entropy.

    Two classes have two columns of coefficients here and one in the form that C is known from.
    """
    return (2 if classes == 2 else 1) / (c * rows)


@dataclass(frozen=True, eq=False)
class _Task:
    """Logistic regressions on one design, many at a time, whose rows have `weights` [n] that are 1 on average.

    A point is the coefficients [classes, axes + 1] of one problem, flattened; their last column is the intercept, their
    rows are turned by the classes' basis. Rows of the design come last in what is computed of them: a softmax over what
    lies side by side in memory is slow.
    """

    design: Design
    labels: Tensor
    weights: Tensor
    classes: int
    memory_bytes: int

    @property
    def given(self) -> Tensor:
        """The weights in the arithmetic's type, [n]."""
        return self.weights.to(self.dtype)

    @property
    def dtype(self) -> torch.dtype:
        """Of the arithmetic."""
        return self.design.spectrum.dtype

    @property
    def axes(self) -> int:
        """Number of columns of the design."""
        return len(self.design.spectrum)

    @cached_property
    def turned(self) -> tuple[Tensor, Tensor]:
        """The axes of the classes' covariance as rows, and the first point's intercepts along them.

        Where every row is given the classes' shares, as at the start, that covariance is the Hessian over classes
        (Böhning 1992). In float64 whatever the arithmetic, so that tasks of the same labels share it.
        """
        shares = self.labels.bincount(self.weights, minlength=self.classes) / self.design.count
        _, columns = torch.linalg.eigh(shares.diag() - shares[:, None] * shares)
        return columns.T.to(self.dtype), (columns.T @ shares.log()).to(self.dtype)

    def tune(self, folds: Tensor) -> tuple[float, Tensor]:
        """The C at which the log-loss of the held-out rows has its minimum, and the folds' solutions there."""
        held_out = self.given * torch.stack([folds == fold for fold in range(INNER_FOLDS)])
        # Weighted by the rows that were held out, and without penalty, the objective is the log-loss.
        log_loss = self._objective(held_out, held_out.new_zeros(INNER_FOLDS))
        problems = torch.arange(INNER_FOLDS, device=held_out.device)
        start = held_out.new_zeros(INNER_FOLDS, self.classes, self.axes + 1)
        start[:, :, -1] = self.turned[1]
        points = chosen = start.flatten(1)
        enough = (1 - LEARNED) * float(log_loss(points, problems)[0].sum())
        best, least = GRID[0], float("inf")
        for c in GRID:
            points = self.solve(self.given - held_out, c, points, TUNING).points
            if (loss := float(log_loss(points, problems)[0].sum())) < least:
                best, chosen, least = c, points, loss
            elif least < enough:
                break
        return best, chosen

    def solve(self, included: Tensor, c: float, start: Tensor, tolerance: float) -> Solution:
        """Fit one problem per row of `included` [problems, rows]: the weights of rows that it sees, 0 for others."""
        counts = included.sum(1)
        penalties = _penalty(c, self.classes, counts)
        weights = included / counts[:, None]
        return minimise(
            self._objective(weights, penalties),
            start,
            1 / self._curvatures(start, weights, penalties),
            tolerance=tolerance,
            iterations=ITERATIONS,
        )

    def difference(self, points: Tensor) -> Tensor:
        """Of two classes, by how much the second is said to be the likelier one, [problems, rows]."""
        turned = points.view(len(points), self.classes, self.axes + 1)
        return torch.cat([scores[:, 1] - scores[:, 0] for _, _, scores in self._scores(turned)], 1)

    def coefficients(self, point: Tensor) -> Affine:
        """A point as a layer on the features' own axes."""
        matrix = self.turned[0].T @ point.view(self.classes, self.axes + 1)
        weight = matrix[:, :-1] if self.design.basis is None else matrix[:, :-1] @ self.design.basis.T
        return Affine(weight.float(), matrix[:, -1].float())

    def _objective(self, weights: Tensor, penalties: Tensor) -> Objective:
        """Σ weights · cross-entropy + penalty / 2 · ‖W‖², and its gradient, for `weights` [problems, rows]."""

        def objective(points: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
            turned = points.view(len(points), self.classes, self.axes + 1)
            penalty, share = penalties[which, None, None], weights[which, None]
            loss = (penalty * turned[:, :, :-1].square()).sum((1, 2)).double() / 2
            gradient = torch.zeros_like(turned).flatten(0, 1)
            for positions, rows, scores in self._scores(turned):
                labels = self.labels[positions].expand(len(points), 1, -1)
                given = share[:, :, positions]
                logs = scores.log_softmax(1)
                loss -= (logs.gather(1, labels) * given).sum((1, 2), dtype=torch.float64)
                residuals = logs.exp_().scatter_add_(1, labels, -torch.ones_like(given)).mul_(given).flatten(0, 1)
                gradient[:, :-1] += residuals @ rows
                gradient[:, -1] += residuals.sum(1)
            whole = self.turned[0] @ gradient.view_as(turned)
            whole[:, :, :-1] += penalty * turned[:, :, :-1]
            return loss, whole.flatten(1)

        return objective

    def _curvatures(self, points: Tensor, weights: Tensor, penalties: Tensor) -> Tensor:
        """The diagonal of the Hessian at `points`, of their shape."""
        turned = points.view(len(points), self.classes, self.axes + 1)
        found = torch.zeros_like(turned).flatten(0, 1)
        for positions, rows, scores in self._scores(turned):
            shares = scores.softmax(1)
            variances = self.turned[0].square() @ shares - (self.turned[0] @ shares).square()
            variances = (variances.clamp_min_(0) * weights[:, None, positions]).flatten(0, 1)
            found[:, :-1] += variances @ rows.square()
            found[:, -1] += variances.sum(1)
        whole = found.view_as(turned)
        whole[:, :, :-1] += penalties[:, None, None]
        # Equal intercepts change no probability: along their axis there is neither curvature nor a gradient.
        intercepts = whole[:, :, -1]
        whole[:, :, -1] = torch.where(intercepts > intercepts.amax(1, keepdim=True) * FLAT, intercepts, 1)
        return whole.flatten(1)

    def _scores(self, turned: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Positions, their rows [rows, axes], and what the problems say of them, [problems, classes, rows]."""
        matrix = (self.turned[0].T @ turned).flatten(0, 1)
        size = max(1, self.memory_bytes // (64 * len(matrix) + 32 * self.design.width))
        for positions, rows in self.design.blocks(size):
            scores = torch.addmm(matrix[:, -1:], matrix[:, :-1], rows.T)
            yield positions, rows, scores.view(len(turned), self.classes, -1)
