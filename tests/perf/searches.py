"""Whole searches over candidates whose worth is known: trained, chosen, confirmed and judged as bench does it.

A text is its class's place in sixteen dimensions and noise, half of which every candidate sees alike and half of which
is its own; a head is ridge regression on what it sees. Half of the candidates are called single models, half fusions,
which cost more. All are equally good in the mean over training rows, unless fusions see less noise (`gain`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.datasets.dataset import Dataset, Provenance, Split
from bench.evaluation.by_fold import by_seed, redrawn
from bench.evaluation.protocol import Protocol, folds
from bench.evaluation.scoring import Repetition, Scored
from bench.front import pareto
from bench.measures import ACCURACY, F1, Measure, Predictions
from bench.metrics import Redrawn
from bench.space.objectives import Objectives
from bench.study.selection import Entrant, select
from bench.study.verdicts import Claim, Comparison, judged

DIMENSIONS, CANDIDATES, TRUTH = 16, 16, 4_000
PROTOCOL, OBJECTIVES, MEASURES = Protocol(), Objectives(), (F1, ACCURACY)
SEEDS = PROTOCOL.search_seeds


@dataclass(frozen=True)
class Setting:
    """Shares of the classes, sizes of both sets, how far classes lie apart, and how much less noise fusions see."""

    name: str
    shares: tuple[float, ...]
    train: int
    test: int
    apart: float = 0.75
    gain: float = 0.0


@dataclass(frozen=True, eq=False)
class Search:
    """One search: a data set, and what every candidate said of its training rows out of fold and of its test rows."""

    setting: Setting
    seed: int

    @cached_property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    @cached_property
    def labels(self) -> np.ndarray:
        """Of training rows, test rows, and rows that tell the truth."""
        shares = np.array(self.setting.shares) / sum(self.setting.shares)
        rows = self.setting.train + self.setting.test + TRUTH
        found = self.rng.choice(len(shares), rows, p=shares)
        # each class can be learnt, as checks of a data set demand
        found[: 5 * len(shares)] = np.repeat(np.arange(len(shares)), 5)
        return found

    @cached_property
    def dataset(self) -> Dataset:
        names = tuple(f"class {number}" for number in range(len(self.setting.shares)))
        return Dataset(
            name=self.setting.name,
            source=Provenance(kind="file", description="", files={}),
            labels=names,
            test_only_labels=(),
            train=_split(self.labels[: self.setting.train]),
            test=_split(self.labels[self.setting.train : -TRUTH]),
            warnings=(),
        )

    @cached_property
    def candidates(self) -> dict[str, "Trained"]:
        """By name; the first half are single models."""
        places = self.rng.normal(size=(len(self.setting.shares), DIMENSIONS)) * self.setting.apart
        clean = places[self.labels]
        shared = self.rng.normal(size=clean.shape)
        parts = {seed: folds(self.dataset.train.labels, self.dataset.train.groups, PROTOCOL, seed) for seed in SEEDS}
        found = {}
        for number in range(CANDIDATES):
            single = number < CANDIDATES // 2
            noise = np.sqrt(0.5) * (shared + self.rng.normal(size=clean.shape))
            seen = clean + noise * (1.0 if single else 1 - self.setting.gain)
            cost = (1.0 if single else 2.0) + self.rng.random()
            name = f"{'single' if single else 'fusion'}-{number}"
            found[name] = self._trained(np.hstack([seen, np.ones((len(seen), 1))]), parts, single, cost)
        return found

    def _trained(self, seen: np.ndarray, parts: dict[int, tuple], single: bool, cost: float) -> "Trained":
        train, truth = self.setting.train, self.labels
        targets = np.eye(len(self.setting.shares))[truth]

        def said(rows: np.ndarray | slice, asked: np.ndarray | slice) -> np.ndarray:
            x = seen[rows]
            weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ targets[rows])
            answers: np.ndarray = (seen[asked] @ weights).argmax(1)
            return answers

        repetitions = []
        for seed, cut in parts.items():
            predicted = np.empty(train, dtype=np.int64)
            for fold in cut:
                predicted[fold.predict] = said(fold.train, fold.predict)
            repetitions.append(Repetition(seed, np.arange(train), self._predictions(truth[:train], predicted)))
        answers = said(slice(0, train), slice(train, None))
        tested, beyond = answers[:-TRUTH], answers[-TRUTH:]
        return Trained(
            single,
            cost,
            Scored(tuple(repetitions)),
            self._predictions(truth[train:-TRUTH], tested),
            self._predictions(truth[-TRUTH:], beyond),
        )

    def _predictions(self, truth: np.ndarray, predicted: np.ndarray) -> Predictions:
        return Predictions(truth, predicted, self.dataset.labels, groups=np.arange(len(truth)))

    @cached_property
    def front(self) -> list[str]:
        """What nobody beats in score and cost."""
        points = [(each.floor, each.cost) for each in self.candidates.values()]
        names = list(self.candidates)
        return [names[place] for place in pareto(points, OBJECTIVES.directions)]

    @cached_property
    def singles(self) -> tuple[str, ...]:
        """Those that cannot be told from the best single, by bench's own rule."""
        taking_part = [
            Entrant(name, each.cost, each.floor, each.single, lambda each=each: each.searched)
            for name, each in sorted(self.candidates.items(), key=lambda item: item[1].cost)
        ]
        return select(taking_part, OBJECTIVES, self.dataset.train.groups, self.seed).singles

    @property
    def best_single(self) -> str:
        """By the search's score."""
        singles = [name for name, each in self.candidates.items() if each.single]
        return max(singles, key=lambda name: self.candidates[name].floor)

    def verdicts(self, singles: Sequence[str], measures: Sequence[Measure] = MEASURES) -> dict[str, Comparison]:
        """The front beside these singles."""
        against = {name: [self.candidates[name].tested] for name in singles}
        claims = {name: Claim([self.candidates[name].tested], against) for name in self.front if name not in against}
        return judged(claims, measures, seed=self.seed, retrained=self.retrained) if claims else {}

    def untrue(self, name: str, comparison: Comparison) -> bool:
        """Whether other rows contradict what is said of the trained pipelines."""
        if comparison.verdict == "open":
            return False
        measures = {measure.name: measure for measure in MEASURES}
        return any(
            np.sign(each.value)
            != np.sign(
                self.candidates[name].beyond.value(measures[each.measure])
                - self.candidates[each.against].beyond.value(measures[each.measure])
            )
            for each in comparison.by_measure
        )

    def retrained(self, a: str, b: str, measure: Measure, level: float = 0.95) -> Redrawn | None:
        """As the confirmation asks it."""
        sides = self.candidates[a].searched, self.candidates[b].searched
        return redrawn(by_seed(*sides, (measure,), self.dataset, PROTOCOL), PROTOCOL, level)


@dataclass(frozen=True, eq=False)
class Trained:
    """A candidate: `beyond` is what it says of the rows that tell how good it truly is."""

    single: bool
    cost: float
    searched: Scored
    tested: Predictions
    beyond: Predictions

    @cached_property
    def floor(self) -> float:
        """The study's score."""
        return OBJECTIVES.single.value(self.searched.predictions)


def _split(labels: np.ndarray) -> Split:
    ids = tuple(map(str, range(len(labels))))
    return Split(ids, ids, labels, np.arange(len(labels)), "")
