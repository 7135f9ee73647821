"""A study's scores as a report shows them: the front's table, search against test, spread."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.evaluation.protocol import Fold, folds
from bench.evaluation.scoring import Repetition
from bench.metrics import Interval, Summary, paired_interval, score, summarise
from bench.study.confirm import BEST_SINGLE, Entry
from bench.study.figure import COSTS, confirmed_interval, score_name
from bench.study.journal import TrialRecord
from bench.study.study import Study
from bench.tasks import TASKS

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Line:
    """One line of the front's table. `against` is its difference to the best searched single model on the test set."""

    name: str
    entry: Entry
    test: Summary
    interval: tuple[float, float]
    against: Interval | None = None
    knee: bool = False
    chosen: bool = False


@dataclass(frozen=True)
class Spread:
    """Scores of one candidate under everything that was varied.

    `folds` are those of a fold's rows over the classes that have a row there; none where there are no folds.
    """

    name: str
    folds: tuple[float, ...]
    repetitions: tuple[float, ...]
    seeds: tuple[float, ...]

    @property
    def summaries(self) -> tuple[Summary | None, Summary, Summary]:
        """Of folds, repetitions and seeds."""
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

    @property
    def difference(self) -> float:
        """How much better the search made it look."""
        return self.search - self.test.mean


def score_of(study: Study) -> str:
    """The score that the study is about, ``f1`` or ``accuracy``: its first objective's that is one."""
    names = [name for name in study.request.space.objectives.names if name not in COSTS]
    return names[0].partition("_")[0] if names else "f1"


def test_score(entry: Entry, score: str) -> Summary:
    """The score on the test set over seeds."""
    return entry.confirmed.f1 if score == "f1" else entry.confirmed.accuracy


def title(entry: Entry) -> str:
    """How an entry is called in a report."""
    return entry.name if entry.trial is None or entry.kind == "baseline" else f"trial {entry.trial}"


def lines(study: Study, entries: Sequence[Entry], knee: int | None, chosen: int) -> list[Line]:
    """The entries with their test scores, and their paired difference to the best searched single model."""
    score, labels = score_of(study), study.scorer.dataset.test.labels
    single = reference(study)
    return [
        Line(
            name=title(entry),
            entry=entry,
            test=test_score(entry, score),
            interval=confirmed_interval(entry, score, labels),
            against=None if entry.comparison is None or single is None else _against(study, entry, single),
            knee=entry.trial is not None and entry.trial == knee and entry.kind == "front",
            chosen=entry.trial is not None and entry.trial == chosen and entry.kind == "front",
        )
        for entry in entries
    ]


def reference(study: Study) -> Entry | None:
    """The best searched single model."""
    return next((entry for entry in study.baselines if entry.name == BEST_SINGLE), None)


def _against(study: Study, entry: Entry, single: Entry) -> Interval:
    dataset = study.scorer.dataset
    return paired_interval(
        dataset.test.labels,
        entry.confirmed.predicted,
        single.confirmed.predicted,
        len(dataset.labels) + len(dataset.test_only_labels),
        seed=study.request.protocol.seed,
    )


def gaps(study: Study) -> list[Gap]:
    """The front, which was selected, and beside it the baselines that were not: both have other rows on test."""
    score, labels = score_of(study), study.scorer.dataset.test.labels
    selected = [(entry, True) for entry in study.front]
    others = [(entry, False) for entry in study.baselines if entry.name not in {BEST_SINGLE, "majority"}]
    return [
        Gap(
            name=title(entry),
            search=float(entry.search[f"{score}_mean"]),
            test=test_score(entry, score),
            interval=confirmed_interval(entry, score, labels),
            selected=chosen,
        )
        for entry, chosen in (*selected, *others)
    ]


def spreads(study: Study, chosen: TrialRecord) -> list[Spread]:
    """Of the front, the chosen candidate and the best searched single model."""
    score = score_of(study)
    single = reference(study)
    candidates = {f"trial {entry.trial}": entry.candidate for entry in study.front}
    candidates.setdefault(f"trial {chosen.number}", chosen.candidate)
    if single is not None and single.candidate not in candidates.values():
        candidates[BEST_SINGLE] = single.candidate
    parts = _folds(study)
    return [
        Spread(
            name=name,
            folds=tuple(
                _fold_score(study, each, fold, score) for each in searched for fold in parts.get(each.seed, ())
            ),
            repetitions=tuple(_value(each, score) for each in searched),
            seeds=tuple(_value(each, score) for each in study.scorer.scored(candidate, "confirm").repetitions),
        )
        for name, candidate in candidates.items()
        if candidate is not None
        for searched in [study.scorer.scored(candidate, "search").repetitions]
    ]


def _value(repetition: Repetition, score: str) -> float:
    return repetition.scores.macro_f1 if score == "f1" else repetition.scores.accuracy


def _folds(study: Study) -> dict[int, tuple[Fold, ...]]:
    """The folds of each repetition by seed, where there are several."""
    protocol, dataset = study.request.protocol, study.scorer.dataset
    train = dataset.train
    if protocol.name != "cv" or protocol.uses_validation_split(len(train)):
        return {}
    strata = TASKS[dataset.task].fold_strata(train.labels)
    return {seed: folds(strata, train.groups, protocol, seed) for seed in protocol.search_seeds}


def _fold_score(study: Study, repetition: Repetition, fold: Fold, name: str) -> float:
    dataset = study.scorer.dataset
    places = np.searchsorted(repetition.rows, fold.predict)
    scores = score(dataset.train.labels[fold.predict], repetition.predicted[places], len(dataset.labels))
    present = [f1 for f1, rows in zip(scores.f1, scores.support, strict=True) if rows]
    return scores.accuracy if name == "accuracy" else float(np.mean(present))


def in_words(study: Study, chosen: TrialRecord, kind: str) -> list[str]:
    """The result in a few sentences, as plain as the numbers allow."""
    score = score_of(study)
    confirmed = study.scorer.scored(chosen.candidate, "confirm")
    test = confirmed.f1 if score == "f1" else confirmed.accuracy
    rows = len(study.scorer.dataset.test)
    scores = (
        f"{kind}: trial {chosen.number}, {chosen.candidate}, at {chosen.metrics['latency_ms']:.2f} ms a text. "
        f"Search: {score_name(score)} {chosen.metrics[f'{score}_mean']:.4f} in the mean and "
        f"{chosen.metrics[f'{score}_floor']:.4f} in the worst repetition. "
        f"Test set ({rows} rows, {test.n} seeds): {test.mean:.4f}."
    )
    verdict = _verdict(next((each for each in study.front if each.trial == chosen.number), None))
    best = max(study.baselines, key=lambda entry: test_score(entry, score).mean)
    above = "above" if test_score(best, score).mean > test.mean else "not above"
    beside = (
        f"Of the baselines, {best.name} has the highest test score: {test_score(best, score).mean:.4f}, {above} this "
        "candidate's. Test scores played no part in the choice."
    )
    return [scores, verdict, beside]


def _verdict(entry: Entry | None) -> str:
    if entry is None:
        return "It is not on the front, so that no test against the best single model was planned for it."
    if entry.comparison is None:
        return "It is the best searched single model itself: there is nothing to compare it with."
    difference, p, resolvable = entry.comparison.difference, entry.comparison.p, entry.comparison.resolvable
    apart = "is better than" if difference > 0 else "is worse than"
    shown = "" if math.isnan(resolvable) else f" (these rows can show one of about {resolvable:.3f})"
    return (
        f"On the test set it {apart if p < SIGNIFICANT else 'cannot be told apart from'} the best searched single "
        f"model: macro-F1 {difference:+.4f}{shown}, p = {p:.3f} after Holm's correction over the front."
    )
