"""From a study's training rows to a function that scores representations: ridge regression in closed form."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bench.datasets.dataset import Split
from bench.evaluation.protocol import Protocol, folds
from bench.evaluation.scoring import Scorer
from bench.heads.pipeline import NotFiniteError
from bench.heads.screening import Screening
from bench.measures import DEFAULT, Objective, Predictions, summary
from bench.screening.table import Seen
from bench.specs import DEFAULT_TASK, Candidate, Source
from bench.tasks import TASKS

if TYPE_CHECKING:
    import torch

LEAST = 1e-3
"""Of a probability that a class's estimated share is taken for."""


def serves(task: str) -> bool:
    """Whether labels of a task can be screened."""
    return DEFAULT_TASK in TASKS[task].kinds


def sample(split: Split, rows: int, least: int, seed: int) -> np.ndarray:
    """Positions of at most so many rows, ascending: by class in proportion, but `least` of each that has them.

    Where not even these fit, the rarest classes are left out: with fewer rows a class could not be in every fold.
    """
    if len(split) <= rows:
        return np.arange(len(split))
    random = np.random.default_rng(seed)
    places = [random.permutation(np.flatnonzero(split.labels == label)) for label in np.unique(split.labels)]
    there = np.array([len(each) for each in places])
    floor = np.minimum(there, least)
    taken = np.maximum(floor, np.round(there * rows / len(split)).astype(int))
    while taken.sum() > rows:
        spare = taken - floor
        if spare.any():
            taken[spare.argmax()] -= 1
        else:
            taken[np.where(taken > 0, there, there.max() + 1).argmin()] = 0
            floor = np.minimum(floor, taken)
    return np.sort(np.concatenate([each[:count] for each, count in zip(places, taken, strict=True)]))


def scoring(scorer: Scorer, by: Objective, rows: np.ndarray) -> Callable[[Candidate], Seen | None]:
    """Scores representations by `by`, out of fold in the folds of the search (of a sample: in folds made as those are).

    Args:
        scorer: Of the study; its training rows alone are read.
        by: A score of the classification task.
        rows: Positions of the training rows that are looked at.
    """
    split, features = scorer.dataset.train, scorer.evaluator.features
    if len(rows) < len(split):
        features = features.of_train(rows.tolist())

    def read(source: Source) -> "torch.Tensor":
        return features.train(scorer.locate(source))

    dataset = scorer.dataset
    return scoring_of(
        read, split.labels[rows], split.groups[rows], dataset.labels, scorer.protocol, by, task=dataset.task
    )


def scoring_of(
    read: Callable[[Source], "torch.Tensor"],
    truth: np.ndarray,
    groups: np.ndarray,
    labels: tuple[str, ...],
    protocol: Protocol,
    by: Objective,
    told: Callable[[Candidate, np.ndarray], None] = lambda *_: None,
    task: str = DEFAULT_TASK,
) -> Callable[[Candidate], Seen | None]:
    """Scores representations of rows that `read` gives, out of fold in folds made as the search's.

    `told` is given what each says of every row: estimates of the classes' shares, float64 [repetitions, rows, classes],
    NaN where no fold predicts the row. `task` says what follows from estimates.
    """
    import torch

    numbers = _fold_numbers(truth, groups, protocol)
    screening = Screening(read, truth, len(labels), numbers, groups=groups)
    predicted = [np.flatnonzero(repetition >= 0) for repetition in numbers]

    def score(candidate: Candidate) -> Seen | None:
        started = time.perf_counter()
        try:
            found = screening.score(candidate)
        except (NotFiniteError, torch.linalg.LinAlgError):  # type: ignore[attr-defined]
            return None  # features that are not finite, or not with this arithmetic; what cannot be read is an error
        said = []
        for places, scores in zip(predicted, found.scores, strict=True):
            shares = np.clip(scores[places], LEAST, None)
            logs = np.log(shares / shares.sum(1, keepdims=True))
            decided = TASKS[task].decided(np.exp(logs) if TASKS[task].apart else scores[places], labels)
            said.append(Predictions(truth[places], decided, labels, logs))
        values = [float(each.value(by.measure)) for each in said]
        if not np.isfinite([*values, found.error]).all():
            return None
        told(candidate, found.scores)
        return Seen(
            sources=candidate.sources,
            fusion=candidate.fusion,
            width=candidate.width,
            values=tuple(values),
            error=found.error,
            penalty=found.penalty,
            seconds=round(time.perf_counter() - started, 4),
            beside={each.name: summary(each, said).mean for each in DEFAULT if each != by.measure},
        )

    return score


def _fold_numbers(truth: np.ndarray, groups: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Each row's fold in each repetition, int64 [repetitions, rows]; −1 where none predicts it."""
    found = np.full((len(protocol.search_seeds), len(truth)), -1)
    for repetition, seed in zip(found, protocol.search_seeds, strict=True):
        for number, fold in enumerate(folds(truth, groups, protocol, seed)):
            repetition[fold.predict] = number
    return found
