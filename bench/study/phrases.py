"""Clauses that the sentences of a decision share."""

import math
from collections.abc import Sequence

from bench.measures import Measure
from bench.metrics import LEVEL, Interval
from bench.study.growth import LearningCurve
from bench.study.verdicts import Difference, level_of

MOST_ROWS = 100_000
"""What takes more test rows than this to be told apart is, for all that anybody will label, the same."""
POINT = 0.01
"""Of a score: what is worth labelling for."""


def needed(rows: int, difference: float, resolvable: float, score: str = "score") -> str:
    """How many test rows would show a difference in a score, of which so many have shown what they can resolve.

    Standard errors fall with the square root of the rows.
    """
    if math.isnan(resolvable):
        return "They say the same of every one."
    if not difference:
        return f"In {score} there is no difference to show."
    wanted = rows * (resolvable / difference) ** 2
    if wanted > MOST_ROWS:
        return f"To show one this small would take more than {MOST_ROWS:,}: they are as good as each other."
    return f"If the difference in {score} is what it looks like, about {rounded(wanted):,} would show it (80% power)."


def in_words(curve: LearningCurve, measure: Measure) -> str:
    """What a learning curve says."""
    points = (
        f"Trained on {curve.few} labels its {measure.title} is {curve.low:.3f} out of fold, on {curve.many} "
        f"{curve.high:.3f}: {interval(curve.gain)}"
    )
    if not curve.rises or not curve.high < 1:
        return f"{points}. These rows do not show that more labels help."
    double = curve.error(curve.rows) - curve.error(2 * curve.rows)
    further = curve.rows_for(POINT) - curve.rows
    words = f"{points}. If it goes on so, twice the {curve.rows} labels bring about {double:+.3f}"
    if further < MOST_ROWS:
        words += f", and {rounded(further):,} more bring {POINT:+.2f}"
    return f"{words}."


def interval(found: Interval | Difference, outside: float = LEVEL) -> str:
    """A difference, with the interval that leaves out so much."""
    return f"{found.value:+.3f} ({level_of(outside)} {found.low:+.3f} to {found.high:+.3f})"


def begun(title: str) -> str:
    """A name at the beginning of a sentence."""
    return title[0].upper() + title[1:]


def others(count: int) -> str:
    """At the beginning of a sentence."""
    return "One other" if count == 1 else f"{count} others"


def rounded(value: float) -> int:
    """Two digits, upwards: more would be false precision."""
    unit = int(10 ** max(0, math.floor(math.log10(value)) - 1))
    return math.ceil(value / unit) * unit


def listed(parts: Sequence[str]) -> str:
    """One, two and three."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
