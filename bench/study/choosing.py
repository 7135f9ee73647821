"""Cascades of a study's scored candidates: chosen from what they said out of fold, so that nothing is trained for it.

A cheap candidate precedes dearer ones, and leaves them the texts that it is least sure of. Stages are taken from the
front of the trials, then from what only the front beats, and so on. How much a stage leaves is one of a few shares,
which is a choice as a layer is one; the score that a cascade is judged by is had with thresholds that the judged rows
have no part in. What beats no mixture at random of its own stages is left out: its margins say nothing.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from bench.cascade import Cascade
from bench.cost import Costs, costs_of_cascade, starts_again
from bench.evaluation.cascades import Masks, Stage, answered, cross_fitted, mixed, reached, thresholds_of
from bench.evaluation.scoring import Scorer
from bench.front import could_still_matter, pareto
from bench.measures import LATENCY, Predictions, values
from bench.metrics import finite
from bench.progress import SILENT, Progress
from bench.space.objectives import Objectives
from bench.space.schema import Cascades
from bench.study.baselines import ScoredRecord, scored_records
from bench.study.cascades import PREFIX, CascadeRecord, Chosen, chosen, keep, row_parts
from bench.study.journal import Journal
from bench.study.settings import Constraints

STAGES = 32
"""Candidates that may be a stage at most."""
SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Of the texts, what a first stage may leave to the next."""
FURTHER = (0.15, 0.3, 0.5, 0.7)
"""Of what comes to a second stage, what it may leave to a third."""
SAME = 1e-9
"""What a trial's remembered score may differ from the one that is had now."""


@dataclass(frozen=True, eq=False)
class _Point:
    """A cascade that was considered: its stages by place, the shares, what was reached, and its objectives."""

    stages: tuple[int, ...]
    shares: tuple[float, ...]
    reached: tuple[float, ...]
    costs: Mapping[str, float]
    point: tuple[float, ...]


@dataclass(frozen=True)
class Choosing:
    """Chooses the cascades of a study.

    Attributes:
        scorer: Of the study.
        costs: Of the models and of text classifiers.
        objectives: Of the study.
        settings: How many stages and cascades.
        limits: What a cascade may cost.
        resumable: Models whose passes can go on from a layer; of others no stage needs a deeper one than those before.
        progress: Is told of trials that are left out.
    """

    scorer: Scorer
    costs: Costs
    objectives: Objectives
    settings: Cascades
    limits: Constraints
    resumable: Collection[str] = ()
    progress: Progress = SILENT

    def run(self, journal: Journal) -> Chosen:
        """Look at cascades of the scored trials and baselines, and keep those that add most to the front."""
        search = _Search(self, scored_records(journal))
        found = search.run()
        before = chosen(journal)
        names = {} if before is None else dict(before.names)
        records = []
        for record in found:
            key = record.cascade.fingerprint()
            names.setdefault(key, f"{PREFIX}{len(names) + 1}")
            records.append(record.model_copy(update={"name": names[key]}))
        done = Chosen(
            considered=search.considered,
            on_front=search.on_front,
            resumable=tuple(sorted(self.resumable)),
            records=tuple(records),
            names=names,
            runs={} if before is None else before.runs,
        )
        keep(journal, done)
        return done


@dataclass(eq=False)
class _Search:
    """One search for cascades."""

    chooser: Choosing
    trials: Sequence[ScoredRecord]
    considered: int = 0
    on_front: int = 0
    _records: list[ScoredRecord] = field(default_factory=list)
    _stages: list[Stage] = field(default_factory=list)
    _front: list[Sequence[float]] = field(default_factory=list)
    _parts: list[np.ndarray] = field(default_factory=list)

    def run(self) -> list[CascadeRecord]:
        """The chosen cascades, the cheapest first."""
        self._records, self._stages = self._ladder()
        if len(self._stages) < 2:
            return []
        directions = self.chooser.objectives.directions
        points = self._points
        self._front = [points[index] for index in pareto(points, directions)]
        self._parts = row_parts(self.chooser.scorer, self._stages[0])
        found = self._kept(self._pairs())
        if self.chooser.settings.stages > 2:
            found = self._kept([*found, *self._triples(self._best(found))])
        self.on_front = len(found)
        return [self._record(point) for point in sorted(self._best(found), key=lambda each: each.costs[LATENCY.name])]

    @property
    def _points(self) -> list[tuple[float, ...]]:
        """The objectives of the trials."""
        return [self.chooser.objectives.point(record.metrics) for record in self.trials]

    def _ladder(self) -> tuple[list[ScoredRecord], list[Stage]]:
        """Trials that may be stages, the cheapest first.

        One whose score is another now was scored by an earlier revision of its head: it is compared with no other.
        """
        by, outdated = self.chooser.objectives.single, 0
        # what is from outside could not be shipped as a stage
        left = [record for record in self.trials if getattr(record.candidate, "outside", None) is None]
        taken: list[tuple[ScoredRecord, Stage]] = []
        while left and len(taken) < STAGES:
            points = [(by.sign * record.metrics[by.name], record.metrics[LATENCY.name]) for record in left]
            front = [left[index] for index in pareto(points, ("maximize", "minimize"))]
            if not front:
                break
            for record in sorted(front, key=lambda record: -by.sign * record.metrics[by.name]):
                if len(taken) == STAGES:
                    break
                scored = self.chooser.scorer.scored(record.candidate, "search")
                if (stage := Stage.of(scored)) is None:
                    continue
                if abs(by.value(scored.predictions) - record.metrics[by.name]) <= SAME:
                    taken.append((record, stage))
                else:
                    outdated += 1
            left = [record for record in left if record not in front]
        if outdated:
            self.chooser.progress.say(
                f"{outdated} trials are no stages of cascades: they would be scored otherwise now"
            )
        order = {record.id: place for place, record in enumerate(self.trials)}
        taken.sort(key=lambda each: (each[0].metrics[LATENCY.name], order[each[0].id]))
        return [record for record, _ in taken], [stage for _, stage in taken]

    def _pairs(self) -> Iterator[_Point]:
        for cheap in range(len(self._stages) - 1):
            for share in SHARES:
                left = cross_fitted([self._stages[cheap]], (share,), self._parts)
                for dear in range(cheap + 1, len(self._stages)):
                    yield from self._considered((cheap, dear), (share,), left)

    def _triples(self, pairs: Iterable[_Point]) -> Iterator[_Point]:
        """The best pairs with one more stage before, between or behind."""
        seen = set()
        for pair in pairs:
            for third in range(len(self._stages)):
                places = tuple(sorted({*pair.stages, third}))
                if len(places) < 3 or places in seen:
                    continue
                seen.add(places)
                stages = [self._stages[place] for place in places]
                for share in SHARES[2:]:
                    for further in FURTHER:
                        left = cross_fitted(stages, (share, further), self._parts)
                        yield from self._considered(places, (share, further), left)

    def _considered(
        self, places: tuple[int, ...], shares: tuple[float, ...], left: Sequence[Masks]
    ) -> Iterator[_Point]:
        """A cascade, if it may stand on the front; given up as soon as it cannot."""
        records = [self._records[place] for place in places]
        candidates = [record.candidate for record in records]
        if any(a.metrics[LATENCY.name] >= b.metrics[LATENCY.name] for a, b in pairwise(records)):
            return
        if starts_again(candidates, self.chooser.resumable):
            return
        self.considered += 1
        objectives = self.chooser.objectives
        share = reached(left)
        costs = costs_of_cascade(self.chooser.costs, candidates, share, self.chooser.resumable)
        if self.chooser.limits.violation(costs) > 0 or not share[-1] > 0 or share[0] >= 1:
            return
        done: list[Predictions] = []
        for place, masks in enumerate(left):
            repetitions = [self._stages[each].scored.repetitions[place] for each in places]
            done.append(mixed(repetitions, masks).predictions)
            bound = costs | {each.name: each.bound(done, len(left)) for each in objectives.scores}
            if not could_still_matter(objectives.point(bound), self._front, objectives.directions):
                return
        if self._tells(records, share, done):
            exact = costs | {each.name: each.value(done) for each in objectives.scores}
            yield _Point(places, shares, share, costs, objectives.point(exact))

    def _tells(self, records: Sequence[ScoredRecord], share: Sequence[float], done: Sequence[Predictions]) -> bool:
        """Whether the cascade is better than its stages mixed at random in the same shares."""
        by = self.chooser.objectives.single
        coming = [1.0, *share, 0.0]
        mixture = sum(
            (coming[place] - coming[place + 1]) * record.metrics[by.name] for place, record in enumerate(records)
        )
        return by.sign * (by.value(done) - mixture) > 0

    def _kept(self, points: Iterable[_Point]) -> list[_Point]:
        """Those that neither a trial nor another of them beats; the front goes on from there."""
        found = list(points)
        trials = len(self.trials)
        everything = [*self._points, *(each.point for each in found)]
        front = pareto(everything, self.chooser.objectives.directions)
        self._front = [everything[index] for index in front]
        return [found[index - trials] for index in front if index >= trials]

    def _best(self, points: Sequence[_Point]) -> list[_Point]:
        """At most so many as are asked for: one by one what adds most to the area under the front."""
        by = self.chooser.objectives.score
        place = self.chooser.objectives.names.index(by.name) if by.name in self.chooser.objectives.names else 0
        drawn = [
            (record.metrics[LATENCY.name], by.sign * record.metrics[by.name])
            for record in self.trials
            if math.isfinite(record.metrics[by.name])
        ]
        left = {each: (each.costs[LATENCY.name], by.sign * each.point[place]) for each in points}
        taken: list[_Point] = []
        corner = (max(cost for cost, _ in drawn), min(gain for _, gain in drawn))
        while left and len(taken) < self.chooser.settings.at_most:
            best = max(left, key=lambda each: _area([*drawn, left[each]], corner))
            taken.append(best)
            drawn.append(left.pop(best))
        return taken

    def _record(self, point: _Point) -> CascadeRecord:
        stages = [self._stages[place] for place in point.stages]
        records = [self._records[place] for place in point.stages]
        measures = self.chooser.objectives.measures
        found = answered(stages, cross_fitted(stages, point.shares, self._parts))
        return CascadeRecord(
            name="",
            cascade=Cascade(
                stages=tuple(record.candidate for record in records), thresholds=thresholds_of(stages, point.shares)
            ),
            trials=tuple(record.id for record in records),
            shares=point.shares,
            reached=point.reached,
            metrics=dict(point.costs) | finite(found.scored.metrics(measures)),
            values={each.name: tuple(values(each, found.scored.predictions)) for each in measures},
        )


def _area(points: Sequence[tuple[float, float]], corner: tuple[float, float]) -> float:
    """Under the staircase of points (cost, gain), costs on a logarithmic scale, above and left of a corner."""
    area, reached_gain = 0.0, corner[1]
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if gain > reached_gain and 0 < cost < corner[0]:
            area += (gain - reached_gain) * math.log(corner[0] / cost)
            reached_gain = gain
    return area
