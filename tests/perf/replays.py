"""A search replayed on a recorded table, told what was recorded.

It proposes with bench's own parts: growth, rungs, choices, and a sampler made anew for each trial. What its first
repetitions show to be beaten is told as pruned.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations, product
from typing import Any

import numpy as np
import optuna
from recorded import COSTS, HEAD, INDEX, LARGEST, ROWS, SCREENED, SHAPES, SPACE, Recorded

from bench.cost import latency_ms
from bench.front import could_still_matter
from bench.screening.growth import Growth
from bench.screening.table import Seen, SeenTable
from bench.space.candidates import suggest
from bench.space.enumeration import Member, member_of
from bench.specs import Candidate
from bench.study.rungs import of_study
from bench.study.sampling import make, seed_for
from bench.study.trials import MISSES_IN_A_ROW

DIRECTIONS = SPACE.objectives.directions
MS = np.array([latency_ms(COSTS, candidate) for candidate in INDEX])
"""Of every candidate."""


@cache
def screened(table: Recorded) -> SeenTable:
    """What the screening sees of a data set."""
    rows: dict[Candidate, Seen] = {}

    def score(candidate: Candidate) -> Seen:
        return rows.setdefault(candidate, table.seen(candidate))

    Growth(SPACE, SHAPES, COSTS).run(score)
    return SeenTable(SPACE.objectives.single, tuple(rows.values()), SCREENED, ROWS)


@cache
def best_first(table: Recorded, count: int | None) -> list[Member]:
    """Controls, then so many of what the screening puts forward."""
    space = SPACE.model_copy(update={"screen": SPACE.screen.model_copy(update={"first": count or 0})})
    rungs = of_study(space, SHAPES, COSTS, None if count is None else screened(table))
    return [*rungs.controls, *(lead.member for lead in rungs.leads[:count])]


class Flat:
    """Choices as a study makes them."""

    def candidate(self, trial: optuna.Trial) -> Candidate:
        return suggest(trial, SPACE, SHAPES)

    def params(self, member: Member) -> dict[str, Any]:
        return member.params


class Tree:
    """How many sources of which models is one choice; those below it are named after it, so that they go together."""

    def __init__(self) -> None:
        self.shapes: dict[str, dict[str, Any]] = {}
        for size in range(1, len(SHAPES) + 1):
            for models in combinations(SHAPES, size):
                for counts in product(range(1, LARGEST + 1), repeat=size):
                    if sum(counts) <= LARGEST:
                        chosen = dict(zip(models, counts, strict=True))
                        self.shapes[" + ".join(f"{count} {model}" for model, count in chosen.items())] = {
                            "models": size,
                            f"subset.{size}": " + ".join(models),
                            **{f"sources.{model}": count for model, count in chosen.items()},
                        }

    def candidate(self, trial: optuna.Trial) -> Candidate:
        shape = trial.suggest_categorical("shape", list(self.shapes))
        return suggest(Branch(trial, shape, self.shapes[shape]), SPACE, SHAPES)

    def params(self, member: Member) -> dict[str, Any]:
        models = [source.model for source in member.candidate.sources]
        shape = " + ".join(f"{models.count(model)} {model}" for model in SHAPES if model in models)
        return {"shape": shape} | {f"{shape}: {name}": value for name, value in member.params.items()}


@dataclass(frozen=True)
class Branch:
    """A chooser to which some choices are given; the others are named after their branch."""

    trial: optuna.Trial
    name: str
    given: dict[str, Any]

    def _given(self, name: str) -> Any:
        return self.given.get(name.partition(".of-")[0])

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        found = self._given(name)
        return self.trial.suggest_categorical(f"{self.name}: {name}", choices) if found is None else found

    def suggest_int(self, name: str, low: int, high: int) -> int:
        found = self._given(name)
        return self.trial.suggest_int(f"{self.name}: {name}", low, high) if found is None else int(found)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self.trial.suggest_float(f"{self.name}: {name}", low, high, log=log)


class Neighbours(optuna.samplers.BaseSampler):
    """A candidate of the front with one choice in so many drawn anew, numbers often beside where they were."""

    def __init__(self, seed: int) -> None:
        self.random = optuna.samplers.RandomSampler(seed=seed)
        self.rng = np.random.default_rng(seed)
        self.parent: dict[str, Any] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: Any) -> dict[str, Any]:
        front = study.best_trials
        self.parent = dict(front[self.rng.integers(len(front))].params) if front else {}
        return {}

    def sample_relative(self, study: optuna.Study, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: optuna.Study, trial: Any, param_name: str, param_distribution: Any) -> Any:
        if param_name in self.parent:
            kept = self.parent[param_name]
            if self.rng.random() > 1 / len(self.parent):
                return kept
            if isinstance(param_distribution, optuna.distributions.IntDistribution) and self.rng.random() < 0.5:
                step = kept + self.rng.choice((-1, 1))
                return int(min(max(step, param_distribution.low), param_distribution.high))
        return self.random.sample_independent(study, trial, param_name, param_distribution)


def ungrouped(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


@dataclass(frozen=True)
class Way:
    """How a search goes.

    Attributes:
        sampler: Of `bench.space.samplers`, or a function that makes one from a seed.
        first: So many of the screening's candidates are tried before it; None looks at nothing before the trials.
        encoding: Its choices.
        taught: Whether the sampler is told the screening's scores, as if they were trials.
    """

    sampler: str | Callable[[int], optuna.samplers.BaseSampler] = "random"
    first: int | None = None
    encoding: Callable[[], Flat | Tree] = Flat
    taught: bool = False

    def made(self, seed: int) -> optuna.samplers.BaseSampler:
        return make(self.sampler, seed) if isinstance(self.sampler, str) else self.sampler(seed)


@dataclass
class Search:
    """One search, replayed."""

    table: Recorded
    way: Way
    seed: int
    curve: list[tuple[float, float]] = field(default_factory=list)
    """After each trial: seconds, and share of hypervolume."""
    thinking: list[float] = field(default_factory=list)
    """Seconds that each trial's proposal took."""

    def run(self, trials: int) -> "Search":
        self.study = optuna.create_study(directions=DIRECTIONS)
        self.encoding = self.way.encoding()
        self.known: dict[Candidate, tuple[float, float] | None] = {}
        seen = None if self.way.first is None else screened(self.table)
        self.put_forward = best_first(self.table, self.way.first)
        clock, repeats, spent = 0.0 if seen is None else seen.seconds, 0, 0.0
        if self.way.taught and seen is not None:
            self._teach(seen)
        while len(self.known) < trials:
            start = time.process_time()
            trial, candidate = self.propose(unseen=repeats >= MISSES_IN_A_ROW)
            spent += time.process_time() - start
            if candidate in self.known:
                repeats += 1
                self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                continue
            share = self._try(trial, candidate)
            self.thinking.append(spent)
            clock += spent + share * self.table.seconds["trial"][len(candidate.sources) - 1]
            repeats, spent = 0, 0.0
            self.curve.append((clock, volume(self.table, [point for point in self.known.values() if point])))
        return self

    def propose(self, *, unseen: bool) -> tuple[optuna.Trial, Candidate]:
        seed = seed_for(self.seed, len(self.study.get_trials(deepcopy=False)))
        for member in self.put_forward:
            if member.candidate not in self.known:
                return self._given(member)
        self.study.sampler = make("random", seed) if unseen else self.way.made(seed)
        trial = self.study.ask()
        return trial, self.encoding.candidate(trial)

    def _given(self, member: Member) -> tuple[optuna.Trial, Candidate]:
        self.study.sampler = make("random", 0)
        self.study.enqueue_trial(self.encoding.params(member))
        trial = self.study.ask()
        return trial, self.encoding.candidate(trial)

    def _teach(self, seen: SeenTable) -> None:
        for row in seen.rows:
            member = member_of(row.candidate(HEAD), SPACE, SHAPES)
            assert member is not None
            trial, candidate = self._given(member)
            self.study.tell(trial, [seen.value(row), latency_ms(COSTS, candidate)])

    def _try(self, trial: optuna.Trial, candidate: Candidate) -> float:
        """Tell the sampler; the share of the repetitions that it took."""
        place = INDEX[candidate]
        scores, ms = self.table.trials[place], float(MS[place])
        finished = [point for point in self.known.values() if point]
        for done in range(1, len(scores)):
            if not could_still_matter((float(scores[:done].min()), ms), finished, DIRECTIONS):
                self.known[candidate] = None
                self.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                return done / len(scores)
        self.known[candidate] = float(scores.min()), ms
        self.study.tell(trial, list(self.known[candidate]))
        return 1.0


def volume(table: Recorded, points: Iterable[tuple[float, float]]) -> float:
    """Share of the whole table's hypervolume."""
    return _volume(table, points) / _whole(table)


@cache
def _whole(table: Recorded) -> float:
    return _volume(table, zip(table.floors.tolist(), MS.tolist(), strict=True))


def _volume(table: Recorded, points: Iterable[tuple[float, float]]) -> float:
    least, most = table.median, float(MS.max())
    found, best = 0.0, least
    for score, ms in sorted(points, key=lambda point: (point[1], -point[0])):
        if score > best:
            found, best = found + (score - best) * math.log(most / ms), score
    return found
