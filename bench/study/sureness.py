"""How sure what was chosen of a study may be, by what is kept of it (see `bench.evaluation.sureness`)."""

from typing import Protocol

from bench.evaluation.ask import Phase
from bench.evaluation.scoring import Scored, Scorer
from bench.evaluation.sureness import Calibrated, Sureness, sides, sureness
from bench.study.cascades import Selected
from bench.study.settings import SearchRequest
from bench.tasks import TASKS


class HasScores(Protocol):
    """A study, as far as it is asked here."""

    @property
    def request(self) -> SearchRequest:
        """What was asked of its search."""

    @property
    def scorer(self) -> Scorer:
        """Of its data."""

    def scored(self, which: Selected, phase: Phase) -> Scored:
        """The predictions of what was selected."""


def sureness_of(study: HasScores, which: Selected) -> Sureness | None:
    """Of a trial, a cascade or a baseline; None where it has no probabilities of training rows out of fold."""
    found = _scored(study, which)
    return None if found is None else sureness(*found, study.scorer.dataset.train.groups, study.scorer.protocol.seed)


def calibrated(study: HasScores, which: Selected) -> Calibrated | None:
    """Its predictions by side, at temperatures that were found without them; None where it has no probabilities."""
    found = _scored(study, which)
    return None if found is None else sides(*found, study.scorer.dataset.train.groups, study.scorer.protocol.seed)


def _scored(study: HasScores, which: Selected) -> tuple[Scored, Scored] | None:
    by, protocol = study.request.space.objectives.single, study.scorer.protocol
    task = TASKS[study.scorer.dataset.task]
    # where what is predicted depends on how probable the others are, probabilities stay as they were when it was judged
    unsettled = not task.by_class or task.apart is not None
    if protocol.name != "cv" or by.name not in which.metrics or unsettled:
        return None
    return study.scored(which, "search"), study.scored(which, "confirm")
