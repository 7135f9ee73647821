"""Which candidates a study tries: controls, then what the screening found best, then what its sampler proposes.

The controls are each model alone at its deepest layer. The screening's representations follow in layers: first those
that no other beats in score and cost, then those that only these beat, and so on. Within a layer each is tried under
the cheapest head of the space; the dear heads then have their turn on those that are still in the race. The sampler
proposes representations under the cheapest head as well, and dear heads follow where it finds something. A kind of head
that has lost on every representation of some models is expected to lose as much on others of these models as where it
lost least, if repetitions tell what a loss weighs. A space in which settings of heads are to be searched is the
sampler's as a whole.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bench.cost import ModelCost
from bench.front import Point, dominates, pareto
from bench.measures import Measure, Objective
from bench.screening.growth import Growth
from bench.screening.table import SeenTable, layers
from bench.space.candidates import Shapes, canonical
from bench.space.enumeration import Member, member_of, singles, typical_heads
from bench.space.objectives import Objectives
from bench.space.schema import SearchSpace
from bench.specs import Candidate, Head
from bench.study.record import TRIED, TrialRecord

CONTROL, SCREENED, SAMPLED = "control", "screening", "sampler"
CHEAPEST = ("ridge", "centroid", "knn", "logistic")
"""Heads in the order of what training one takes; others are dearer."""
TELLING = 3
"""Representations of the same models on which a dear kind of head is tried before anything is expected of it."""


@dataclass(frozen=True)
class Lead:
    """A candidate that the screening puts forward; a dear one comes `after` the same one under the cheapest head."""

    member: Member
    after: Candidate | None = None


@dataclass(frozen=True)
class Rungs:
    """What is tried before the sampler proposes, and of which space it does.

    Attributes:
        space: Of the study.
        sampled: What the sampler proposes from.
        controls: Tried in any case.
        leads: What the screening puts forward, in order.
        followers: From a candidate under the cheapest head to the same ones under the dear heads.
    """

    space: SearchSpace
    sampled: SearchSpace
    controls: Sequence[Member] = ()
    leads: Sequence[Lead] = ()
    followers: Callable[[Candidate], Iterable[Member]] = lambda _: ()
    _names: dict[Candidate, str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._names.update({lead.member.candidate: SCREENED for lead in self.leads})
        self._names.update({member.candidate: CONTROL for member in self.controls})

    def name(self, candidate: Candidate, told: Sequence[TrialRecord] = ()) -> str:
        """On which rung a candidate stands that was proposed after those that were told."""
        name = self._names.get(candidate, SAMPLED)
        return SAMPLED if name == SCREENED and not self._screening(told) else name

    def _screening(self, told: Sequence[TrialRecord]) -> bool:
        """Whether it is still the screening's turn."""
        tried = sum(record.state in TRIED and record.rung == SCREENED for record in told)
        return tried < self.space.screen.first

    def proposals(self, told: Sequence[TrialRecord]) -> Iterator[Member]:
        """What is to be tried next, the first before the others, given what was told: it may be known already."""
        yield from self.controls
        race = _Race(self.space.objectives, told)
        if self._screening(told):
            records = {record.candidate: record for record in told if record.state != "repeat"}
            for lead in self.leads:
                if lead.after is None or race.holds(lead.member, records.get(lead.after)):
                    yield lead.member
        for record in told:
            if record.rung == SAMPLED and record.state == "complete":
                yield from (each for each in self.followers(record.candidate) if race.holds(each, record))


@dataclass(frozen=True, eq=False)
class _Race:
    """What was told, looked through once for all dear heads that may be proposed after it."""

    objectives: Objectives
    told: Sequence[TrialRecord]
    _firsts: dict[Hashable, dict[Hashable, float]] = field(default_factory=dict, init=False)
    _losses: dict[Hashable, float] = field(default_factory=dict, init=False)

    def holds(self, dear: Member, record: TrialRecord | None) -> bool:
        """Whether a dear head is worth a trial on what was scored under the cheapest one.

        That has to be on the front, or behind it by no more than its own spread over repetitions, less what the dear
        kind is expected to lose. Where there is no spread, nobody knows what a loss weighs, and none is expected.
        """
        if record is None or record.state != "complete":
            return False

        def reached(score: Objective) -> float:
            if score.is_cost or not (spread := _spread(record, score.measure)):
                return record.metrics[score.name]
            kinds = record.candidate.head.kind, dear.candidate.head.kind
            return record.metrics[score.name] + score.sign * (
                spread - self._loss(record.candidate.models, kinds, score)
            )

        reach = [reached(each) for each in self.objectives.each]
        return not any(dominates(point, reach, self.objectives.directions) for point in self._front)

    @cached_property
    def _front(self) -> list[Point]:
        """What dominates anything is dominated by one of these, or is one."""
        points = [self.objectives.point(record.metrics) for record in self.told if record.state == "complete"]
        return [points[place] for place in pareto(points, self.objectives.directions)]

    def _loss(self, models: tuple[str, ...], kinds: tuple[str, str], score: Objective) -> float:
        """The least by which the second kind of head was worse than the first on a representation of some models.

        0 where it was better once, or was tried on fewer than `TELLING` representations of these, and of a spread,
        which one repetition does not have.
        """
        if score.is_spread:
            return 0.0
        key = models, kinds, score
        if key not in self._losses:
            cheap, dear = (self._first(models, kind, score) for kind in kinds)
            lost = [cheap[each] - dear[each] for each in cheap.keys() & dear.keys()]
            self._losses[key] = max(0.0, min(lost)) if len(lost) >= TELLING else 0.0
        return self._losses[key]

    def _first(self, models: tuple[str, ...], kind: str, score: Objective) -> dict[Hashable, float]:
        """By representation, what the best head of a kind had in its first repetition; more is better."""
        key = models, kind, score
        if key not in self._firsts:
            best: dict[Hashable, float] = {}
            for record in self._alike.get((models, kind), ()):
                if found := record.values.get(score.measure.name):
                    each = record.candidate.sources, record.candidate.fusion, record.candidate.width
                    best[each] = max(best.get(each, -math.inf), score.sign * found[0])
            self._firsts[key] = best
        return self._firsts[key]

    @cached_property
    def _alike(self) -> dict[tuple[tuple[str, ...], str], list[TrialRecord]]:
        """What was told by models and kind of head."""
        found: dict[tuple[tuple[str, ...], str], list[TrialRecord]] = {}
        for record in self.told:
            found.setdefault((record.candidate.models, record.candidate.head.kind), []).append(record)
        return found


def _spread(record: TrialRecord, measure: Measure) -> float:
    values = record.values[measure.name]
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def of_study(space: SearchSpace, shapes: Shapes, costs: Mapping[str, ModelCost], table: SeenTable | None) -> Rungs:
    """The rungs of a study; without a screening the sampler has all of the space, and only controls come first."""
    controls = list(singles(space, shapes))
    if table is None:
        return Rungs(space, space, controls)
    cheap, *dear = sorted(typical_heads(space), key=lambda head: (*CHEAPEST, head.kind).index(head.kind))

    def under(candidate: Candidate, heads: Sequence[Head]) -> Iterator[Member]:
        for head in heads:
            other = canonical(candidate.model_copy(update={"head": head}), shapes)
            if (member := member_of(other, space, shapes)) is not None:
                yield member

    def leads() -> Iterator[Lead]:
        """Layer by layer, about twice as many as may be tried: many of the dear ones drop out of the race."""
        found = 0
        for layer in layers(table.priced(Growth(space, shapes, costs).cost)):
            first = [member for row in layer for member in under(row.seen.candidate(cheap), [cheap])]
            yield from map(Lead, first)
            yield from (Lead(member, each.candidate) for each in first for member in under(each.candidate, dear))
            found += len(first) * (1 + len(dear))
            if found >= 2 * space.screen.first:
                return

    if space.head.searched:
        return Rungs(space, space, controls, list(leads()))
    sampled = space.model_copy(update={"head": space.head.model_copy(update={"kinds": (cheap.kind,)})})
    return Rungs(
        space,
        sampled,
        controls,
        list(leads()),
        lambda candidate: under(candidate, dear if candidate.head == cheap else ()),
    )
