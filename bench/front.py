"""Who is beaten by whom when several objectives count.

A point is a sequence of values, one per objective; `directions` says for each whether more or less is better. NaN is
no value: a point with one dominates nothing, and is never on a front.
"""

import math
from collections.abc import Sequence
from typing import Literal

Direction = Literal["maximize", "minimize"]
Point = Sequence[float]


def covers(a: Point, b: Point, directions: Sequence[Direction]) -> bool:
    """Whether `a` is at least as good as `b` in every objective; never with NaN."""
    return all(x >= y for x, y in zip(_gains(a, directions), _gains(b, directions), strict=True))


def dominates(a: Point, b: Point, directions: Sequence[Direction]) -> bool:
    """Whether `a` is at least as good as `b` in every objective, and better in one."""
    return covers(a, b, directions) and not covers(b, a, directions)


def pareto(points: Sequence[Point], directions: Sequence[Direction]) -> list[int]:
    """Indices, ascending, of the points that none dominates; of equal points the first stands for all.

    Each point meets the front of those before it alone, since who dominates one that is not there dominates both.
    """
    front: list[int] = []
    for index, point in enumerate(points):
        if not covers(point, point, directions) or any(covers(points[place], point, directions) for place in front):
            continue
        front = [place for place in front if not dominates(point, points[place], directions)]
        front.append(index)
    return front


def could_still_matter(bound: Point, complete: Sequence[Point], directions: Sequence[Direction]) -> bool:
    """Whether a candidate whose final point can be at best `bound` could still join the front of `complete`.

    A complete point that equals the bound rules it out too: the candidate could only tie, and the first of equal
    points stands for all. So does NaN in the bound.
    """
    return covers(bound, bound, directions) and not any(covers(point, bound, directions) for point in complete)


def knee(points: Sequence[Point], directions: Sequence[Direction]) -> int:
    """Index of the point of a two-objective front that is farthest beyond the line between the front's two ends.

    Each objective is first scaled to [0, 1] over the front. Where no point lies beyond the line (one or two points, a
    straight or a hollow front), it is the point that is best in the first objective.

    Args:
        points: Their front is taken first.
        directions: Two.

    Raises:
        ValueError: There is no point without NaN.
    """
    front = pareto(points, directions)
    if not front:
        raise ValueError("a front without points has no knee")
    gains = {index: _gains(points[index], directions) for index in front}
    best = max(front, key=lambda index: gains[index])
    spans = [(min(values), max(values)) for values in zip(*gains.values(), strict=True)]
    if any(low == high for low, high in spans):
        return best

    def beyond(index: int) -> float:
        # Scaled, the ends of a front are (0, 1) and (1, 0): the line between them is where the sum is 1.
        scaled = [(gain - low) / (high - low) for gain, (low, high) in zip(gains[index], spans, strict=True)]
        return math.fsum(scaled) - 1

    farthest = max(front, key=beyond)
    return farthest if beyond(farthest) > 1e-9 else best


def _gains(point: Point, directions: Sequence[Direction]) -> tuple[float, ...]:
    """The point in values of which more is better."""
    return tuple(
        value if direction == "maximize" else -value for value, direction in zip(point, directions, strict=True)
    )
