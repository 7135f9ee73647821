"""What stands out on a front, by the role that it plays there."""

from collections.abc import Sequence

from bench.front import Point, knee
from bench.space.objectives import Objectives

RECOMMENDED = "recommended"
CHOICES = {
    RECOMMENDED: "the cheapest that cannot be told apart from the best score",
    "knee": "where the front bends most between its first and its last objective",
    "best": "the best first objective of the front",
    "cheapest": "the best last objective of the front, usually its cost",
}
ALIASES = {"best-f1": "best"}
"""Names that were given when every study was about F1."""


def role(which: str) -> str:
    """The name of `CHOICES` that is meant."""
    return ALIASES.get(which, which)


def place(points: Sequence[Point], objectives: Objectives, which: str) -> int:
    """Index of the point of a front that plays a role that follows from it; a point holds a value an objective."""
    ends = (0, len(objectives.names) - 1)
    directions = [objectives.directions[end] for end in ends]
    if which == "knee":
        return knee([[point[end] for end in ends] for point in points], directions)
    end = ends[0] if which == "best" else ends[1]
    sign = objectives.each[end].sign
    return max(range(len(points)), key=lambda index: sign * points[index][end])
