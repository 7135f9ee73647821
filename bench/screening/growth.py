"""Which representations are looked at: every source, then sets grown from the best, then other operators on those.

Every source of every model within the space's depth and poolings is scored alone. The best are joined with one more
source each, the best of those again, up to `LARGEST` sources; the same model may give several layers and poolings. Half
of what is grown is the best by squared error, the other half stands spread along the front of error against cost, so
that cheap sets are grown too. Sources are joined by the space's plainest operator (concatenation where it has it), and
on the most promising sets every other operator of the space is tried.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.cost import ModelCost, costs_of
from bench.errors import BenchError
from bench.measures import LATENCY, Measure
from bench.pooling import offered, plainest
from bench.screening.table import Priced, Seen, layers
from bench.space.candidates import Shapes, canonical
from bench.space.schema import SearchSpace
from bench.specs import Candidate, Logistic, Source

LARGEST = 3
"""Sources of a set at most."""
PARTNERS = 96
"""Sources that a set is joined with at most: the best of each model in turn."""

Score = Callable[[Candidate], Seen | None]
"""Scores a representation; None where it has no score."""


@dataclass(frozen=True)
class Growth:
    """What may be grown in a space.

    Attributes:
        space: The choices.
        shapes: Of the models.
        costs: Of the models.
        within: Whether a candidate is within the limits of the study.
    """

    space: SearchSpace
    shapes: Shapes
    costs: Mapping[str, ModelCost]
    within: Callable[[Candidate], bool] = lambda _: True

    def run(self, score: Score, ahead: Callable[[Sequence[Candidate]], None] = lambda _: None) -> None:
        """Score what is worth a look; `ahead` is told what will be scored next, in that order."""

        def scored(candidates: Iterable[Candidate | None]) -> list[Seen]:
            distinct = list(dict.fromkeys(each for each in candidates if each is not None and self.within(each)))
            ahead(distinct)
            return [row for row in map(score, distinct) if row is not None]

        singles = scored(self._singles())
        sets, parents, beam = [], singles, self.space.screen.beam
        partners = [row.sources[0] for row in _in_turn(singles)][:PARTNERS]
        for _ in range(1, self.largest):
            grown = (
                self._joined((*parent.sources, partner))
                for parent in self._promising(parents, beam)
                for partner in partners
            )
            parents = scored(grown)
            sets += parents
            beam = (beam + 1) // 2
        least = self.space.sources.at_least
        whole = [row for row in sets if len({source.model for source in row.sources}) >= least]
        for parent in self._promising(whole, self.space.screen.beam):
            scored(self._fused(parent.sources, name) for name in self._others)

    @property
    def largest(self) -> int:
        """Sources of a set at most."""
        sources = self.space.sources
        of_models = sources.layers_per_model * min(sources.at_most, len(self.shapes))
        return min(LARGEST, of_models, sources.total or LARGEST)

    @property
    def most(self) -> int:
        """About how many representations there are to look at; never fewer than there are."""
        singles, beam = sum(1 for _ in self._singles()), self.space.screen.beam
        partners, found = min(PARTNERS, singles), singles
        for _ in range(1, self.largest):
            found += beam * partners
            beam = (beam + 1) // 2
        return found + (self.space.screen.beam * len(self._others) if self.largest > 1 else 0)

    @property
    def reach(self) -> dict[str, int]:
        """The deepest layer of each model that is within the limits; a model of which none is, is not there."""
        sources = [single.sources[0] for single in self._singles() if self.within(single)]
        return {source.model: source.layer for source in sorted(sources, key=lambda source: source.layer)}

    @property
    def plain(self) -> str:
        """The operator by which sets are grown."""
        operators = self.space.fusion.operators
        return next((name for name in ("concat", "late") if name in operators), operators[0])

    @property
    def _others(self) -> list[str]:
        return [name for name in self.space.fusion.operators if name != self.plain]

    @property
    def price(self) -> Measure:
        """What a representation's cost is: the study's first objective that is one, else the latency."""
        return next((each.measure for each in self.space.objectives.each if each.is_cost), LATENCY)

    def cost(self, row: Seen) -> float:
        """What a row costs."""
        return costs_of(self.costs, row.candidate(Logistic()))[self.price.name]

    def _singles(self) -> Iterator[Candidate]:
        sources = self.space.sources
        for model, shape in self.shapes.items():
            low, high = sources.layers(model, shape.layers)
            for layer in range(low, high + 1):
                able = (pooling for pooling in sources.pooling if offered(pooling, shape.poolings))
                for pooling in dict.fromkeys(plainest(layer, pooling) for pooling in able):
                    if (layer, pooling) not in shape.same:
                        source = Source(model=model, layer=layer, pooling=pooling)
                        yield Candidate(sources=(source,), head=Logistic())

    def _joined(self, sources: Sequence[Source]) -> Candidate | None:
        """A set under the plain operator; None where the space has neither it nor anything that it may grow to."""
        counts = {source.model: sum(each.model == source.model for each in sources) for source in sources}
        limits = self.space.sources
        if len(set(sources)) < len(sources) or len(counts) > limits.at_most:
            return None
        if len(counts) + self.largest - len(sources) < limits.at_least:
            return None
        return None if max(counts.values()) > limits.layers_per_model else self._fused(sources, self.plain)

    def _fused(self, sources: Collection[Source], name: str) -> Candidate | None:
        order = list(self.shapes)
        ordered = sorted(sources, key=lambda source: order.index(source.model))
        try:
            return canonical(Candidate(sources=tuple(ordered), fusion=name, head=Logistic()), self.shapes)
        except BenchError:
            return None  # the operator does not go with these widths

    def _promising(self, rows: Sequence[Seen], count: int) -> list[Seen]:
        """The best by squared error, and as many spread along the front of error against cost."""
        if not rows:
            return []
        best = sorted(rows, key=lambda row: row.error)[: (count + 1) // 2]
        front = next(layers([Priced(row, -row.error, self.cost(row)) for row in rows]))
        left = [row.seen for row in front if row.seen not in best]
        if not left:
            return best
        places = np.linspace(0, len(left) - 1, count - len(best) + 2)[1:-1]
        return best + [left[place] for place in dict.fromkeys(places.round().astype(int).tolist())]


def _in_turn(rows: Sequence[Seen]) -> list[Seen]:
    """Single sources, the best of each model, then the second of each, and so on."""
    ranks: dict[str, int] = {}
    ranked = []
    for row in sorted(rows, key=lambda row: row.error):
        model = row.sources[0].model
        ranks[model] = ranks.get(model, -1) + 1
        ranked.append((ranks[model], row.error, row))
    return [row for *_, row in sorted(ranked, key=lambda each: each[:2])]
