"""The paper's head: one hidden layer, Adam, a fixed number of epochs; its learning rate is given or tuned.

Where it is ``"tuned"``, it is found on the training rows. How far Adam has gone (rate times steps) decides nearly alone
how much a head has learned and when it begins to learn by heart; whether it goes there in many small steps or in few
larger ones matters little (docs/design/mlp.md has the tables). So three inner folds are trained side by side at `RATE`,
for a third of the epochs at most, which costs about one fit; once they have gone `BEYOND` times as far as where the
log-loss of the held-out rows was least, they stop. The head then goes, on all training rows and in all of its epochs,
as far as no more than `GIVEN_UP` of what that loss had fallen by is lost again: where classes are rare, accuracy and
macro-F1 go on rising for a while. Rows of one group are held out together.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bench.heads.inner import inner_folds
from bench.heads.kinds import Job, Problem, Trained, head
from bench.heads.linear import each_solved
from bench.heads.perceptrons import Perceptrons, side_by_side
from bench.heads.pipeline import Affine, Pipeline
from bench.heads.several import settled, thresholds
from bench.heads.weights import class_weights
from bench.specs import MLP, TUNED
from bench.tasks.iterative import dealt

INNER_FOLDS = 3
RATE = 4e-3
BEYOND = 1.5
GIVEN_UP = 0.1
UNTUNED = 1e-4
"""The rate where no row can be held out: the paper's."""


@head(MLP)
def train(problem: Problem) -> list[Trained]:
    """One hidden layer, Adam, a fixed number of epochs (the paper's head)."""
    settings: MLP = problem.settings
    weights = [_weights(problem, job) for job in problem.jobs]
    if settings.learning_rate != TUNED:
        pipelines = _trained(problem, problem.jobs, weights, settings.learning_rate, settings.epochs)
        return [Trained(pipeline, {}) for pipeline in pipelines]

    def tuned(number: int) -> Trained:
        job, weight = problem.jobs[number], weights[number]
        rate = _rate(problem, job, weight)
        (pipeline,) = _trained(problem, [job], [weight], rate, settings.epochs)
        return Trained(pipeline, {"learning_rate": rate})

    return each_solved(problem, tuned, range(len(problem.jobs)))


@head(MLP, tasks=("multilabel",))
def train_labels(problem: Problem) -> list[Trained]:
    """The same with an output a label, each of which is there or not, and the labels' thresholds by inner folds."""

    def with_thresholds(number: int) -> Trained:
        job, found = problem.jobs[number], heads[number]
        targets = problem.labels[problem.rows(job)]
        least = torch.zeros(problem.classes, dtype=torch.float64, device=problem.device)
        if parts := _parts(problem, job):
            rate = found.report.get("learning_rate", problem.settings.learning_rate)
            inner = _trained(problem, parts, [_weights(problem, part) for part in parts], rate, problem.settings.epochs)
            rows = [torch.from_numpy(part.predict).to(problem.device) for part in parts]
            said = [each.logits(problem.features, held) for each, held in zip(inner, rows, strict=True)]
            least = thresholds(torch.cat(said).double(), problem.labels[torch.cat(rows)], 0.0)
        *before, last = found.pipeline.layers
        assert isinstance(last, Affine)
        last = settled(Affine(last.weight, last.bias - least.float()), targets)
        return Trained(replace(found.pipeline, layers=(*before, last)), found.report)

    heads = train(problem)
    return each_solved(problem, with_thresholds, range(len(problem.jobs)))


def _trained(
    problem: Problem, jobs: Sequence[Job], weights: Sequence[Tensor], rate: float, epochs: int
) -> list[Pipeline]:
    found: dict[int, Pipeline] = {}
    for numbers in side_by_side(problem, jobs):
        heads = Perceptrons(problem, [jobs[number] for number in numbers], [weights[number] for number in numbers])
        for _ in range(epochs):
            heads.epoch(rate)
        found |= zip(numbers, heads.pipelines(), strict=True)
    return [found[number] for number in range(len(jobs))]


def _weights(problem: Problem, job: Job) -> Tensor:
    """Weights by class of a job's training rows at their places among all, float64 [n]; 0 elsewhere."""
    rows = problem.rows(job)
    found = torch.zeros(len(problem.labels), dtype=torch.float64, device=problem.device)
    several = problem.labels.ndim > 1
    found[rows] = 1.0 if several else class_weights(problem.labels[rows], problem.settings.class_weight)
    return found


def _rate(problem: Problem, job: Job, weights: Tensor) -> float:
    """The learning rate at which a job's head goes as far in all of its epochs as is best for its inner folds."""
    settings: MLP = problem.settings
    if not (parts := _parts(problem, job)):
        return UNTUNED
    runs = []
    for numbers in side_by_side(problem, parts):
        heads = Perceptrons(problem, [parts[n] for n in numbers], [weights] * len(numbers))
        runs.append((heads, heads.held_out([torch.from_numpy(parts[n].predict).to(problem.device) for n in numbers])))
    gone = [RATE * (epoch + 1) for epoch in range(max(1, settings.epochs // INNER_FOLDS))]
    curve: list[float] = []
    best = 0
    for epoch in range(len(gone)):
        if epoch >= best + 3 and gone[epoch] >= BEYOND * gone[best]:
            break  # well beyond what was best, and a few epochs on
        loss = 0.0
        for heads, rows in runs:
            heads.epoch(RATE)
            loss += float(heads.losses(rows).sum())
        curve.append(loss)
        if loss < curve[best]:
            best = epoch
    farthest, bound = best, curve[best] + GIVEN_UP * (curve[0] - curve[best])
    while farthest + 1 < len(curve) and curve[farthest + 1] <= bound:
        farthest += 1
    # those of a part may have fewer batches
    batches = [-(-len(each.train) // settings.batch_size) for each in (parts[0], job)]
    return gone[farthest] * batches[0] / (settings.epochs * batches[1])


def _parts(problem: Problem, job: Job) -> list[Job]:
    """A job's training rows without those of an inner fold, which are predicted; none where none can be held out."""
    rows = problem.rows(job)
    labels, groups = problem.labels[rows], problem.groups_of(rows)
    if labels.ndim > 1:
        each = np.arange(len(rows)) if groups is None else groups.numpy(force=True)
        folds = dealt(labels.numpy(force=True), each, INNER_FOLDS, job.seed)
    else:
        folds = inner_folds(labels.unique(return_inverse=True)[1], groups, INNER_FOLDS, job.seed).numpy(force=True)
    places = [folds == fold for fold in range(INNER_FOLDS)]
    return [Job(job.train[~held], job.train[held], job.seed) for held in places if held.any()]
