"""The single models that a fusion has to beat: all that may be the best of them."""

from bench.evaluation.scoring import Scorer
from bench.space.objectives import Objectives
from bench.study.baselines import ScoredRecord, scored_records
from bench.study.journal import Journal
from bench.study.selection import selection


def rivals(journal: Journal, scorer: Scorer, objectives: Objectives) -> list[ScoredRecord]:
    """What is of one model and cannot be told apart from the best of that (see `Recommendation.singles`)."""
    names = selection(journal, scorer, objectives).singles
    return [record for record in scored_records(journal) if str(record.id) in names]
