"""The trials of a study: propose a wave, recognise, evaluate in rungs, remember."""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np

from bench.cost import ModelCost, costs_of
from bench.evaluation.ask import Ask
from bench.evaluation.outcome import Outcome
from bench.evaluation.scoring import Scored, Scorer
from bench.executors.base import RETRIES, Executor, Failure, WorkerDiedError
from bench.heads import DivergedError
from bench.measures import values
from bench.metrics import finite
from bench.progress import Progress, Work
from bench.space.candidates import Shapes, suggest
from bench.space.enumeration import Member, is_finite, members, surely_more
from bench.space.schema import SearchSpace
from bench.specs import Candidate
from bench.study.journal import Journal
from bench.study.race import Race
from bench.study.record import GivenUp, State, TrialRecord
from bench.study.rungs import Rungs
from bench.study.sampling import seed_for
from bench.study.settings import Constraints

MISSES_IN_A_ROW = 3
"""After so many proposals of what is known or over a limit, an unseen candidate is drawn instead."""
ENUMERABLE = 5_000
"""Spaces up to this size are listed in memory, to draw unseen candidates from."""
HOPELESS_REPEATS = 200
"""After so many known candidates in a row, unseen draws among them, there is next to nothing left to find."""
FRUITLESS = 500
"""After so many new candidates in a row that were all over a limit, there is next to nothing within it."""

Logger = Callable[[TrialRecord, Scored], str | None]
"""Writes a finished trial down and returns its run's id."""


@dataclass
class _Attempt:
    """A proposal on its way to a record."""

    trial: Any
    candidate: Candidate
    fixed: dict[str, float]
    asks: Sequence[Ask] = ()
    answers: list[tuple[Ask, Outcome]] = field(default_factory=list)
    given_up: GivenUp | None = None
    diverged: bool = False
    retries: int = 0
    seconds: float = 0.0


@dataclass
class Trials:
    """Runs trials until enough distinct candidates are tried, the space is exhausted, or time is up.

    They come in waves: `wave` candidates are proposed, answered by `executor` in whatever order, and told in the order
    of proposal. What is proposed and what is given up follows from what was told before the wave, so that the trials
    are the same however many workers there are, and after a kill at any moment.
    """

    journal: Journal
    scorer: Scorer
    space: SearchSpace
    shapes: Shapes
    costs: Mapping[str, ModelCost]
    constraints: Constraints
    seed: int
    log: Logger
    rungs: Rungs
    executor: Executor
    progress: Progress
    wave: int = 1
    exhausted: bool = False
    _listed: list[Member] | None = None
    _all: bool = False

    def __post_init__(self) -> None:
        self._race = Race(self.scorer, self.space.objectives)

    def run(self, wanted: int, task: Work, deadline: float | None = None) -> str | None:
        """Try candidates until `wanted` distinct ones are (see `Journal.tried`); None, or why it stopped before.

        `deadline` is of `time.monotonic`.
        """
        self._prepare(wanted)
        # a wave that was begun is ended first, so that the next one begins where it would have begun undisturbed
        while self.journal.tried < wanted or self._begun:
            if not self._begun and (reason := self._enough(deadline)):
                return reason
            proposals = self._propose()
            if not proposals:
                self.exhausted = True
                return "the space is exhausted: every candidate within the limits was tried"
            before = min(self.journal.tried, wanted)
            told = self._try(proposals)
            task.advance(min(self.journal.tried, wanted) - before)  # the last wave may try more than was wanted
            if any(record.state == "complete" for record in told):
                task.note(self._standing())
        return None

    @property
    def _begun(self) -> int:
        """How many of an unfinished wave are told."""
        return len(self.journal.records) % self.wave

    @property
    def _before(self) -> list[TrialRecord]:
        """What was told before the wave."""
        records = list(self.journal.records.values())
        return records[: len(records) - self._begun]

    def _enough(self, deadline: float | None) -> str | None:
        """Why no other wave should begin."""
        # one candidate is scored however short the time is, so that there is a front to confirm
        if deadline is not None and time.monotonic() > deadline and self.journal.of("complete"):
            return "the time budget is used up; the same command goes on from here"
        if self._in_a_row({"repeat"}, ()) >= HOPELESS_REPEATS:
            self.exhausted = True
            return f"the space is as good as exhausted: {HOPELESS_REPEATS} proposals in a row were known already"
        if self._in_a_row({"infeasible"}, {"repeat"}) >= FRUITLESS:
            return f"the last {FRUITLESS} candidates that were proposed are all over a limit"
        return None

    def _in_a_row(self, states: Collection[State], ignored: Collection[State]) -> int:
        """How many of the last trials were in `states`: read off the history, so that a resumed study sees the same."""
        found = 0
        for record in reversed(self._before):
            if record.state in states:
                found += 1
            elif record.state not in ignored:
                break
        return found

    def _prepare(self, wanted: int) -> None:
        """List a small space; where all of it is wanted, the sampler has nothing to choose."""
        self._listed, self._all = None, False
        if is_finite(self.space) and not surely_more(self.space, self.shapes, ENUMERABLE):
            found = list(islice(members(self.space, self.shapes), ENUMERABLE + 1))
            if len(found) <= ENUMERABLE:
                within = self.constraints.violation
                feasible = [member for member in found if within(self._fixed(member.candidate)) == 0]
                self._listed = sorted(feasible, key=lambda member: len(member.candidate.sources))
                self._all = len(self._listed) <= wanted

    def _propose(self) -> list[tuple[Any, Candidate]]:
        """A wave, or what is left of one that a kill broke off; fewer where the space has no more."""
        before, begun = len(self._before), self._begun
        unseen = self._in_a_row({"repeat", "infeasible"}, ()) >= MISSES_IN_A_ROW
        wave: list[tuple[Any, Candidate]] = []
        for place in range(begun, self.wave):
            trial = self.journal.again(before, place) if begun else None
            if trial is None:
                trial = self._ask(seed_for(self.seed, before, place), [each for _, each in wave], unseen=unseen)
            if trial is None:
                break
            # what was put forward has every choice made; the sampler may have fewer to make
            space = self.space if self.journal.given(trial) else self.rungs.sampled
            wave.append((trial, suggest(trial, space, self.shapes)))
            if self.wave > 1:
                self.journal.mark(trial, before, place)
        return wave

    def _ask(self, seed: int, wave: Collection[Candidate], *, unseen: bool) -> Any:
        """A trial that is neither known nor in the wave as far as that is up to us; None where there is none."""
        sampler = self.space.sampler.name

        def new(member: Member) -> bool:
            return self.journal.known(member.candidate) is None and member.candidate not in wave

        first: Iterable[Member] = self.rungs.proposals(self._before)
        if self._all:
            first = chain(first if self.rungs.leads else (), self._listed or ())
        for member in filter(new, first):
            return self.journal.ask(sampler, seed, member.params)
        if self._listed is not None:
            left = list(filter(new, self._listed))
            if not left:
                return None
            if unseen:
                return self.journal.ask(sampler, seed, left[np.random.default_rng(seed).integers(len(left))].params)
        return self.journal.ask("random" if unseen else sampler, seed)

    def _try(self, wave: Sequence[tuple[Any, Candidate]]) -> list[TrialRecord]:
        """Answer a wave, then tell it."""
        attempts = [_Attempt(trial, candidate, self._fixed(candidate)) for trial, candidate in wave]
        new: dict[Candidate, _Attempt] = {}
        for attempt in attempts:
            if self.journal.known(attempt.candidate) is None and self.constraints.violation(attempt.fixed) == 0:
                new.setdefault(attempt.candidate, attempt)
        self._answer(list(new.values()))
        return [self._tell(attempt) for attempt in attempts]

    def _answer(self, going: Sequence[_Attempt]) -> None:
        """Block by block, so that what does not matter any more is given up as soon as it shows."""
        finished = [record for record in self._before if record.state == "complete"]
        asked, waiting = dict[Ask, _Attempt](), deque[Ask]()
        for attempt in going:
            attempt.asks = self.scorer.blocks(attempt.candidate)
            asked |= dict.fromkeys(attempt.asks, attempt)
            waiting.append(attempt.asks[0])
        last = time.perf_counter()
        for ask, found in self.executor.run(waiting):
            attempt = asked[ask]
            if self._died(attempt, found):
                waiting.append(ask)
                continue
            if (outcome := self._outcome(ask, found)) is None:
                attempt.diverged = True
            else:
                attempt.answers.append((ask, outcome))
                done, total = len(attempt.answers), len(attempt.asks)
                scored = self.scorer.gathered(attempt.answers)
                attempt.given_up = self._race.given_up(scored, done, total, attempt.fixed, finished)
                if attempt.given_up is None and done < total:
                    waiting.append(attempt.asks[done])
            now = time.perf_counter()
            attempt.seconds += now - last  # where several are answered at once, its share
            last = now

    def _died(self, attempt: _Attempt, found: Outcome | Failure) -> bool:
        """Whether a worker died over it that is not the last to try; how often is kept with the trial."""
        if not isinstance(found, Failure) or not isinstance(found.error, WorkerDiedError):
            return False
        attempt.retries += 1
        self.journal.retried(attempt.trial, attempt.retries)
        if attempt.retries > RETRIES:
            return False
        self.progress.warn(f"{found.error} What it was to answer is given to another.")
        return True

    def _outcome(self, ask: Ask, found: Outcome | Failure) -> Outcome | None:
        """None where training diverged; what failed otherwise is tried once more in this process.

        Here damaged files can be extracted again, and here are no other workers, who may have taken the memory.
        """
        try:
            if isinstance(found, Outcome):
                return found
            if isinstance(found.error, DivergedError):
                return None
            self.progress.warn(f"{found.error} It is tried once more, alone.")
            return self.scorer.evaluator.answer(ask)
        except DivergedError:
            return None

    def _tell(self, attempt: _Attempt) -> TrialRecord:
        trial, candidate, fixed = attempt.trial, attempt.candidate, attempt.fixed
        if (known := self.journal.known(candidate)) is not None:
            return self._repeat(trial, candidate, known)
        violation = self.constraints.violation(fixed)
        if violation > 0:
            record = TrialRecord(number=trial.number, state="infeasible", candidate=candidate, metrics=fixed)
            self.journal.tell(trial, record, None, violation)
            return record
        if attempt.diverged:
            # remembered, so that the study goes on and does not propose it again
            rung = self.rungs.name(candidate, self._before)
            record = TrialRecord(number=trial.number, state="failed", candidate=candidate, metrics=fixed, rung=rung)
            self.journal.tell(trial, record, None)
            return record
        scored, measures = self.scorer.gathered(attempt.answers), self.space.objectives.measures
        pruned, whole = attempt.given_up is not None, [each.predictions for each in scored.whole]
        record = TrialRecord(
            number=trial.number,
            state="pruned" if pruned else "complete",
            candidate=candidate,
            metrics=fixed if pruned else fixed | finite(scored.metrics(measures)),
            values={measure.name: tuple(values(measure, whole)) for measure in measures},
            seconds=attempt.seconds,
            rung=self.rungs.name(candidate, self._before),
            given_up=attempt.given_up,
        )
        record = record.model_copy(update={"run_id": self.log(record, scored)})
        self.journal.tell(trial, record, None if pruned else self.space.objectives.point(record.metrics))
        return record

    def _repeat(self, trial: Any, candidate: Candidate, known: TrialRecord) -> TrialRecord:
        """Answer a repeat from memory. The sampler is told PRUNED: there is nothing new to gain at that place."""
        record = TrialRecord(number=trial.number, state="repeat", candidate=candidate, repeats=known.number)
        violation = self.constraints.violation(known.metrics) if known.state == "infeasible" else 0.0
        self.journal.tell(trial, record, None, violation)
        return record

    def _fixed(self, candidate: Candidate) -> dict[str, float]:
        """What is known of a candidate before it is trained."""
        return costs_of(self.costs, candidate)

    def _standing(self) -> str:
        first = self.space.objectives.each[0]
        reached = [record.metrics[first.name] for record in self.journal.of("complete")]
        best = max(reached, key=lambda value: first.sign * value)
        return f"best {first.name} {first.measure.shown(best)}"
