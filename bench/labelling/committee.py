"""The candidates that are asked about labels: several, since what all of them say is less owed to any one of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.errors import BenchError
from bench.metrics.counts import Floats
from bench.specs import AnyCandidate
from bench.study.baselines import ScoredRecord, scored_records
from bench.study.study import Study
from bench.tasks import TASKS

MEMBERS = 5


@dataclass(frozen=True, eq=False)
class Voter:
    """A candidate by its name in words, and what it says of rows: `probabilities` float [rows, classes]."""

    name: str
    candidate: AnyCandidate
    probabilities: Floats


def best(study: Study, *, trainable: bool = False) -> list[ScoredRecord]:
    """What cannot be told apart from the best candidate, the best first by the study's objective, `MEMBERS` at most.

    A candidate that is known to be worse contradicts more labels that are right. A cascade stands for its last stage.

    Args:
        study: Searched.
        trainable: Without what there are but predictions of, from outside.

    Raises:
        BenchError: the study's labels are no classes.
    """
    if not TASKS[study.scorer.dataset.task].by_class:
        raise BenchError(f"The labels of '{study.name}' are for {study.scorer.dataset.task}, and not classes.")
    by, cost = study.request.space.objectives.single, study.request.space.objectives.cost
    near, made = set(study.selection.near), study.considered
    near |= {str(each.trials[-1]) for each in (() if made is None else made.records) if each.name in near}
    found = sorted(
        (each for each in scored_records(study.journal) if str(each.id) in near),
        key=lambda each: (-by.sign * each.metrics[by.name], -cost.sign * each.metrics[cost.name]),
    )
    return [each for each in found if not (trainable and getattr(each.candidate, "outside", None))][:MEMBERS]


def out_of_fold(study: Study) -> tuple[np.ndarray, list[Voter]]:
    """The training rows that were predicted out of fold, ascending, and the best candidates with what they say of them.

    Predictions are averaged over repetitions. Every other row was trained on alone, and nothing can be said of it.

    Raises:
        BenchError: no candidate has probabilities of rows that it was not trained on.
    """
    if study.scorer.protocol.name != "cv":
        raise BenchError(
            f"The study '{study.name}' was searched under the protocol '{study.scorer.protocol.name}', which predicts "
            "no training row out of fold: search with `protocol='cv'`."
        )
    shape = len(study.scorer.dataset.train), len(study.scorer.dataset.labels)
    members: list[Voter] = []
    seen = np.ones(shape[0], dtype=bool)
    for record in best(study):
        total, times = np.zeros(shape), np.zeros(shape[0])
        for each in study.scorer.scored(record.candidate, "search").repetitions:
            if each.predictions.log_probabilities is not None:
                total[each.rows] += np.exp(each.predictions.log_probabilities.astype(np.float64))
                times[each.rows] += 1
        if times.any():
            members.append(Voter(record.title, record.candidate, total / np.maximum(times, 1)[:, None]))
            seen &= times > 0
    if not members:
        raise BenchError(f"No candidate of '{study.name}' has probabilities, without which no label is contradicted.")
    rows = np.flatnonzero(seen)
    return rows, [Voter(each.name, each.candidate, each.probabilities[rows]) for each in members]


def mean(members: Sequence[Voter]) -> Floats:
    """What the members say together, float [rows, classes]."""
    found: Floats = np.mean([each.probabilities for each in members], axis=0)
    return found
