"""What linear heads have in common: the features that they are fitted on, and the pipeline that they end in.

Projections of an aligned operator are not learned, or the problem would not be convex: every source is projected by
random orthonormal rows that the job's seed draws (also one that has the width already, so that sources are treated
alike), and the fused features are standardised again. A class that the training rows lack gets probability 0.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from bench.heads.kinds import Job, Problem, Trained
from bench.heads.pipeline import Affine, Pipeline, Scaling, standardisation, standardisations
from bench.heads.projections import random_projections
from bench.threads import solved

T = TypeVar("T")
R = TypeVar("R")

SMALL = 1 << 23
"""Values of a problem's features up to which its jobs are solved on one thread each."""


def same_features(problem: Problem, job: Job) -> Hashable:
    """Equal for jobs whose features are the same for a linear head: without projections no seed changes them."""
    return job.train.tobytes(), None if problem.width is None else job.seed


@dataclass(frozen=True, eq=False)
class Fused:
    """A job's training rows as a linear head sees them.

    Attributes:
        problem: The problem that the job is part of.
        rows: The training rows.
        base: What comes before the linear layer.
        again: The standardisation of the fused features; None where they are standardised already.
        present: The classes that occur, ascending; of several labels a row, all of them.
        labels: The rows' labels as positions in `present`, or 0 or 1 of each.
        groups: The rows' groups; None where each is on its own, or all are of one.
    """

    problem: Problem
    rows: Tensor
    base: Pipeline
    again: Scaling | None
    present: Tensor
    labels: Tensor
    groups: Tensor | None

    @classmethod
    def of(cls, problem: Problem, job: Job) -> "Fused":
        """The training rows of a job."""
        rows = problem.rows(job)
        scalings = standardisations(problem.features, rows)
        base = Pipeline(scalings, random_projections(problem, job), problem.operator, ())
        # sources that are joined as they are are standardised already
        operator = problem.operator
        changed = base.projections or (operator is not None and (operator.weighted or operator.compared > 0))
        again = standardisation(lambda chunk: base.fused(problem.features, chunk), rows) if changed else None
        if problem.labels.ndim > 1:
            present, labels = torch.arange(problem.classes, device=problem.device), problem.labels[rows]
        else:
            present, labels = problem.labels[rows].unique(return_inverse=True)
        return cls(problem, rows, base, again, present, labels, problem.groups_of(rows))

    def read(self, chunk: Tensor) -> Tensor:
        """The standardised fused features of some rows of the sources' matrices, float32 [len(chunk), d]."""
        fused = self.base.fused(self.problem.features, chunk)
        return fused if self.again is None else self.again.apply(fused)

    def kept(self) -> Callable[[Tensor | slice], Tensor]:
        """What gives rows of the whole matrix, which is in memory, at positions among the training rows."""
        return self.read(self.rows).__getitem__

    def trained(self, layer: Affine, report: Mapping[str, float]) -> Trained:
        """The head whose last layer, on what `read` gives and over the classes that occur, is `layer`."""
        weight, bias = layer
        if self.again is not None:
            weight = weight * self.again.scale
            bias = bias - weight @ self.again.mean
        classes = self.problem.classes
        whole = Affine(weight.new_zeros(classes, weight.shape[1]), bias.new_full((classes,), -torch.inf))
        whole.weight[self.present], whole.bias[self.present] = weight, bias
        base = self.base
        return Trained(Pipeline(base.scalings, base.projections, base.operator, (whole,)), dict(report))


def each_solved(problem: Problem, solve: Callable[[T], R], each: Sequence[T]) -> list[R]:
    """What is solved for each: side by side where matrices are small, else one by one on all threads."""
    values = len(problem.labels) * sum(x.shape[1] for x in problem.features)
    if problem.device.type == "cpu" and values <= SMALL:
        return solved(solve, each)
    return list(map(solve, each))
