"""The cascades of a study: what is remembered of them, and what the test set says of one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from bench.cascade import Cascade
from bench.evaluation.ask import Phase
from bench.evaluation.cascades import Answered, Stage, answered, at_random, cross_fitted, decided, parts_of
from bench.evaluation.scoring import Scored, Scorer
from bench.measures import Measure
from bench.metrics import Interval
from bench.specs import DEFAULT_TASK, Spec
from bench.study.baselines import BaselineRecord, outdated
from bench.study.journal import Journal
from bench.study.record import NamedRecord, TrialRecord
from bench.study.settings import SearchRequest

NOTE = "cascades"
PREFIX = "cascade-"
DRAWS = 10
"""Random choices of the texts that are deferred, over which the control is averaged."""


class CascadeRecord(NamedRecord):
    """What is remembered of a cascade that stood on the front.

    Attributes:
        cascade: Thresholds are those by all training rows.
        trials: Of its stages; of one that is a baseline its name.
        shares: Of what comes to each stage but the last, the share that it is to leave.
        reached: Of all texts, the share that came to each stage but the first, out of fold.
        metrics: Those out of fold are under cross-fitted thresholds.
    """

    cascade: Cascade
    trials: tuple[int | str, ...]
    shares: tuple[float, ...]
    reached: tuple[float, ...]

    @property
    def in_words(self) -> str:
        """Its trials in their order, and the margins below which a text goes on."""
        later = zip(self.cascade.thresholds, self.stages[1:], strict=True)
        return self.stages[0] + "".join(f", below a margin of {limit:.2g} {stage}" for limit, stage in later)

    @property
    def key(self) -> str:
        """By which its run is found in the tracking store."""
        return run_key(self.cascade.fingerprint())

    @property
    def stages(self) -> tuple[str, ...]:
        """How its stages are called in words."""
        return tuple(map(_title, self.trials))

    @property
    def subject(self) -> Cascade:
        """What was chosen."""
        return self.cascade


def run_key(fingerprint: str) -> str:
    """By which the run of such a cascade is found in the tracking store."""
    return f"cascade:{fingerprint}"


def _title(trial: int | str) -> str:
    return f"trial {trial}" if isinstance(trial, int) else trial


Selected = TrialRecord | CascadeRecord | BaselineRecord
"""What a person may choose of a study: it has an `id`, a `title`, a `subject`, a `key`, `metrics`, and a `run_id`."""


class Chosen(Spec):
    """The cascades of a study: how many were considered, how many of them stand on the front, and those confirmed.

    `resumable` names the models whose passes could go on from a layer when costs were counted; `names` are all that
    were ever given, by a cascade's fingerprint, and `runs` their runs in the tracking store by name.
    """

    considered: int
    on_front: int
    resumable: tuple[str, ...] = ()
    records: tuple[CascadeRecord, ...]
    names: Mapping[str, str] = Field(default_factory=dict)
    runs: Mapping[str, str] = Field(default_factory=dict)


def chosen(journal: Journal) -> Chosen | None:
    """The cascades that a study has, without those of `fallen`; None where none were looked for."""
    found = _remembered(journal)
    if found is None:
        return None
    gone = {record.name for record in fallen(journal)}
    records = (
        record.model_copy(update={"run_id": found.runs.get(record.name)})
        for record in found.records
        if record.name not in gone
    )
    return found.model_copy(update={"records": tuple(records)})


def fallen(journal: Journal) -> list[CascadeRecord]:
    """Cascades with a stage that is fitted otherwise now: their thresholds are of its old margins."""
    found, old = _remembered(journal), outdated(journal)
    return [] if found is None else [record for record in found.records if not old.isdisjoint(record.trials)]


def _remembered(journal: Journal) -> Chosen | None:
    kept = journal.note(NOTE)
    return None if kept is None else Chosen.model_validate(kept)


def keep(journal: Journal, found: Chosen) -> None:
    """Remember the cascades of a study."""
    journal.keep(NOTE, found.model_dump(mode="json"))


def forget(journal: Journal) -> None:
    """Leave no cascade of a study standing; names stay given, and runs known."""
    if (found := _remembered(journal)) is not None and found.records:
        keep(journal, found.model_copy(update={"considered": 0, "on_front": 0, "records": ()}))


def why_not(request: SearchRequest, task: str) -> str | None:
    """Why a search whose space asks for cascades makes none; None where it does."""
    if task != DEFAULT_TASK:
        return f"the stages of a cascade answer with their likeliest class, and the labels are for {task}"
    if request.protocol.name != "cv":
        return f"cascades are chosen out of fold, which the protocol '{request.protocol.name}' does not predict"
    return None


def stages_of(scorer: Scorer, cascade: Cascade, phase: Phase) -> list[Stage]:
    """What the stages of a cascade said; they have probabilities, else they were no stages."""
    found = [Stage.of(scorer.scored(candidate, phase)) for candidate in cascade.stages]
    return [stage for stage in found if stage is not None]


def confirmed(scorer: Scorer, cascade: Cascade) -> Answered:
    """The test rows under the cascade's thresholds."""
    return decided(stages_of(scorer, cascade, "confirm"), cascade.thresholds)


def searched(scorer: Scorer, record: CascadeRecord) -> Scored:
    """The training rows out of fold, under thresholds that each row has no part in."""
    stages = stages_of(scorer, record.cascade, "search")
    parts = row_parts(scorer, stages[0])
    return answered(stages, cross_fitted(stages, record.shares, parts)).scored


def row_parts(scorer: Scorer, stage: Stage) -> list[np.ndarray]:
    """The part of each row that is predicted out of fold, of each repetition."""
    parts = parts_of(scorer.dataset.train.groups, scorer.protocol.seed)
    return [parts[each.rows] for each in stage.scored.repetitions]


def control(
    scorer: Scorer, cascade: Cascade, reached: Sequence[float], measures: Sequence[Measure]
) -> dict[str, float]:
    """Mean test scores of the same stages where as many texts are deferred, but any, by the measure's name."""
    stages = stages_of(scorer, cascade, "confirm")
    drawn = [at_random(stages, reached, scorer.protocol.seed * DRAWS + draw) for draw in range(DRAWS)]
    return {each.name: float(np.mean([one.summary(each).mean for one in drawn])) for each in measures}


@dataclass(frozen=True)
class Beside:
    """A cascade against the best scored trial of the front, paired by test row: by the task's measure, with 95%.

    `share` is the cascade's cost, as the test set had it, over the trial's; a baseline goes by its name.
    """

    trial: int | str
    difference: Interval
    share: float

    @property
    def title(self) -> str:
        """How the trial is called in words."""
        return _title(self.trial)


@dataclass(frozen=True)
class Tested:
    """What the test set says of a cascade, beside its scores.

    Attributes:
        record: What the search knew.
        reached: Of the test texts, the share that came to each stage but the first, in the mean over seeds.
        costs: With these shares.
        control: Mean scores where as many texts are deferred at random, by measure.
        beside: Against the best scored trial; None where there is none.
    """

    record: CascadeRecord
    reached: tuple[float, ...]
    costs: Mapping[str, float]
    control: Mapping[str, float]
    beside: Beside | None
