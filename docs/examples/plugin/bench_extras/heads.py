"""A head."""

from typing import Literal

import torch

from bench.heads.kinds import Job, Problem, Trained, head
from bench.heads.pipeline import Affine, Pipeline, standardisations
from bench.heads.projections import random_projections
from bench.specs import HeadSettings


class NearestMean(HeadSettings):
    """What the head is made with: nothing. A field here is a setting, and part of a candidate's identity."""

    kind: Literal["nearest-mean"] = "nearest-mean"


@head(NearestMean)
def train(problem: Problem) -> list[Trained]:
    """The class whose mean is nearest, on standardised features.

    −½ ‖x − μ‖² and μ·x − ½ ‖μ‖² differ by what is the same for all classes, so that one affine layer says it all. A
    class that the training rows lack gets probability 0.
    """
    return [_train(problem, job) for job in problem.jobs]


def _train(problem: Problem, job: Job) -> Trained:
    rows = problem.rows(job)
    base = Pipeline(standardisations(problem.features, rows), random_projections(problem, job), problem.operator, ())
    fused, labels = base.fused(problem.features, rows), problem.labels[rows]
    means = torch.zeros(problem.classes, fused.shape[1], device=fused.device)
    counts = torch.bincount(labels, minlength=problem.classes)
    means.index_add_(0, labels, fused)
    means /= counts.clamp(min=1)[:, None]
    bias = -0.5 * means.square().sum(dim=1)
    bias[counts == 0] = -torch.inf
    layer = Affine(means, bias)
    return Trained(
        Pipeline(base.scalings, base.projections, base.operator, (layer,)), {"smallest class": int(counts.min())}
    )
