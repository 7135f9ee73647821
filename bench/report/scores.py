"""A study's scores as a report shows them: the front's table, search against test, spread."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.evaluation.protocol import Fold, folds
from bench.evaluation.scoring import Scored
from bench.measures import AGGREGATIONS, Measure, Objective
from bench.metrics import Summary, summarise
from bench.study.baselines import BEST_SINGLE
from bench.study.cascades import Selected
from bench.study.entry import Entry
from bench.study.study import Study
from bench.tasks import TASKS

Sides = tuple[Scored, Scored]
"""Of the search, and of the test set."""


@dataclass(frozen=True)
class Line:
    """One line of the front's table."""

    name: str
    entry: Entry
    test: Summary
    interval: tuple[float, float]
    knee: bool = False
    chosen: bool = False


@dataclass(frozen=True)
class Spread:
    """Scores of one candidate under everything that was varied; `folds` is empty where there are none."""

    name: str
    folds: tuple[float, ...]
    repetitions: tuple[float, ...]
    seeds: tuple[float, ...]

    @property
    def values(self) -> tuple[tuple[float, ...], ...]:
        """Of folds, repetitions and seeds."""
        return self.folds, self.repetitions, self.seeds

    @property
    def summaries(self) -> tuple[Summary | None, Summary, Summary]:
        """Mean and spread of each of these; None of folds where there are none."""
        of_folds = summarise(self.folds) if self.folds else None
        return of_folds, summarise(self.repetitions), summarise(self.seeds)


@dataclass(frozen=True)
class Gap:
    """Search score and test score of one candidate, both means; `selected` where the search chose it by its score."""

    name: str
    search: float
    test: Summary
    interval: tuple[float, float]
    selected: bool
    beside: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Other measures by title: of the search, and of the test set."""

    @property
    def difference(self) -> float:
        """How much better the search made it look."""
        return self.search - self.test.mean


def score_of(study: Study) -> Measure:
    """The score that the study is about."""
    return study.request.space.objectives.score.measure


def title(entry: Entry) -> str:
    """How an entry is called in a report."""
    return entry.title


def lines(study: Study, entries: Sequence[Entry], knee: str | None, chosen: Selected) -> list[Line]:
    """The entries with their test scores."""
    score = score_of(study)
    return [
        Line(
            name=title(entry),
            entry=entry,
            test=entry.confirmed.summary(score),
            interval=entry.tested(score),
            knee=entry.name == knee and entry.kind == "front",
            chosen=title(entry) == chosen.title,
        )
        for entry in entries
    ]


def reference(study: Study) -> Entry | None:
    """The best searched single model."""
    return next((entry for entry in study.baselines if entry.name == BEST_SINGLE), None)


def gaps(study: Study) -> list[Gap]:
    """The front, which was selected, and beside it the baselines that were not: both have other rows on test."""
    score = score_of(study)
    selected = [(entry, True) for entry in study.found]
    others = [(entry, False) for entry in study.baselines if entry.name not in {BEST_SINGLE, "majority"}]
    return [
        Gap(
            name=title(entry),
            search=entry.value(Objective(score, AGGREGATIONS["mean"])),
            test=entry.confirmed.summary(score),
            interval=entry.tested(score),
            selected=chosen,
            beside={
                each.title: (entry.value(Objective(each, AGGREGATIONS["mean"])), entry.confirmed.summary(each).mean)
                for each in entry.objectives.beside
            },
        )
        for entry, chosen in (*selected, *others)
        if not math.isnan(entry.confirmed.summary(score).mean)
    ]


def spreads(study: Study, chosen: Selected, by: Measure | None = None) -> list[Spread]:
    """Of the front, the chosen candidate and the best searched single model, by one measure: by default the score."""
    measure = by or score_of(study)
    single = reference(study)
    scored: dict[str, Sides] = {title(entry): (_searched(study, entry), entry.confirmed) for entry in study.found}
    if chosen.title not in scored:
        scored[chosen.title] = study.scored(chosen, "search"), study.scored(chosen, "confirm")
    if single is not None and single.candidate not in {entry.candidate for entry in study.found}:
        scored[BEST_SINGLE] = _searched(study, single), single.confirmed
    parts = _folds(study)
    return [
        Spread(
            name=name,
            folds=tuple(
                each.predictions.at(np.searchsorted(each.rows, fold.predict)).value(measure)
                for each in found.repetitions
                for fold in parts.get(each.seed, ())
            ),
            repetitions=tuple(each.value(measure) for each in found.predictions),
            seeds=tuple(each.value(measure) for each in confirmed.predictions),
        )
        for name, (found, confirmed) in scored.items()
    ]


def _searched(study: Study, entry: Entry) -> Scored:
    """What was searched of an entry that is no mere reference."""
    if entry.cascade is not None:
        return study.scored(entry.cascade.record, "search")
    assert entry.candidate is not None
    return study.scorer.scored(entry.candidate, "search")


def _folds(study: Study) -> dict[int, tuple[Fold, ...]]:
    """The folds of each repetition by seed, where there are several."""
    protocol, dataset = study.request.protocol, study.scorer.dataset
    train = dataset.train
    if protocol.name != "cv" or protocol.uses_validation_split(len(train)) or TASKS[dataset.task].ranks:
        return {}
    strata = TASKS[dataset.task].fold_strata(train.labels)
    return {seed: folds(strata, train.groups, protocol, seed) for seed in protocol.search_seeds}


def in_words(study: Study, chosen: Selected, kind: str) -> list[str]:
    """The result in a few sentences, as plain as the numbers allow."""
    score = score_of(study)
    confirmed = study.scored(chosen, "confirm")
    test, cost = confirmed.summary(score), study.request.space.objectives.cost
    mean, worst = (Objective(score, AGGREGATIONS[name]).name for name in ("mean", "floor"))

    def beside(scored: Scored) -> str:
        kept = study.request.space.objectives.beside
        return "".join(f", {each.title} {each.shown(scored.summary(each).mean)}" for each in kept)

    value, rows = cost.measure.shown(chosen.metrics[cost.name]), len(study.scorer.dataset.test)
    paid = f"{cost.label} {value}" if cost.aggregation else f"{cost.measure.title} {value} {cost.measure.unit}"
    scores = (
        f"{kind}: {chosen.title}, {chosen.subject}, "
        f"{paid}. "
        f"Search: {score.title} {score.shown(chosen.metrics[mean])} in the mean and "
        f"{score.shown(chosen.metrics[worst])} in the worst repetition. "
        f"Test set ({rows} rows, {test.n} seeds): {score.title} {score.shown(test.mean)}{beside(confirmed)}."
    )
    verdict = _verdict(next((each for each in study.found if title(each) == chosen.title), None))
    known = {entry.name: entry.confirmed.summary(score).mean for entry in study.baselines}
    tested = {entry.name: entry.confirmed for entry in study.baselines}
    best = max((name for name in known if not math.isnan(known[name])), key=lambda name: score.sign * known[name])
    highest, above = ("highest", "above") if score.sign > 0 else ("lowest", "below")
    beyond = above if score.sign * known[best] > score.sign * test.mean else f"not {above}"
    others = (
        f"Of the baselines, {best} has the {highest} test score: {score.title} {score.shown(known[best])}"
        f"{beside(tested[best])}, {beyond} this candidate's. Test scores played no part in the choice."
    )
    return [scores, verdict, others]


def _verdict(entry: Entry | None) -> str:
    if entry is None:
        return "It is not on the front, so that no test against single models was planned for it."
    if entry.comparison is None:
        return "It is of one model, and may be the best of these: fusions are held against it."
    return entry.comparison.words()
