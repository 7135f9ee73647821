"""What the mistakes of two sides cost, paired over the test rows."""

from bench.comparison.contenders import Contender
from bench.comparison.pairing import Paired
from bench.evaluation.mistakes import MistakeCosts
from bench.evaluation.sureness import TEST
from bench.measures import Predictions
from bench.metrics import LEVEL
from bench.study.sureness import calibrated


def cost_of_mistakes(a: Contender, b: Contender, seeds: int, costs: MistakeCosts) -> Paired:
    """The mean cost of a row of each under the cheapest answers by calibrated probabilities, A − B.

    It is of this pair alone: p and interval are not corrected for others.
    """
    one, other = (_said(side)[:seeds] for side in (a, b))
    measure = costs.measure
    test, interval = measure.paired(one, other), measure.difference(one, other)
    means = [sum(map(measure.compute, side)) / len(side) for side in (one, other)]
    return Paired(
        statistic=measure.name,
        title=measure.title,
        rows=len(one[0].truth),
        seeds=len(one),
        a=means[0],
        b=means[1],
        difference=test.difference,
        low=interval.low,
        high=interval.high,
        level=LEVEL,
        p=test.p,
        resolvable=test.resolvable_at(LEVEL),
        retrained=None,
    )


def _said(side: Contender) -> list[Predictions]:
    """Calibrated where that is known; of what has no probabilities as it was predicted."""
    both = calibrated(side.study, side.record)
    return list(side.confirmed.predictions if both is None else both.after[TEST])
