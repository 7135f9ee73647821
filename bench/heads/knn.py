"""The classes of the nearest training rows, on standardised features.

Decision: that of scikit-learn's `KNeighborsClassifier(k)` (Euclidean, a vote each; of classes with as many votes the
first). Which of several rows at the very same distance is among the nearest is open, there as here.

Probabilities: (votes + 1 / C) / (k + 1) of the C classes that the training rows have, that is with one vote more which
all classes share, so that none of them is impossible, and no decision changes.

k is a number, or "tuned": the one of `NEIGHBOURS` under which the training rows have the smallest log-loss, each told
by the others, without its group. The head keeps the states of its training rows, which an export then carries too (four
bytes a row and column), and looks at all of them for each text that it answers.
"""

from functools import partial

import torch
from torch import Tensor

from bench.heads.kinds import Job, Problem, Trained, head
from bench.heads.linear import Fused, each_solved
from bench.heads.pipeline import Nearest, Pipeline, Scaling
from bench.specs import KNN, TUNED

NEIGHBOURS = 1, 3, 5, 10, 20, 50


@head(KNN)
def train(problem: Problem) -> list[Trained]:
    """The classes of the nearest training rows, on standardised features, how many by leave-one-out."""
    return each_solved(problem, partial(_train, problem), problem.jobs)


@torch.no_grad()
def _train(problem: Problem, job: Job) -> Trained:
    fused = Fused.of(problem, job)
    rows = torch.cat([fused.read(chunk) for chunk in fused.rows.split(4096)])
    width = rows.shape[1]
    again = fused.again or Scaling(rows.new_zeros(width), rows.new_ones(width))
    votes = torch.nn.functional.one_hot(problem.labels[fused.rows], problem.classes).to(rows.dtype)
    prior = rows.new_zeros(problem.classes)
    prior[fused.present] = 1 / len(fused.present)
    wanted = problem.settings.neighbours
    count = _tuned(rows, fused, problem.memory_bytes) if wanted == TUNED else min(wanted, len(rows))
    layer = Nearest(again.mean, again.scale, rows, votes, prior, torch.tensor(count))
    base = fused.base
    return Trained(Pipeline(base.scalings, base.projections, base.operator, (layer,)), {"neighbours": count})


def _tuned(rows: Tensor, fused: Fused, memory_bytes: int) -> int:
    """The k whose votes give the rows the smallest log-loss, each without the rows of its group."""
    most = min(NEIGHBOURS[-1], len(rows) - 1)
    if most < 1:
        return 1
    groups = torch.arange(len(rows), device=rows.device) if fused.groups is None else fused.groups
    grid = [k for k in NEIGHBOURS if k <= most]
    losses = rows.new_zeros(len(grid), dtype=torch.float64)
    half = rows.square().sum(1) / 2
    for chunk in torch.arange(len(rows), device=rows.device).split(max(1, memory_bytes // (16 * len(rows)))):
        distances = torch.addmm(half, rows[chunk], rows.T, alpha=-1)
        distances.masked_fill_(groups[chunk, None] == groups, torch.inf)
        near, places = distances.topk(most, largest=False)
        agree = (fused.labels[places] == fused.labels[chunk, None]) & near.isfinite()
        for place, k in enumerate(grid):
            shares = (agree[:, :k].sum(1).double() + 1 / len(fused.present)) / (k + 1)
            losses[place] -= shares.log().sum()
    return grid[int(losses.argmin())]
