"""Ridge regression on one-hot targets, its penalty chosen by leaving out single training rows or groups.

A linear head that is solved rather than trained: a factorisation for each penalty that is looked at, of the rows'
products where they are fewer than the columns, else of the columns' (see `bench.heads.closed`). Beyond `LARGEST_BASIS`
rows and columns the coefficients are looked for in the span of so many of the training rows, which the job's seed
draws.

Objective: Σ w ‖y − b − W x‖² + λ ‖W‖² over the standardised features x and one-hot targets y, that is scikit-learn's
`RidgeClassifier(alpha=λ)`. The rows' weights follow from the frequency of their class (`Ridge.class_weight`).
Grid: `PENALTIES` times the mean square of a row. Chosen: the smallest weighted mean squared error of rows left out,
those of one group together, to which one goes downhill from the mean square itself.

The regression's outputs estimate the classes' shares, but are no probabilities. Those are the softmax of T times the
outputs, with the T that gives the training rows, predicted by the regression without them, the smallest log-loss
(Guo et al. 2017; T is at least 1). One number for all classes changes no decision: the likeliest class is the one that
`RidgeClassifier` predicts. The tables behind the weighting and the calibration: docs/design/ridge.md.
"""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from bench.heads import design as axes
from bench.heads.closed import PENALTIES, best_fit
from bench.heads.grams import Centred
from bench.heads.kinds import Job, Problem, Trained, head
from bench.heads.linear import Fused, each_solved, same_features
from bench.heads.pipeline import Affine
from bench.heads.regression import LeastSquares
from bench.heads.several import settled, thresholds
from bench.heads.weights import class_weights
from bench.specs import Ridge

TEMPERATURES = 1.0, 1e3
START, PRECISE = 8.0, 1e-9
"""Where the search for a temperature begins, and how exactly it is found."""


@head(Ridge)
def train(problem: Problem) -> list[Trained]:
    """Ridge regression on one-hot classes, solved in closed form, its penalty by leave-one-out."""
    return _each_alike(problem, _train)


@head(Ridge, tasks=("multilabel",))
def train_labels(problem: Problem) -> list[Trained]:
    """Ridge regression on each label, 0 or 1, its penalty and the labels' thresholds by leave-one-out."""
    return _each_alike(problem, _train_labels)


def _each_alike(problem: Problem, solve: Callable[[Problem, Job], Trained]) -> list[Trained]:
    alike = [list(jobs) for _, jobs in groupby(problem.jobs, partial(_same, problem))]
    found = each_solved(problem, partial(solve, problem), [jobs[0] for jobs in alike])
    return [trained for trained, jobs in zip(found, alike, strict=True) for _ in jobs]


def _same(problem: Problem, job: Job) -> Hashable:
    """Equal for jobs whose heads are the same."""
    beyond = min(len(job.train), sum(x.shape[1] for x in problem.features)) > axes.LARGEST_BASIS
    return same_features(problem, job), job.seed if beyond else None


@torch.no_grad()
def _train(problem: Problem, job: Job) -> Trained:
    fused = Fused.of(problem, job)
    weights = class_weights(fused.labels, problem.settings.class_weight)
    targets = torch.nn.functional.one_hot(fused.labels, len(fused.present))
    found = _solved(fused, job, targets, weights)
    temperature = best_temperature(found.left_out, fused.labels)
    return fused.trained(found.layer(temperature), found.report | {"temperature": temperature})


@torch.no_grad()
def _train_labels(problem: Problem, job: Job) -> Trained:
    """One factorisation and one penalty for all labels; rows weigh alike, for what weights do the thresholds do."""
    fused = Fused.of(problem, job)
    weights = torch.ones(len(fused.rows), dtype=torch.float64, device=problem.device)
    found = _solved(fused, job, fused.labels, weights)
    least = thresholds(found.left_out.double(), fused.labels, 0.5)
    scale = _scale(found.left_out.double() - least, fused.labels)
    layer = settled(replace(found, mean=found.mean - least).layer(scale), fused.labels)
    return fused.trained(layer, found.report | {"scale": scale})


def _scale(outputs: Tensor, targets: Tensor) -> float:
    """The T within `TEMPERATURES` under which the logistic function of T · outputs has the smallest log-loss."""
    signs = 1 - 2 * targets.double()

    def loss(log: float) -> float:
        return float(torch.nn.functional.softplus(signs * outputs * math.exp(log)).mean())

    return math.exp(float(minimize_scalar(loss, bounds=tuple(map(math.log, TEMPERATURES)), method="bounded").x))


@dataclass(frozen=True, eq=False)
class _Solved:
    """A regression.

    Attributes:
        coefficients: Float64 [d, k].
        centre: The weighted mean of the rows, float64 [d].
        mean: What is said of it, float64 [k].
        left_out: What is said of each row by the regression without it, [rows, k].
        report: How it went.
    """

    coefficients: Tensor
    centre: Tensor
    mean: Tensor
    left_out: Tensor
    report: dict[str, float]

    def layer(self, factor: float) -> Affine:
        """What it says, times a factor."""
        weight = self.coefficients.T * factor
        return Affine(weight.float(), (self.mean * factor - weight @ self.centre).float())


def _solved(fused: Fused, job: Job, targets: Tensor, weights: Tensor) -> _Solved:
    problem = fused.problem
    count, width = len(fused.rows), fused.read(fused.rows[:1]).shape[1]
    read = fused.kept() if 16 * count * width <= problem.memory_bytes else lambda at: fused.read(fused.rows[at])
    centred = Centred.of(read, weights, axes.arithmetic(count, width))
    span = _span(centred, job.seed) if min(count, width) > axes.LARGEST_BASIS else None
    rows = centred if span is None else lambda positions: centred(positions) @ span
    regression = LeastSquares.of(rows, targets, weights, problem.memory_bytes, fused.groups)
    place, fit = best_fit(regression, [penalty * regression.unit for penalty in PENALTIES])
    coefficients = fit.coefficients() if span is None else span.double() @ fit.coefficients()
    report = {"penalty": PENALTIES[place], "alpha": PENALTIES[place] * regression.unit}
    return _Solved(coefficients, centred.mean.double(), regression.mean, fit.left_out(), report)


def _span(rows: Centred, seed: int) -> Tensor:
    """An orthonormal basis [d, axes] of what some rows span."""
    generator = torch.Generator().manual_seed(seed)
    some = torch.randperm(rows.count, generator=generator)[: axes.LARGEST_BASIS]
    basis: Tensor = torch.linalg.qr(rows(some.to(rows.mean.device)).T).Q
    return basis


def best_temperature(outputs: Tensor, labels: Tensor) -> float:
    """The T within `TEMPERATURES` whose softmax of T · outputs has the smallest log-loss.

    The loss is convex in T. Beside the rows there is one more whose label is every class in equal parts, without which
    rows that are all predicted right would have no best T.

    `bench.metrics.best_temperature` asks the same of any head's probabilities, once a pipeline. This one is part of a
    fit, on the fit's device, and of least squares' outputs, whose scale has no meaning: hence Newton's method and other
    bounds. In one function kept probabilities of ridge heads would change in the third digit.

    Args:
        outputs: Of rows that were left out, [n, classes].
        labels: Their classes, int64 [n].
    """
    outputs = outputs.double()
    right = outputs.gather(1, labels[:, None]).mean()
    wanted = float((right * len(labels) + outputs.mean()) / (len(labels) + 1))
    low, high = TEMPERATURES
    found = START
    # Newton's method on the slope of the loss, which rises; where it leaves what is known, halving
    for _ in range(50):
        shares = (outputs * found).softmax(1)
        said = (shares * outputs).sum(1)
        slope = float(said.mean()) - wanted
        low, high = (found, high) if slope < 0 else (low, found)
        curvature = float(((shares * outputs.square()).sum(1) - said.square()).mean())
        step = found - slope / curvature if curvature > 0 else low
        step = step if low < step < high else (low + high) / 2
        if abs(step - found) <= PRECISE * found:
            return step
        found = step
    return found
