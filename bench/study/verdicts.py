"""What the test set says of candidates beside single models: better, worse, or not told apart.

A candidate is called better only where it beats *every* single model that the search could not tell from its best one,
in every measure of the task. Which of these singles is truly the best nobody knows: a reference picked by its score is
below that, and would be beaten too often. "Better than each" is an intersection of claims, which holds at the level of
its weakest one (the largest p; Berger, Technometrics 24, 1982). "Worse" is worse than one of them, where p is
multiplied by how many could have been that one. Both are then corrected over all candidates by Holm's method, and
intervals and resolvable differences are those of the level that is left to a candidate there.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bench.measures import Measure, Predictions, score
from bench.metrics import LEVEL, Interval, PairedTest, Redrawn, holm

Verdict = Literal["better", "worse", "open"]
Said = Sequence[Predictions]
"""What a candidate says of the test rows, one a seed."""


class Claim(NamedTuple):
    """A candidate's predictions, and those of what it is held against: one or more, each over as many seeds."""

    said: Said
    against: Mapping[str, Said]


def level_of(outside: float) -> str:
    """How often an interval that leaves out so much is to hold the truth, as it stands before its ends."""
    return f"{100 * (1 - outside):.4g}%"


Retrained = Callable[[str, str, Measure, float], Redrawn | None]
"""How a candidate's difference to a single, by their names, would vary had other rows been trained on."""


@dataclass(frozen=True)
class Difference:
    """A candidate minus the single model that it is told apart from least, by one measure on the same test rows.

    Attributes:
        measure: Its name.
        against: The single.
        value: The difference of the means over seeds.
        low: Of the interval over test rows (or groups): it is of these trained pipelines.
        high: Of the same.
        level: What the interval leaves out, and at which `resolvable` is: 5 % after the corrections.
        p: Two-sided, corrected.
        resolvable: The smallest true difference that these rows would show with 80 % probability; NaN where the two
            never differ.
        retrained: The same difference out of fold, as other training rows would have given it; None where it is not
            known.
    """

    measure: str
    against: str
    value: float
    low: float
    high: float
    level: float
    p: float
    resolvable: float
    retrained: Redrawn | None = None

    @property
    def short(self) -> str:
        """The measure in tables."""
        return score(self.measure).short

    def words(self) -> str:
        """What was found, and what could have been."""
        known = "" if math.isnan(self.resolvable) else f"; these rows resolve {self.resolvable:.3f}"
        return (
            f"{score(self.measure).title} {self.value:+.4f} against {self.against.replace('trial-', 'trial ')} "
            f"({level_of(self.level)} {self.low:+.3f} to {self.high:+.3f}, p = {self.p:.3g}{known})"
        )


@dataclass(frozen=True)
class Comparison:
    """A candidate beside the `singles`; `p` is the largest of its differences'."""

    verdict: Verdict
    p: float
    by_measure: tuple[Difference, ...]
    singles: tuple[str, ...]

    @property
    def difference(self) -> float:
        """In the task's measure."""
        return self.by_measure[0].value

    @property
    def resolvable(self) -> float:
        """In the task's measure."""
        return self.by_measure[0].resolvable

    def words(self) -> str:
        """The verdict in words."""
        if len(self.singles) == 1:
            these = "the best single model"
        else:
            these = f"each of the {len(self.singles)} single models that may be the best"
        how = {
            "better": f"Better than {these}",
            "worse": "Worse than a single model",
            "open": f"Not shown to be better than {these}",
        }
        retrained = [each for each in self.by_measure if each.retrained is not None]
        beyond = "; ".join(
            f"{score(each.measure).title} {each.retrained.low:+.3f} to {each.retrained.high:+.3f}"
            for each in retrained
            if each.retrained is not None
        )
        said = "; ".join(each.words() for each in self.by_measure)
        return f"{how[self.verdict]}: {said}. This is of these trained pipelines." + (
            f" Trained on other such rows, as far as the search's folds can say: {beyond}." if beyond else ""
        )


@dataclass(frozen=True)
class _Rival:
    """The single that stands most against "better", by one measure; `p` holds whichever single that is."""

    measure: Measure
    against: str
    test: PairedTest
    lead: float
    share: int
    p: float

    def level(self, left: int) -> float:
        """Its own where so many candidates share the level."""
        return LEVEL / (left * self.share)


def judged(
    claims: Mapping[str, Claim],
    measures: Sequence[Measure],
    *,
    seed: int = 0,
    retrained: Retrained = lambda *_: None,
) -> dict[str, Comparison]:
    """Every candidate beside what it is held against, by name.

    Args:
        claims: By the candidates' names.
        measures: A verdict is to hold in each; the task's comes first.
        seed: Of the draws.
        retrained: What is known beyond the trained pipelines.
    """
    rivals = {
        name: [_rival(measure, each.said, each.against, seed) for measure in measures] for name, each in claims.items()
    }
    own = {name: _joint(each) for name, each in rivals.items()}
    corrected = dict(zip(own, holm(list(own.values())), strict=True))
    sharing: dict[str, int] = {}
    left = len(own)
    for name in sorted(own, key=lambda each: own[each]):
        sharing[name] = left
        # where Holm's method stops, all that are left stay at the level that it had reached
        left -= corrected[name] < LEVEL

    def interval(place: tuple[str, _Rival]) -> Interval:
        name, rival = place
        level = rival.level(sharing[name])
        return rival.measure.difference(claims[name].said, claims[name].against[rival.against], seed, 1 - level)

    from bench.threads import solved  # which loads torch

    # draws take the time, and each interval's come from a seed of its own
    places = [(name, rival) for name in claims for rival in rivals[name]]
    intervals = dict(zip(places, solved(interval, places), strict=True))
    found: dict[str, Comparison] = {}
    for name, claim in claims.items():
        differences = tuple(
            _difference(name, rival, intervals[name, rival], sharing[name], retrained) for rival in rivals[name]
        )
        lead = rivals[name][0].lead
        verdict: Verdict = "open" if corrected[name] >= LEVEL else "better" if lead > 0 else "worse"
        found[name] = Comparison(verdict, corrected[name], differences, tuple(claim.against))
    return found


def _rival(measure: Measure, said: Said, singles: Mapping[str, Said], seed: int) -> _Rival:
    tests = {name: measure.paired(said, other, seed) for name, other in singles.items()}

    def against_better(name: str) -> float:
        ahead = measure.sign * tests[name].difference > 0
        return tests[name].p if ahead else 2 - tests[name].p

    name = max(tests, key=against_better)
    lead = measure.sign * tests[name].difference
    share = 1 if lead > 0 else len(tests)
    return _Rival(measure, name, tests[name], lead, share, min(1.0, share * tests[name].p))


def _joint(rivals: Sequence[_Rival]) -> float:
    """P of a verdict that is to hold in every measure; 1 where they do not agree on one."""
    agree = len({rival.lead > 0 for rival in rivals}) == 1 and all(rival.lead for rival in rivals)
    return max(rival.p for rival in rivals) if agree else 1.0


def _difference(name: str, rival: _Rival, interval: Interval, left: int, retrained: Retrained) -> Difference:
    """What is told of a candidate and its rival where so many candidates share the level."""
    level = rival.level(left)
    return Difference(
        measure=rival.measure.name,
        against=rival.against,
        value=rival.test.difference,
        low=interval.low,
        high=interval.high,
        level=level,
        p=min(1.0, left * rival.p),
        resolvable=rival.test.resolvable_at(level),
        retrained=retrained(name, rival.against, rival.measure, 1 - level),
    )
