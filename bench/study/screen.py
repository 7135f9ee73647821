"""The screening of a study: kept in its journal bit by bit, so that a kill loses seconds of it."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import chain
from typing import Any

from bench.cost import ModelCost, costs_of
from bench.errors import counted
from bench.evaluation.scoring import Scorer
from bench.measures import Objective, objective
from bench.products import CPU, fast_exact_products
from bench.progress import Progress
from bench.screening.growth import Growth
from bench.screening.ridge import sample, scoring, serves
from bench.screening.table import Seen, SeenTable
from bench.space.candidates import Shapes
from bench.specs import Candidate
from bench.study.journal import Journal
from bench.study.settings import SearchRequest
from bench.threads import side_by_side

NOTE = "screening"
UNSCORED = "unscored"
KEPT_EVERY = 5.0
"""Seconds after which what was scored is kept."""
SHARE = 0.3
"""Of the time that is left of a budget, what the screening may take."""


class _OutOfTimeError(Exception):
    """The screening's share of the time budget is used up."""


def wanted(request: SearchRequest, task: str) -> bool:
    """Whether a search screens: its space says so, it does not select on the test set, and its labels are classes."""
    return request.space.screen.enabled and request.protocol.name == "cv" and serves(task)


def within(request: SearchRequest, costs: Mapping[str, ModelCost]) -> Callable[[Candidate], bool]:
    """Whether a candidate is within the limits of a study."""
    return lambda candidate: request.constraints.violation(costs_of(costs, candidate)) == 0


def screened(journal: Journal) -> SeenTable | None:
    """What a study's screening saw, as far as it came; None where there was none."""
    about = journal.note(NOTE)
    if about is None:
        return None
    rows = tuple(row for row in _rows(journal.series(NOTE)).values() if row is not None)
    return SeenTable(objective(about["by"]), rows, about["sampled"], about["of"])


def to_come(journal: Journal | None, most: int) -> float:
    """About which share of a screening of `most` representations is still to come: none once candidates are tried."""
    if journal is None:
        return 1.0
    return 0.0 if journal.records else max(0.0, 1 - len(_rows(journal.series(NOTE))) / most)


def _rows(parts: Iterable[Any]) -> dict[Any, Seen | None]:
    """Rows by what they are of; None of what has no score, of which the candidate is kept."""
    found: dict[Any, Seen | None] = {}
    for content in chain.from_iterable(parts):
        row: Candidate | Seen = (
            Candidate.model_validate(content[UNSCORED]) if UNSCORED in content else Seen.model_validate(content)
        )
        # a part that was damaged and is written again may repeat what a later one has
        found.setdefault(_key(row), row if isinstance(row, Seen) else None)
    return found


@dataclass(frozen=True)
class Screener:
    """Screens what a study may try."""

    journal: Journal
    scorer: Scorer
    request: SearchRequest
    shapes: Shapes
    costs: Mapping[str, ModelCost]
    progress: Progress

    def run(self, deadline: float | None = None) -> SeenTable:
        """Score what is worth a look; what is in the journal is not scored again.

        It takes `SHARE` of the time until `deadline`, which is of `time.monotonic`: what was seen by then is all there
        is, and the rest of the time is for training.
        """
        now = time.monotonic()
        end = None if deadline is None else now + SHARE * (deadline - now)
        space, protocol, split = self.request.space, self.request.protocol, self.scorer.dataset.train
        by: Objective = space.objectives.single
        rows = sample(split, space.screen.rows, protocol.folds, protocol.seed)
        if self.journal.note(NOTE) is None:
            self.journal.keep(NOTE, {"by": by.name, "sampled": len(rows), "of": len(split)})
        growth = Growth(space, self.shapes, self.costs, within(self.request, self.costs))
        # both are the process's, and not to be changed under those who work in it
        with (
            fast_exact_products(CPU),
            side_by_side() as (pool, _),
            self.progress.task("screen", growth.most, "representations") as task,
        ):
            memory = _Memory(self.journal, scoring(self.scorer, by, rows), task.advance, end, pool)
            try:
                growth.run(memory.score, memory.ahead)
            except _OutOfTimeError:
                self.progress.warn(
                    f"the screening ended at {SHARE:.0%} of the time left; the same command goes on with it."
                )
            finally:
                memory.keep()
        if memory.unscored:
            self.progress.warn(
                f"{counted(memory.unscored, 'representation')} could not be scored in the screening: features are not "
                "finite (bench store verify), or equations have no solution in this arithmetic."
            )
        table = screened(self.journal)
        assert table is not None
        return table


class _Memory:
    """Scores what was not scored before, and keeps it now and then."""

    def __init__(
        self,
        journal: Journal,
        score: Callable[[Candidate], Seen | None],
        advance: Callable[[], None],
        deadline: float | None,
        pool: Executor | None = None,
    ) -> None:
        self._journal, self._score, self._advance, self._deadline = journal, score, advance, deadline
        self._pool, self._begun = pool, dict[Any, Future[Seen | None]]()
        parts = journal.series(NOTE)
        self._parts = len(parts)
        self._known: dict[Any, Seen | None] = {**_rows(parts)}
        self._new: list[Any] = []
        self._last = time.monotonic()
        for _ in self._known:
            advance()

    def ahead(self, candidates: Sequence[Candidate]) -> None:
        """Begin with what will be asked for next, where there is somebody to do it."""
        if self._pool is None:
            return
        for candidate in candidates:
            if (key := _key(candidate)) not in self._known:
                self._begun[key] = self._pool.submit(self._score, candidate)

    def score(self, candidate: Candidate) -> Seen | None:
        """What is said of a representation."""
        key = _key(candidate)
        if key not in self._known:
            if self._deadline is not None and time.monotonic() > self._deadline and self._known:
                raise _OutOfTimeError
            begun = self._begun.pop(key, None)
            self._known[key] = found = self._score(candidate) if begun is None else begun.result()
            self._advance()
            # what has no score is kept as well, so that it is not looked for again
            kept = {UNSCORED: candidate.model_dump(mode="json")} if found is None else found.model_dump(mode="json")
            self._new.append(kept)
            if time.monotonic() - self._last > KEPT_EVERY:
                self.keep()
        return self._known[key]

    @property
    def unscored(self) -> int:
        """How many have no score."""
        return sum(found is None for found in self._known.values())

    def keep(self) -> None:
        """Put what is new into the journal."""
        self._last = time.monotonic()
        if not self._new:
            return
        self._journal.keep(f"{NOTE}.{self._parts}", self._new)
        self._parts += 1
        self._new = []


def _key(of: Candidate | Seen) -> Any:
    return of.sources, of.fusion, of.width
