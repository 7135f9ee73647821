"""Which candidate to take: what the best score is worth once it was chosen, and what cannot be told apart from it.

The stored out-of-fold predictions of everything that was scored to its end are chosen from again and again over rows
that are drawn again (`bench.metrics.selection`). Nothing is trained, and the test set has no part in it. What a search
gave up before its end does not take part, nor do cascades that were considered and not kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from bench.evaluation.scoring import Scored, Scorer
from bench.measures import Measure
from bench.metrics import Contest, Interval, Resamples, affordable, corrected
from bench.space.objectives import Objectives
from bench.specs import Spec
from bench.study.baselines import scored_records
from bench.study.cascades import chosen
from bench.study.cascades import searched as cascade_searched
from bench.study.journal import Journal

NOTE = "selection"
ERRORS = 1.0
"""Within so many standard errors of the difference, a candidate cannot be told apart from the best."""


class Corrected(Spec):
    """A measure, in the mean over repetitions: as it was `seen` when it was chosen by it, and what that is worth.

    `low` and `high` hold 95 % of what the choice scored on rows that it had no part in.
    """

    seen: float
    value: float
    low: float
    high: float


class Recommendation(Spec):
    """What was chosen from, and what may be said of the choice. Names are those that `Study.choose` takes.

    Attributes:
        by: The objective that the best is the best by.
        winner: The best; of equal ones the cheapest, then the one that was tried first.
        recommended: The cheapest that cannot be told apart from the winner; of equally cheap ones the better.
        near: All that cannot be told apart from the winner, itself included, the cheapest first.
        singles: All of a single model that cannot be told apart from the best of these, the cheapest first.
        wins: The share of draws in which a candidate is the best, for those that ever are, the most frequent first.
        winning: By measure, what the winner is worth: each draw's winner on the rows that it left out.
        recommending: The same of the recommended.
        candidates: How many were chosen from.
        rows: How many rows were drawn from.
        units: How many groups these are of; as many as rows where each stands for itself.
        draws: How often.
        entrants: What took part, and `end` where the journal ended then (see `Journal.end`).
    """

    by: str
    winner: str
    recommended: str
    near: tuple[str, ...]
    singles: tuple[str, ...]
    wins: Mapping[str, float]
    winning: Mapping[str, Corrected]
    recommending: Mapping[str, Corrected]
    candidates: int
    rows: int
    units: int
    draws: int
    entrants: tuple[str, ...] = Field(default=(), repr=False)
    end: str = Field(default="", repr=False)

    def to_json(self) -> dict[str, Any]:
        """What is of use outside, as JSON values."""
        return self.model_dump(mode="json", exclude={"entrants", "end"})


def titled(name: str) -> str:
    """How what takes part is called in words: a trial by its number."""
    return f"trial {name}" if name.isdecimal() else name


@dataclass(frozen=True, eq=False)
class Entrant:
    """Whatever has out-of-fold predictions and a cost; `single` where one model alone makes them.

    Of `cost` and `score` less and more are better, whatever is searched for.
    """

    name: str
    cost: float
    score: float
    single: bool
    scored: Callable[[], Scored]


def entrants(journal: Journal, scorer: Scorer, objectives: Objectives) -> list[Entrant]:
    """All that is chosen from, the cheapest first; of equally cheap ones the better, of equal ones the first tried."""
    return sorted(_entrants(journal, scorer, objectives), key=lambda each: (each.cost, -each.score))


def _entrants(journal: Journal, scorer: Scorer, objectives: Objectives) -> Iterator[Entrant]:
    cost, by = objectives.cost, objectives.single

    def place(metrics: Mapping[str, float]) -> tuple[float, float]:
        return -cost.sign * metrics[cost.name], by.sign * metrics[by.name]

    for record in scored_records(journal):
        candidate = record.candidate
        yield Entrant(
            str(record.id),
            *place(record.metrics),
            len(candidate.models) == 1,
            lambda candidate=candidate: scorer.scored(candidate, "search"),  # type: ignore[misc]
        )
    made = chosen(journal)
    for cascade in () if made is None else made.records:
        yield Entrant(
            cascade.name,
            *place(cascade.metrics),
            len(cascade.cascade.models) == 1,
            lambda cascade=cascade: cascade_searched(scorer, cascade),  # type: ignore[misc]
        )


def kept(journal: Journal) -> Recommendation | None:
    """What a search wrote down when it ended, whatever was tried since; None of one that never came so far."""
    note = journal.note(NOTE)
    return None if note is None else Recommendation.model_validate(note)


def selection(journal: Journal, scorer: Scorer, objectives: Objectives) -> Recommendation:
    """As it was kept if nothing was tried since, else made anew."""
    found, taking_part = kept(journal), entrants(journal, scorer, objectives)
    names = tuple(each.name for each in taking_part)
    if found is not None and (found.end, found.entrants, found.by) == (journal.end, names, objectives.single.name):
        return found
    return anew(journal, scorer, objectives)


def anew(journal: Journal, scorer: Scorer, objectives: Objectives) -> Recommendation:
    """The choice from out-of-fold predictions, whatever was kept."""
    split = scorer.dataset.train if scorer.protocol.name == "cv" else scorer.dataset.test
    made = select(entrants(journal, scorer, objectives), objectives, split.groups, scorer.protocol.seed)
    return made.model_copy(update={"end": journal.end})


def forget(journal: Journal) -> None:
    """Remember no choice: what it was made from is scored anew, under the same names."""
    journal.keep(NOTE, None)


def keep(journal: Journal, scorer: Scorer, objectives: Objectives) -> Recommendation:
    """The same, remembered with the study."""
    found = selection(journal, scorer, objectives)
    journal.keep(NOTE, found.model_dump(mode="json"))
    return found


def select(taking_part: Sequence[Entrant], objectives: Objectives, groups: np.ndarray, seed: int) -> Recommendation:
    """The choice among at least one entrant.

    Args:
        taking_part: In the order of `entrants`.
        objectives: Of the study: the best is chosen by `Objectives.single`.
        groups: Of the split that was predicted, int [rows].
        seed: Of the draws.
    """
    by = objectives.single
    first = taking_part[0].scored()
    rows, classes = first.repetitions[0].rows, len(first.predictions[0].labels)
    columns = (2 * len(first.repetitions) + 1) * classes * len(taking_part)
    drawn = Resamples.of(groups[rows], seed=seed, draws=affordable(len(rows), columns))
    choices = Contest(
        np.stack([by.sign * by.resampled(each.scored().predictions, drawn) for each in taking_part], axis=1)
    )
    winners, cheapest = choices.winners, choices.cheapest_near(ERRORS)
    singles = [place for place, each in enumerate(taking_part) if each.single]
    counts = np.bincount(winners, minlength=len(taking_part))
    names = tuple(each.name for each in taking_part)
    return Recommendation(
        by=by.name,
        winner=names[choices.winner],
        recommended=names[cheapest[0]],
        near=tuple(names[place] for place in choices.near(ERRORS)),
        singles=tuple(names[place] for place in choices.near(ERRORS, singles)) if singles else (),
        wins={
            names[place]: float(counts[place] / len(winners))
            for place in np.argsort(-counts, kind="stable")
            if counts[place]
        },
        winning=_worth(taking_part, objectives.measures, drawn, choices.winner, winners),
        recommending=_worth(taking_part, objectives.measures, drawn, int(cheapest[0]), cheapest[1:]),
        candidates=len(taking_part),
        rows=len(rows),
        units=len(np.unique(groups[rows])),
        draws=len(winners),
        entrants=names,
    )


def _worth(
    taking_part: Sequence[Entrant], measures: Sequence[Measure], drawn: Resamples, whole: int, each: np.ndarray
) -> dict[str, Corrected]:
    """What a choice is worth by every measure that all it ever took have; `whole` is its choice on all rows."""
    found = {}
    for measure in measures:
        scored = {place: taking_part[place].scored() for place in {whole, *each.tolist()}}
        observed = np.full(len(taking_part), np.nan)
        for place, one in scored.items():
            observed[place] = one.summary(measure).mean

        def left_out(place: int, measure: Measure = measure, scored: Mapping[int, Scored] = scored) -> np.ndarray:
            scores: np.ndarray = measure.resampled(scored[place].predictions, drawn, left=True).mean(axis=1)
            return scores

        worth: Interval = corrected(each, observed, left_out)
        if not np.isnan(worth.value):
            found[measure.name] = Corrected(seen=observed[whole], value=worth.value, low=worth.low, high=worth.high)
    return found
