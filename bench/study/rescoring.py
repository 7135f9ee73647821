"""Scores of trials of earlier versions, computed again where they would be others now.

Those versions took macro-F1 over the whole label list. Where the rows that a search scores lack a class, a fixed
validation split or the test set of the protocol `paper`, that is another number than today's, and no trial can be held
against another by both. Out of fold every class has rows, and nothing is to be done.
"""

import numpy as np

from bench.errors import counted
from bench.evaluation.protocol import cut
from bench.evaluation.scoring import Scorer
from bench.measures import values
from bench.metrics import finite
from bench.progress import Progress
from bench.space.objectives import Objectives
from bench.study.journal import Journal
from bench.study.race import searched
from bench.study.record import TrialRecord
from bench.tasks import TASKS


def rescore(journal: Journal, scorer: Scorer, objectives: Objectives, progress: Progress) -> None:
    """Give trials the scores that their kept predictions have now; what is lost is trained again."""
    if not TASKS[scorer.dataset.task].by_class or not _lacks_a_class(scorer):
        return
    again = {}
    for record in [*journal.of("complete"), *journal.of("pruned")]:
        if record.values and (new := _scored_now(record, scorer, objectives)) != record:
            again[record.number] = new
    if again:
        progress.say(
            f"{counted(len(again), 'trial')} of an earlier version scored again: macro-F1 is now over the classes that "
            "the scored rows or predictions hold"
        )
    journal.rescore(again)


def _lacks_a_class(scorer: Scorer) -> bool:
    """Whether the rows that a search scores have none of a class that training has."""
    dataset, protocol = scorer.dataset, scorer.protocol
    train = dataset.train
    if protocol.name == "paper":
        there = dataset.test.labels
    elif protocol.uses_validation_split(len(train)):
        strata, rule = TASKS[dataset.task].fold_strata(train.labels), protocol.fold_rule(len(train))
        there = train.labels[cut(strata, train.groups, rule, protocol.seed)[0].predict]
    else:
        return False
    return len(np.intersect1d(there, np.arange(len(dataset.labels)))) < len(dataset.labels)


def _scored_now(record: TrialRecord, scorer: Scorer, objectives: Objectives) -> TrialRecord:
    scored = searched(scorer, record)
    found = {each.name: tuple(values(each, [one.predictions for one in scored.whole])) for each in objectives.measures}
    metrics = dict(record.metrics)
    if record.state == "complete":
        metrics |= finite(scored.metrics(objectives.measures))
    return record.model_copy(update={"values": found, "metrics": metrics})
