"""When a candidate is given up before its end: the front is out of its reach, or it loses a race.

A candidate is evaluated in blocks: under a protocol that races, the folds of its first repetition, then whole
repetitions. After each block but the last it is looked at twice.

**The bound** is exact. Rows that are not predicted yet are taken to be predicted rightly and surely, and repetitions to
come to be perfect: where even that is no better than a finished trial, the candidate cannot join the front.

**The race** is a test. The opponent is the finished trial with the best score among those that cost no more. Where it
is better in every score on the rows that the candidate has predicted so far, by a one-sided paired permutation test
(what the two say of a row is swapped, in all repetitions at once), the candidate is given up. One that differs from its
opponent by chance alone is given up with probability `Protocol.race` at most, over all looks together: each look has an
equal share of it (Bonferroni's correction, which holds however the looks depend on one another).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.evaluation.scoring import Scored, Scorer
from bench.front import could_still_matter, covers
from bench.measures import Measure, Predictions
from bench.space.objectives import Objectives
from bench.study.record import GivenUp, TrialRecord

DRAWS = 2_000
"""Swaps of a test: levels are a few in a thousand."""


def searched(scorer: Scorer, record: TrialRecord) -> Scored:
    """What a trial's scores follow from, as far as it was evaluated: read back, or trained again where it is lost."""
    if (given_up := record.given_up) is None:
        return scorer.scored(record.candidate, "search", scorer.protocol.search_seeds[: record.repetitions])
    asks = scorer.blocks(record.candidate)[: given_up.blocks]
    return scorer.gathered(zip(asks, scorer.evaluator.answers(asks), strict=True))


@dataclass(frozen=True)
class Race:
    """Gives candidates up.

    Attributes:
        scorer: Who knows the protocol and the truth.
        objectives: What candidates are compared by.
    """

    scorer: Scorer
    objectives: Objectives
    _known: dict[int, Scored] = field(default_factory=dict, init=False, repr=False)

    def given_up(
        self,
        scored: Scored,
        blocks: int,
        total: int,
        costs: Mapping[str, float],
        finished: Sequence[TrialRecord],
    ) -> GivenUp | None:
        """Why a candidate is not worth its next block; None where it is, or where there is none.

        Args:
            scored: Its repetitions so far; the last may lack folds.
            blocks: Of how many blocks these are.
            total: How many blocks there are.
            costs: What is known of it before it is trained.
            finished: The trials that were scored to the end before it was proposed.
        """
        if blocks == total:
            return None
        against = self._out_of_reach(scored, costs, finished)
        if against is not None:
            return GivenUp(by="bound", against=None if against < 0 else against, blocks=blocks)
        rate = self.scorer.protocol.race
        opponent = self._opponent(costs, finished) if rate else None
        if not rate or opponent is None:
            return None
        p = self._p(scored, self._scored(opponent), rate / (total - 1))
        return None if p is None else GivenUp(by="race", against=opponent.number, blocks=blocks, p=p)

    def _out_of_reach(self, scored: Scored, costs: Mapping[str, float], finished: Sequence[TrialRecord]) -> int | None:
        """The finished trial that covers the best that the candidate can become; −1 where that is unknown."""
        best = {**costs, **{each.name: self.scorer.bound(scored, each) for each in self.objectives.scores}}
        point, directions = self.objectives.point(best), self.objectives.directions
        points = [self.objectives.point(record.metrics) for record in finished]
        if could_still_matter(point, points, directions):
            return None
        pairs = zip(finished, points, strict=True)
        return next((record.number for record, other in pairs if covers(other, point, directions)), -1)

    def _opponent(self, costs: Mapping[str, float], finished: Sequence[TrialRecord]) -> TrialRecord | None:
        """The best in the first score of those that cost no more; None where there is none, or a spread counts."""
        scores = self.objectives.scores
        if not scores or any(each.is_spread for each in scores):
            return None
        within = [
            record
            for record in finished
            if all(record.metrics[each.name] <= costs[each.name] for each in self.objectives.each if each.is_cost)
        ]
        first = scores[0]
        return max(within, key=lambda record: first.sign * record.metrics[first.name], default=None)

    def _p(self, scored: Scored, opponent: Scored, level: float) -> float | None:
        """The largest p by which a score is worse than the opponent's on the same rows; None where it is above `level`.

        Where rows are missing the opponent's own predictions stand in for the candidate's: on these rows there is
        nothing to be swapped, and every class has all of its rows.
        """
        theirs = opponent.predictions[: len(scored.repetitions)]
        ours = list(scored.predictions)
        if scored.begun:
            ours[-1] = scored.repetitions[-1].completed(theirs[-1])
        largest = 0.0
        for measure in dict.fromkeys(each.measure for each in self.objectives.scores):
            difference = np.mean([a.value(measure) - b.value(measure) for a, b in zip(ours, theirs, strict=True)])
            if not measure.sign * difference < 0 or _too_few(measure, ours, theirs, level):
                return None
            # what swaps give is symmetric around 0
            largest = max(largest, measure.paired(ours, theirs, draws=DRAWS).p / 2)
            if largest > level:
                return None
        return largest

    def _scored(self, record: TrialRecord) -> Scored:
        """What the search knows of a finished trial."""
        if record.number not in self._known:
            self._known[record.number] = searched(self.scorer, record)
        return self._known[record.number]


def _too_few(measure: Measure, ours: Sequence[Predictions], theirs: Sequence[Predictions], level: float) -> bool:
    """Whether the two differ on so few rows that no test could be below `level`: of k swaps one in 2ᵏ is the worst."""
    if measure.counted is None:
        return False
    differ = np.any([a.predicted != b.predicted for a, b in zip(ours, theirs, strict=True)], axis=0)
    return bool(2.0 ** -differ.sum() > level)
