"""The paper's head: one hidden layer, Adam, a fixed number of epochs; its learning rate is given or tuned.

Where it is ``"tuned"``, it is found on the training rows. How far Adam has gone (rate times steps) decides nearly alone
how much a head has learned and when it begins to learn by heart; whether it goes there in many small steps or in few
larger ones matters little (docs/design/mlp.md has the tables). So three inner folds are trained side by side at `RATE`,
for a third of the epochs at most, which costs about one fit; once they have gone `BEYOND` times as far as where the
log-loss of the held-out rows was least, they stop. The head then goes that far on all training rows in all of its
epochs. Rows of one group are held out together.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.heads.inner import inner_folds
from bench.heads.kinds import Job, Problem, Trained, head
from bench.heads.perceptrons import Perceptrons, at_once, side_by_side
from bench.heads.weights import class_weights
from bench.specs import MLP, TUNED

INNER_FOLDS = 3
RATE = 4e-3
BEYOND = 1.5
UNTUNED = 1e-4
"""The rate where no row can be held out: the paper's."""


@head(MLP)
def train(problem: Problem) -> list[Trained]:
    """One hidden layer, Adam, a fixed number of epochs (the paper's head)."""
    settings: MLP = problem.settings
    weights = [_weights(problem, job) for job in problem.jobs]
    if settings.learning_rate == TUNED:
        rates = _tuned(problem, weights)
        reports: list[dict[str, float]] = [{"learning_rate": rate} for rate in rates]
    else:
        rates, reports = [settings.learning_rate] * len(weights), [{}] * len(weights)
    trained: dict[int, Trained] = {}
    for rate in dict.fromkeys(rates):
        alike = [number for number, each in enumerate(rates) if each == rate]
        for places in side_by_side(problem, [problem.jobs[number] for number in alike]):
            numbers = [alike[place] for place in places]
            heads = Perceptrons(
                problem, [problem.jobs[number] for number in numbers], [weights[number] for number in numbers]
            )
            for _ in range(settings.epochs):
                heads.epoch(rate)
            for number, pipeline in zip(numbers, heads.pipelines(), strict=True):
                trained[number] = Trained(pipeline, reports[number])
    return [trained[number] for number in range(len(problem.jobs))]


def _weights(problem: Problem, job: Job) -> Tensor:
    """Weights by class of a job's training rows at their places among all, float64 [n]; 0 elsewhere."""
    rows = problem.rows(job)
    found = torch.zeros(len(problem.labels), dtype=torch.float64, device=problem.device)
    found[rows] = class_weights(problem.labels[rows], problem.settings.class_weight)
    return found


def _tuned(problem: Problem, weights: list[Tensor]) -> list[float]:
    """Each job's learning rate."""
    found: list[float] = []
    size = max(1, at_once(problem) // INNER_FOLDS)
    for start in range(0, len(weights), size):
        jobs = problem.jobs[start : start + size]
        found += _tuned_together(problem, jobs, weights[start : start + size])
    return found


def _tuned_together(problem: Problem, jobs: tuple[Job, ...], weights: list[Tensor]) -> list[float]:
    settings: MLP = problem.settings
    owners, parts = [], []
    for owner, job in enumerate(jobs):
        for part in _parts(problem, job):
            owners.append(owner)
            parts.append(part)
    runs = []
    for numbers in side_by_side(problem, parts):
        heads = Perceptrons(problem, [parts[n] for n in numbers], [weights[owners[n]] for n in numbers])
        held_out = [torch.from_numpy(parts[n].predict).to(problem.device) for n in numbers]
        runs.append((torch.tensor([owners[n] for n in numbers]), heads, heads.held_out(held_out)))
    gone = [RATE * (epoch + 1) for epoch in range(max(1, settings.epochs // INNER_FOLDS))]
    losses = torch.zeros(len(jobs), len(gone), dtype=torch.float64)
    best = [0] * len(jobs)
    for epoch in range(len(gone)):
        for places, heads, rows in runs:
            heads.epoch(RATE)
            losses[:, epoch].index_add_(0, places, heads.losses(rows).cpu())
        for number, curve in enumerate(losses.tolist()):
            # what has ended stays as it is, although those beside it go on
            if not _ended(gone, best[number], epoch) and curve[epoch] < curve[best[number]]:
                best[number] = epoch
        if all(_ended(gone, each, epoch) for each in best):
            break

    def rate_of(owner: int) -> float:
        """At which the head goes as far in all of its epochs: those of a part may have fewer batches."""
        if owner not in owners:
            return UNTUNED
        part = parts[owners.index(owner)]
        batches = [-(-len(each.train) // settings.batch_size) for each in (part, jobs[owner])]
        return float(gone[best[owner]]) * batches[0] / (settings.epochs * batches[1])

    return list(map(rate_of, range(len(jobs))))


def _ended(gone: Sequence[float], best: int, epoch: int) -> bool:
    """Whether it has gone well beyond what was best, and a few epochs on."""
    return epoch >= best + 3 and gone[epoch] >= BEYOND * gone[best]


def _parts(problem: Problem, job: Job) -> list[Job]:
    """A job's training rows without those of an inner fold, which are predicted; none where none can be held out."""
    rows = problem.rows(job)
    folds = inner_folds(
        problem.labels[rows].unique(return_inverse=True)[1], problem.groups_of(rows), INNER_FOLDS, job.seed
    ).numpy(force=True)
    places = [folds == fold for fold in range(INNER_FOLDS)]
    return [Job(job.train[~held], job.train[held], job.seed) for held in places if held.any()]
