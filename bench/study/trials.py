"""The trials of a study: propose, recognise, evaluate in rungs, remember."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from bench.cost import ModelCost, latency_ms, memory_gb
from bench.evaluation.scoring import Repetition, Scored, Scorer
from bench.front import could_still_matter
from bench.heads import DivergedError
from bench.progress import Work
from bench.space.candidates import Shapes, suggest
from bench.space.enumeration import Member, is_finite, members
from bench.space.schema import SearchSpace
from bench.specs import Candidate
from bench.study.journal import Journal, State, TrialRecord
from bench.study.sampling import seed_for
from bench.study.settings import Constraints

MISSES_IN_A_ROW = 3
"""After so many proposals of what is known or over a limit, an unseen candidate is drawn instead."""
ENUMERABLE = 5_000
"""Spaces up to this size are listed in memory, to draw unseen candidates from."""
HOPELESS_REPEATS = 200
"""After so many known candidates in a row, unseen draws among them, there is next to nothing left to find."""
FRUITLESS = 500
"""After so many new candidates in a row that were all dominated or over a limit, the study has converged."""

Logger = Callable[[TrialRecord, Scored], str | None]
"""Writes a finished trial down and returns its run's id."""


@dataclass
class Trials:
    """Runs trials until enough distinct candidates are scored, the space is exhausted, or time is up."""

    journal: Journal
    scorer: Scorer
    space: SearchSpace
    shapes: Shapes
    costs: Mapping[str, ModelCost]
    constraints: Constraints
    seed: int
    log: Logger
    exhausted: bool = False
    _listed: list[Member] | None = None
    _seeded: Iterator[Member] = field(default_factory=lambda: iter(()))

    def run(self, wanted: int, task: Work, deadline: float | None = None) -> str | None:
        """Try candidates until `wanted` distinct ones are scored; None, or why it stopped before.

        `deadline` is of `time.monotonic`.
        """
        self._prepare(wanted)
        while len(self.journal.of("complete")) < wanted:
            # one candidate is scored however short the time is, so that there is a front to confirm
            if deadline is not None and time.monotonic() > deadline and self.journal.of("complete"):
                return "the time budget is used up; the same command goes on from here"
            if self._in_a_row({"repeat"}, ()) >= HOPELESS_REPEATS:
                self.exhausted = True
                return f"the space is as good as exhausted: {HOPELESS_REPEATS} proposals in a row were known already"
            if self._in_a_row({"pruned", "infeasible", "failed"}, {"repeat"}) >= FRUITLESS:
                return f"converged: the last {FRUITLESS} candidates were all dominated, over a limit, or failed"
            proposal = self._propose(unseen=self._in_a_row({"repeat", "infeasible"}, ()) >= MISSES_IN_A_ROW)
            if proposal is None:
                self.exhausted = True
                return "the space is exhausted: every candidate within the limits was tried"
            trial, candidate = proposal
            record = self._try(trial, candidate)
            if record.state == "complete":
                task.advance()
                task.note(self._standing())
        return None

    def _in_a_row(self, states: Collection[State], ignored: Collection[State]) -> int:
        """How many of the last trials were in `states`: read off the history, so that a resumed study sees the same."""
        found = 0
        for record in reversed(self.journal.records.values()):
            if record.state in states:
                found += 1
            elif record.state not in ignored:
                break
        return found

    def _prepare(self, wanted: int) -> None:
        """List a small space; put what has to be tried in any case in front."""
        self._listed = None
        if is_finite(self.space):
            found = list(islice(members(self.space, self.shapes), ENUMERABLE + 1))
            if len(found) <= ENUMERABLE:
                feasible = [member for member in found if self._violation(self._fixed(member.candidate)) == 0]
                self._listed = sorted(feasible, key=lambda member: len(member.candidate.sources))
        if self._listed is not None and len(self._listed) <= wanted:
            self._seeded = iter(self._listed)
        else:
            self._seeded = iter(list(singles(self.space, self.shapes)))

    def _propose(self, *, unseen: bool) -> tuple[Any, Candidate] | None:
        for member in self._seeded:
            if self.journal.known(member.candidate) is None:
                return self._ask(self.space.sampler.name, member.params)
        if self._listed is not None:
            left = [member for member in self._listed if self.journal.known(member.candidate) is None]
            if not left:
                return None
            if unseen:
                draw = np.random.default_rng(seed_for(self.seed, len(self.journal.records)))
                return self._ask(self.space.sampler.name, left[draw.integers(len(left))].params)
        return self._ask("random" if unseen else self.space.sampler.name)

    def _ask(self, sampler: str, params: Mapping[str, Any] | None = None) -> tuple[Any, Candidate]:
        trial = self.journal.ask(sampler, self.seed, params)
        return trial, suggest(trial, self.space, self.shapes)

    def _try(self, trial: Any, candidate: Candidate) -> TrialRecord:
        if (known := self.journal.known(candidate)) is not None:
            return self._repeat(trial, candidate, known)
        fixed = self._fixed(candidate)
        violation = self._violation(fixed)
        if violation > 0:
            record = TrialRecord(number=trial.number, state="infeasible", candidate=candidate, metrics=fixed)
            self.journal.tell(trial, record, None, violation)
            return record
        started = time.perf_counter()
        done: list[Repetition] = []
        try:
            for ask in self.scorer.asks(candidate, "search"):
                done += self.scorer.score([ask]).repetitions
                if self._hopeless(done, fixed):
                    break
        except DivergedError:
            # remembered, so that the study goes on and does not propose it again
            record = TrialRecord(number=trial.number, state="failed", candidate=candidate, metrics=fixed)
            self.journal.tell(trial, record, None)
            return record
        scored = Scored(tuple(done))
        pruned = len(done) < len(self.scorer.protocol.search_seeds)
        record = TrialRecord(
            number=trial.number,
            state="pruned" if pruned else "complete",
            candidate=candidate,
            metrics=fixed if pruned else fixed | finite(scored.metrics()),
            f1=tuple(repetition.scores.macro_f1 for repetition in done),
            accuracy=tuple(repetition.scores.accuracy for repetition in done),
            seconds=time.perf_counter() - started,
        )
        record = record.model_copy(update={"run_id": self.log(record, scored)})
        self.journal.tell(trial, record, None if pruned else self._values(record.metrics))
        return record

    def _repeat(self, trial: Any, candidate: Candidate, known: TrialRecord) -> TrialRecord:
        """Answer a repeat from memory. The sampler is told PRUNED: there is nothing new to gain at that place."""
        record = TrialRecord(number=trial.number, state="repeat", candidate=candidate, repeats=known.number)
        self.journal.tell(trial, record, None, self._violation(known.metrics) if known.state == "infeasible" else 0.0)
        return record

    def _fixed(self, candidate: Candidate) -> dict[str, float]:
        """What is known of a candidate before it is trained."""
        return {"latency_ms": latency_ms(self.costs, candidate), "memory_gb": memory_gb(self.costs, candidate)}

    def _values(self, metrics: Mapping[str, float]) -> list[float]:
        return [metrics[name] for name in self.space.objectives.names]

    def _violation(self, fixed: Mapping[str, float]) -> float:
        limits = {"latency_ms": self.constraints.max_latency_ms, "memory_gb": self.constraints.max_memory_gb}
        return max(
            (fixed[name] / limit - 1 for name, limit in limits.items() if limit is not None and fixed[name] > limit),
            default=0.0,
        )

    def _hopeless(self, done: Sequence[Repetition], fixed: Mapping[str, float]) -> bool:
        """Whether even the best that the missing repetitions could bring is dominated by a finished trial."""
        total = len(self.scorer.protocol.search_seeds)
        if len(done) == total:
            return False
        bound = dict(fixed)
        for name, values in (
            ("f1", [each.scores.macro_f1 for each in done]),
            ("accuracy", [each.scores.accuracy for each in done]),
        ):
            bound[f"{name}_floor"] = min(values)  # a running minimum can only fall
            bound[f"{name}_mean"] = (sum(values) + total - len(values)) / total
            bound[f"{name}_std"] = 0.0
        finished = [self._values(record.metrics) for record in self.journal.of("complete")]
        return not could_still_matter(self._values(bound), finished, self.space.objectives.directions)

    def _standing(self) -> str:
        name = self.space.objectives.names[0]
        values = [record.metrics[name] for record in self.journal.of("complete")]
        best = max(values) if self.space.objectives.directions[0] == "maximize" else min(values)
        return f"best {name} {best:.4f}"


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Without what is not a number: a spread over a single repetition is unknown, not zero."""
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


class _Preferring:
    """A chooser that takes what is preferred where the space has it, else the highest, the first or the middle."""

    def __init__(self, preferred: Mapping[str, Any]) -> None:
        self.preferred = preferred
        self.params: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        wanted = self.preferred.get(name)
        self.params[name] = wanted if wanted in choices else choices[0]
        return self.params[name]

    def suggest_int(self, name: str, low: int, high: int) -> int:
        self.params[name] = max(low, min(high, self.preferred.get(name, high)))
        return int(self.params[name])

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.params[name] = (low * high) ** 0.5 if log else (low + high) / 2
        return float(self.params[name])


def singles(space: SearchSpace, shapes: Shapes) -> Iterator[Member]:
    """Each model alone at its deepest layer, as far as the space allows it: tried before anything else."""
    if space.sources.at_least > 1:
        return
    for model in shapes:
        chooser = _Preferring({"models": 1, "subset.1": model, f"sources.{model}": 1})
        candidate = suggest(chooser, space, shapes)
        yield Member(params=chooser.params, candidate=candidate)
