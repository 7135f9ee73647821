"""Ridge regression on one-hot targets, its penalty chosen by leaving out single training rows or groups.

A linear head that is solved rather than trained: one factorisation a job, of the rows' products where they are fewer
than the columns, else of the columns' (see `bench.heads.closed`). Beyond `LARGEST_BASIS` rows and columns the
coefficients are looked for in the span of so many of the training rows, which the job's seed draws.

Objective: Σ w ‖y − b − W x‖² + λ ‖W‖² over the standardised features x and one-hot targets y, that is scikit-learn's
`RidgeClassifier(alpha=λ)`. The rows' weights follow from the frequency of their class (`Ridge.class_weight`).
Grid: `PENALTIES` times the mean square of a row. Chosen: the smallest weighted mean squared error of rows left out,
those of one group together.

The regression's outputs estimate the classes' shares, but are no probabilities. Those are the softmax of T times the
outputs, with the T that gives the training rows, predicted by the regression without them, the smallest log-loss
(Guo et al. 2017; T is at least 1). One number for all classes changes no decision: the likeliest class is the one that
`RidgeClassifier` predicts. The tables behind the weighting and the calibration: docs/design/ridge.md.
"""

from collections.abc import Hashable
from functools import partial
from itertools import groupby

import torch
from torch import Tensor

from bench.heads import design as axes
from bench.heads.closed import PENALTIES, LeastSquares
from bench.heads.design import Design
from bench.heads.grams import Centred
from bench.heads.kinds import Job, Problem, Trained, head
from bench.heads.linear import Fused, same_features
from bench.heads.pipeline import Affine
from bench.heads.weights import class_weights
from bench.specs import Ridge

TEMPERATURES = 1.0, 1e3


@head(Ridge)
def train(problem: Problem) -> list[Trained]:
    """Ridge regression on one-hot classes, solved in closed form, its penalty by leave-one-out."""
    with torch.no_grad():
        found: list[Trained] = []
        for _, jobs in groupby(problem.jobs, partial(_same, problem)):
            first, *others = jobs
            found += [_train(problem, first)] * (1 + len(others))
        return found


def _same(problem: Problem, job: Job) -> Hashable:
    """Equal for jobs whose heads are the same."""
    beyond = min(len(job.train), sum(x.shape[1] for x in problem.features)) > axes.LARGEST_BASIS
    return same_features(problem, job), job.seed if beyond else None


def _train(problem: Problem, job: Job) -> Trained:
    fused = Fused.of(problem, job)
    count, width = len(fused.rows), fused.read(fused.rows[:1]).shape[1]
    weights = class_weights(fused.labels, problem.settings.class_weight)
    dtype = torch.float64 if count * min(count, width) <= axes.LARGEST_DOUBLE else torch.float32
    centred = Centred.of(lambda positions: fused.read(fused.rows[positions]), weights, dtype)
    span = _span(centred, job.seed) if min(count, width) > axes.LARGEST_BASIS else None
    design = Design.of(
        centred if span is None else lambda positions: centred(positions) @ span,
        torch.arange(count, device=problem.device),
        problem.memory_bytes,
    )
    targets = torch.nn.functional.one_hot(fused.labels, len(fused.present))
    regression = LeastSquares(design, targets, weights, problem.memory_bytes, fused.groups)
    errors = regression.errors([penalty * regression.unit for penalty in PENALTIES])
    penalty = PENALTIES[errors.index(min(errors))]
    alpha = penalty * regression.unit
    temperature = best_temperature(regression.left_out(alpha), fused.labels)
    coefficients, intercept = regression.coefficients(alpha)
    for basis in (design.basis, span):
        coefficients = coefficients if basis is None else basis @ coefficients
    weight = coefficients.T * temperature
    layer = Affine(weight.float(), (intercept * temperature - weight @ centred.mean).float())
    return fused.trained(layer, {"penalty": penalty, "alpha": alpha, "temperature": temperature})


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

    Args:
        outputs: Of rows that were left out, [n, classes].
        labels: Their classes, int64 [n].
    """
    outputs = outputs.double()
    right = outputs.gather(1, labels[:, None]).mean()
    wanted = (right * len(labels) + outputs.mean()) / (len(labels) + 1)
    low, high = TEMPERATURES
    for _ in range(50):
        middle = (low + high) / 2
        if float(((outputs * middle).softmax(1) * outputs).sum(1).mean()) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2
