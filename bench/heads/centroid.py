"""The class whose mean is nearest, on standardised features: all that a few rows of many classes allow.

Decision: that of scikit-learn's `NearestCentroid()` (Euclidean, uniform priors). Nothing is tuned and nothing is
inverted, so that a class of one row is no harder to fit than one of a thousand.

Probabilities: the softmax of −T ‖x − μ‖² / d, which is what classes with normal rows of one variance and equal shares
would have. T is the temperature that gives the training rows the smallest log-loss (`bench.heads.ridge`), each at its
distance to the means of the others: what is left of a mean of n rows without m that sum to s is (n μ − s) / (n − m).
Rows of one group are left out together. One number for all classes changes no decision.
"""

from functools import partial

import torch
from torch import Tensor

from bench.heads.kinds import Job, Problem, Trained, head
from bench.heads.linear import Fused, each_solved
from bench.heads.pipeline import Affine
from bench.heads.ridge import START, best_temperature
from bench.specs import Centroid


@head(Centroid)
def train(problem: Problem) -> list[Trained]:
    """The class whose mean is nearest, on standardised features."""
    return each_solved(problem, partial(_train, problem), problem.jobs)


@torch.no_grad()
def _train(problem: Problem, job: Job) -> Trained:
    fused = Fused.of(problem, job)
    classes, width = len(fused.present), fused.read(fused.rows[:1]).shape[1]
    # in one order whatever the workspace is: sums of other chunks would differ in their last digits
    chunks = torch.arange(len(fused.rows), device=problem.device).split(max(1, (1 << 22) // width))
    sums = torch.zeros(classes, width, dtype=torch.float64, device=problem.device)
    for chunk in chunks:
        sums.index_add_(0, fused.labels[chunk], fused.read(fused.rows[chunk]).double())
    counts = fused.labels.bincount(minlength=classes)
    means = sums / counts[:, None]
    told = _left_out(fused, means, counts, chunks)
    temperature = best_temperature(*told) if len(told[1]) else START
    weight = means * (2 * temperature / width)
    bias = means.square().sum(1) * (-temperature / width)
    report = {"temperature": temperature, "smallest class": int(counts.min())}
    return fused.trained(Affine(weight.float(), bias.float()), report)


def _left_out(fused: Fused, means: Tensor, counts: Tensor, chunks: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """−‖x − μ‖² / d of rows whose own group is in no mean, float64 [rows, classes], and the rows' labels.

    Left away are the rows without which a class would have no mean.
    """
    count, (classes, width) = len(fused.rows), means.shape
    alone = torch.arange(count, device=means.device)
    groups = alone if fused.groups is None else fused.groups.unique(return_inverse=True)[1]
    pairs, of_row = (groups * classes + fused.labels).unique(return_inverse=True)
    sums = means.new_zeros(len(pairs), width)
    outputs = means.new_empty(count, classes)
    for chunk in chunks:
        rows = fused.read(fused.rows[chunk]).double()
        sums.index_add_(0, of_row[chunk], rows)
        outputs[chunk] = -torch.cdist(rows, means).square() / width
    sizes, its_class = of_row.bincount(minlength=len(pairs)), pairs % classes
    rest = counts[its_class] - sizes
    others = (means[its_class] * counts[its_class, None] - sums) / rest.clamp(min=1)[:, None]
    known = torch.ones(count, dtype=torch.bool, device=means.device)
    for number in range(classes):
        # the group's part of this class, for every row of a group that has one
        part = torch.full((int(groups.max()) + 1,), -1, device=means.device)
        own = (its_class == number).nonzero().flatten()
        part[pairs[own] // classes] = own
        touched = (part[groups] >= 0).nonzero().flatten()
        place = part[groups[touched]]
        known[touched[rest[place] == 0]] = False
        for chunk, at in zip(touched.split(4096), place.split(4096), strict=True):
            rows = fused.read(fused.rows[chunk]).double()
            outputs[chunk, number] = -(rows - others[at]).square().sum(1) / width
    return outputs[known], fused.labels[known]
