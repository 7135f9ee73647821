"""Which candidates a study tries: controls, then what the screening found best, then what its sampler proposes.

The controls are each model alone at its deepest layer. The screening's representations follow in layers: first those
that no other beats in score and cost, then those that only these beat, and so on. Within a layer each is tried under
the cheapest head of the space; the dear heads then have their turn on those that are still in the race. The sampler
proposes representations under the cheapest head as well, and dear heads follow where it finds something. A space in
which settings of heads are to be searched is the sampler's as a whole.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.cost import ModelCost
from bench.front import dominates
from bench.measures import Measure
from bench.screening.growth import Growth
from bench.screening.table import SeenTable, layers
from bench.space.candidates import Shapes, canonical
from bench.space.enumeration import Member, member_of, singles, typical_heads
from bench.space.schema import SearchSpace
from bench.specs import Candidate, Head
from bench.study.record import TRIED, TrialRecord

CONTROL, SCREENED, SAMPLED = "control", "screening", "sampler"
CHEAPEST = ("ridge", "logistic")
"""Heads in the order of what training one takes; others are dearer."""


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
        if self._screening(told):
            records = {record.candidate: record for record in told if record.state != "repeat"}
            for lead in self.leads:
                if lead.after is None or self._races(records.get(lead.after), told):
                    yield lead.member
        for record in told:
            if record.rung == SAMPLED and self._races(record, told):
                yield from self.followers(record.candidate)

    def _races(self, record: TrialRecord | None, told: Sequence[TrialRecord]) -> bool:
        """Whether a candidate is on the front, or behind it by no more than its own spread over repetitions."""
        if record is None or record.state != "complete":
            return False
        objectives = self.space.objectives
        reach = [
            record.metrics[each.name] + (0.0 if each.is_cost else each.sign * _spread(record, each.measure))
            for each in objectives.each
        ]
        return not any(
            dominates(objectives.point(other.metrics), reach, objectives.directions)
            for other in told
            if other.state == "complete" and other.number != record.number
        )


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
