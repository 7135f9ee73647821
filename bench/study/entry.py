"""A candidate or a baseline as the tables show it: what the search knows of it, and what the test set says."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench.aliases import in_words
from bench.cascade import Cascade
from bench.evaluation.scoring import Scored
from bench.measures import LATENCY, Measure, Objective, aggregated, over_repetitions, summaries
from bench.space.objectives import Objectives
from bench.specs import AnyCandidate, TextCandidate
from bench.study.cascades import Tested
from bench.study.verdicts import Comparison


@dataclass(frozen=True, repr=False)
class Entry:
    """A candidate or a baseline with its search scores and its confirmation on the test set.

    Attributes:
        objectives: Of the study: they say which measures there are.
        candidate: What it is; None of a cascade, and of a mere reference such as the majority class.
        search: Every aggregation of each measure.
        costs: By measure; none of a mere reference.
        interval: 95% of the task's measure on the test set, over its rows.
        comparison: With the single models; None of a baseline, and of an entry that is one of these singles.
        latency_estimated: The latency holds a share that was not measured.
        cascade: What else is known of a cascade, which has neither a candidate nor a trial.
    """

    name: str
    kind: Literal["front", "cascade", "baseline", "single"]
    candidate: AnyCandidate | None
    trial: int | None
    run_id: str | None
    search: Mapping[str, float]
    costs: Mapping[str, float]
    confirmed: Scored
    interval: tuple[float, float]
    objectives: Objectives
    comparison: Comparison | None = None
    latency_estimated: bool = False
    cascade: Tested | None = None

    def __repr__(self) -> str:
        """Its name, what it is, and how it scores."""
        score = self.objectives.score
        cost = "" if self.latency_ms is None else f", {self.latency_ms:.2f} ms/text"
        test = score.measure.shown(self.confirmed.summary(score.measure).mean)
        found = f"{score.name} {score.measure.shown(self.value(score))}{cost}, test {score.measure.short} {test}"
        return f"<{self.name}: {'' if self.subject is None else f'{in_words(self.subject)}; '}{found}>"

    @property
    def subject(self) -> AnyCandidate | Cascade | None:
        """What was confirmed; None of a mere reference, such as the majority class."""
        return self.candidate if self.cascade is None else self.cascade.record.cascade

    @property
    def outside(self) -> bool:
        """Whether there are but its predictions."""
        return isinstance(self.candidate, TextCandidate) and self.candidate.outside is not None

    @property
    def taught(self) -> bool:
        """Whether it is a student, which a candidate on hidden states has taught."""
        return isinstance(self.candidate, TextCandidate) and self.candidate.teacher is not None

    @property
    def title(self) -> str:
        """How it is called in words."""
        return self.name if self.trial is None or self.kind == "baseline" else f"trial {self.trial}"

    @property
    def latency_ms(self) -> float | None:
        """Milliseconds a text; None of a mere reference."""
        return self.costs.get(LATENCY.name)

    @property
    def searched_as(self) -> tuple[str, ...]:
        """The names of what a search knows of every candidate."""
        return tuple(each.name for measure in self.objectives.measures for each in aggregated(measure))

    @property
    def over_seeds(self) -> dict[str, float]:
        """The measures on the test set over seeds: `f1_mean` and kin; what rows drawn again do, the interval says."""
        return summaries(self.objectives.measures, self.confirmed.predictions, over_repetitions)

    def value(self, objective: Objective) -> float:
        """What the search knows of it; NaN where that is nothing."""
        return self.costs.get(objective.name, self.search.get(objective.name, math.nan))

    def tested(self, measure: Measure) -> tuple[float, float]:
        """The 95% interval of a measure on the test set, over its rows or groups."""
        if measure == self.objectives.kept[0]:
            return self.interval
        found = measure.interval(self.confirmed.predictions)
        return found.low, found.high
