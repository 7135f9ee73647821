"""How sure a package is of labelled rows, and what it answers where texts are rejected or mistakes have costs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bench.evaluation.mistakes import REJECTED
from bench.evaluation.rule import Rule
from bench.evaluation.sureness import Errors, Threshold, error_of, tried_on
from bench.measures import MEASURES, Measure, Predictions
from bench.metrics import Interval, row_interval
from bench.packaging.remembered import scores_of


@dataclass(frozen=True)
class Ruled:
    """What is answered under a rule that rejects texts, or takes the cheapest answer rather than the likeliest.

    Attributes:
        reject_below: The probability of the likeliest label below which a text is rejected.
        rows: How many are answered.
        scores: By measure, of these, with 95% intervals; none where no row is answered.
        rejected_right: Of the others, the share whose likeliest label would have been right; None where there is none.
        by_class: By label, how many of its rows are rejected.
        changed: How many rows have another answer than their likeliest label.
        cost: Where mistakes have costs, what a row costs in the mean, rejected ones too, with its 95% interval.
        cost_likeliest: The same where every text is answered with its likeliest label.
    """

    reject_below: float
    rows: int
    scores: Mapping[str, Interval]
    rejected_right: float | None
    by_class: Mapping[str, int]
    changed: int
    cost: Interval | None
    cost_likeliest: Interval | None

    @property
    def titles(self) -> tuple[str, ...]:
        """What the scores are called."""
        return tuple(MEASURES[name].title for name in self.scores)

    def words(self, rows: int, title: str) -> Iterator[str]:
        """What is answered of so many rows, which are called `title`, a sentence each."""
        scores = ", ".join(f"{MEASURES[name].title} {_spanned(score)}" for name, score in self.scores.items())
        of_these = f": {scores}" if scores else ""
        yield f"Of {rows} {title} {self.rows} ({self.rows / rows:.1%}) are answered{of_these}."
        if self.rejected_right is not None:
            yield f"Of the others {self.rejected_right:.1%} would have been right by their likeliest label."
        if self.cost is not None and self.cost_likeliest is not None:
            yield f"A row costs {_spanned(self.cost)}; by likeliest labels {_spanned(self.cost_likeliest)}."


def _spanned(score: Interval) -> str:
    return f"{score.value:.3f} (95% {score.low:.3f} to {score.high:.3f})"


@dataclass(frozen=True)
class Tried:
    """A threshold that the search chose out of fold, with what it answers of these rows."""

    chosen: Threshold
    coverage: float
    accuracy: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, Any]:
        """What was chosen and what was found, as JSON values."""
        found = {name: value for name, value in asdict(self).items() if name != "chosen"}
        return {"chosen": self.chosen.model_dump(), "now": found}


@dataclass(frozen=True)
class Sure:
    """How far probabilities mean what they say on these rows, and what thresholds to choose from are worth on them.

    `errors` is the expected calibration error; `thresholds` are empty of an earlier bench's package.
    """

    errors: Errors
    thresholds: tuple[Tried, ...]


def how_sure(said: Predictions, before: float, thresholds: Iterable[Threshold]) -> Sure:
    """What thresholds answer of these rows; `before` is the calibration error as the heads say it."""
    tried = []
    for each in thresholds:
        found = tried_on([said], each.probability)
        tried.append(
            Tried(each, found["test_coverage"] or 0.0, found["test_accuracy"], found.get("low"), found.get("high"))
        )
    return Sure(Errors(before=before, after=error_of([said])), tuple(tried))


def under_rule(said: Predictions, rule: Rule, labels: Sequence[str], measures: Iterable[Measure]) -> Ruled:
    """What is answered of rows with these `labels` under `rule`, and what it is worth by `measures`."""
    logs = said.log_probabilities
    assert logs is not None
    decided = rule.decide(np.exp(logs), said.predicted)
    kept = decided != REJECTED
    right = (said.predicted == said.truth)[~kept]
    rejected = np.bincount(said.truth[~kept], minlength=len(labels)).tolist()
    answers = replace(said, predicted=np.where(kept, decided, said.predicted)).at(np.flatnonzero(kept))
    return Ruled(
        reject_below=rule.reject_below,
        rows=int(kept.sum()),
        scores=scores_of(answers, list(measures), 0) if kept.any() else {},
        rejected_right=float(right.mean()) if len(right) else None,
        by_class={label: count for label, count in zip(labels, rejected, strict=True) if count},
        changed=int((decided != said.predicted)[kept].sum()),
        cost=None if rule.costs is None else _mean(rule.costs.of(said.truth, decided), said),
        cost_likeliest=None if rule.costs is None else _mean(rule.costs.of(said.truth, said.predicted), said),
    )


def _mean(values: np.ndarray, said: Predictions) -> Interval:
    """The mean of what is known of each row, with its 95% interval over rows, or their groups."""
    return row_interval(lambda rows: float(np.nanmean(values[rows])), len(values), seed=0, groups=said.groups)
