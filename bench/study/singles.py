"""The single models that a fusion has to beat: the best of them by search scores, and all that may be the best."""

import math

from bench.evaluation.scoring import Scorer
from bench.space.objectives import Objectives
from bench.specs import Candidate
from bench.study.journal import Journal
from bench.study.race import searched
from bench.study.record import TrialRecord
from bench.study.selection import selection


def rivals(journal: Journal, scorer: Scorer, objectives: Objectives) -> list[TrialRecord]:
    """Trials of one model that cannot be told apart from the best of these (see `Recommendation.singles`)."""
    names = selection(journal, scorer, objectives).singles
    return [record for record in journal.of("complete") if str(record.id) in names]


def best_single(journal: Journal, scorer: Scorer, objectives: Objectives) -> Candidate | None:
    """The best searched candidate of one model, by `Objectives.single`.

    A single that was pruned, because a fusion dominates it, may still be the best of the singles: it is scored
    to the end here, so that nothing is compared with too weak a reference. One that lost a race against another
    single is not the best of them.
    """
    by = objectives.single
    best, reached = None, -math.inf
    for record in [*journal.of("complete"), *journal.of("pruned")]:
        if len(record.candidate.models) > 1:
            continue
        if record.state == "complete":
            value = by.sign * record.metrics[by.name]
        else:
            if record.given_up is not None and record.given_up.by == "race":
                rival = journal.records[record.given_up.against or 0]
                if len(rival.candidate.models) == 1:
                    continue
            if by.sign * scorer.bound(searched(scorer, record), by) <= reached:
                continue
            value = by.sign * by.value(scorer.scored(record.candidate, "search").predictions)
        if value > reached:
            best, reached = record.candidate, value
    return best
