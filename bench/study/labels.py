"""The words in a front's figure, where they lie on no mark, on no line and on none of each other."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

from bench.figures.labels import CHARACTER, GAP, LINE, Box, Label, place

ROOM = (560.0, 380.0)
"""Pixels that the words are placed for: of a page that is wider they lie farther from each other."""
ASIDE = 7.0
"""Pixels to the right of its candidate at which a test score is drawn."""
HALF = 1.5
"""Half the width of a line."""
ABOVE = 9.0
"""Pixels from a line to the middle of its name."""
SHARES = (0.0, 1.0, 0.5, 0.25, 0.75)
"""Where along a line its name may stand, 0 at its beginning and 1 at its end."""
Span = tuple[float, float]


@dataclass(frozen=True)
class Axes:
    """What is drawn: the ends across and up, and whether across is logarithmic."""

    across: Span
    up: Span
    log: bool

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]], *, cost: bool) -> "Axes":
        """Ends that hold all rows with their intervals and all lines, and a margin; costs of many sizes in decades."""
        x = [row["x"] for row in rows]
        y = [row[key] for row in (*rows, *lines) for key in ("y", "low", "high") if key in row]
        log = cost and min(x) > 0 and max(x) > 10 * min(x)
        margin = (max(x) - min(x)) * 0.06 or abs(x[0]) * 0.1 or 1.0
        across = (min(x) / 1.25, max(x) * 1.25) if log else (min(x) - margin, max(x) + margin)
        above = (max(y) - min(y)) * 0.06 or 0.05
        return cls(across, (min(y) - above, max(y) + above), log)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where that is, in pixels from the upper left corner."""
        low, high = self.across
        if self.log:
            low, high, x = math.log(low), math.log(high), math.log(x)
        bottom, top = self.up
        return (x - low) / (high - low) * ROOM[0], (top - y) / (top - bottom) * ROOM[1]


def words_of(
    rows: Sequence[Mapping[str, Any]],
    lines: Sequence[Mapping[str, Any]],
    stairs: str,
    radii: Mapping[str, float],
    axes: Axes,
    first: Collection[str | None],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Where the words of points and of lines stand; those that find no room are missing.

    Args:
        rows: Marks by `kind`, with `number` where something is to be written beside them.
        lines: Named levels across the figure.
        stairs: The kind whose points are joined by steps.
        radii: How far a mark reaches, by its kind.
        axes: What is drawn.
        first: Names of what should have its words in any case.

    Returns:
        Rows with `words`, `dx`, `dy` and `align` for points, and with `share` and `dy` for lines.
    """
    taken = list(_taken(rows, lines, stairs, radii, axes))
    named = [row for row in rows if row.get("number")]
    named.sort(key=lambda row: row["name"] not in first)
    labels = [Label(row["number"], *axes.at(row["x"], row["y"]), radii[row["kind"]], i) for i, row in enumerate(named)]
    levels = [level for line in lines if (level := _level(line, taken, axes)) is not None]
    placed = place(labels, taken, ROOM)
    beside = [
        {**named[each.label.key], "words": each.label.words, "dx": each.dx, "dy": each.dy, "align": each.align}
        for each in placed
    ]
    return beside, levels


def _level(line: Mapping[str, Any], taken: list[Box], axes: Axes) -> dict[str, Any] | None:
    """A line with the place of its name, which is taken from now on: somewhere along it, above or below."""
    level, width = axes.at(axes.across[0], line["y"])[1], CHARACTER * len(line["name"])
    for share, dy in product(SHARES, (-ABOVE, ABOVE)):
        left = GAP + share * (ROOM[0] - width - 2 * GAP)
        box = Box(left, level + dy - LINE / 2, left + width, level + dy + LINE / 2)
        if box.top >= 0 and box.bottom <= ROOM[1] and not any(box.meets(other) for other in taken):
            taken.append(box)
            return {**line, "words": line["name"], "share": share, "dy": dy}
    return None


def _taken(
    rows: Sequence[Mapping[str, Any]],
    lines: Sequence[Mapping[str, Any]],
    stairs: str,
    radii: Mapping[str, float],
    axes: Axes,
) -> Iterator[Box]:
    for row in rows:
        x, y = axes.at(row["x"], row["y"])
        if "low" in row:
            (_, bottom), (_, top) = axes.at(row["x"], row["low"]), axes.at(row["x"], row["high"])
            yield Box(x + ASIDE - HALF, top, x + ASIDE + HALF, bottom)
            yield Box(x + ASIDE - 5, y - HALF, x + ASIDE + 5, y + HALF)
        else:
            yield Box.around(x, y, radii[row["kind"]])
    for line in lines:
        level = axes.at(axes.across[0], line["y"])[1]
        yield Box(0, level - HALF, ROOM[0], level + HALF)
    steps = sorted(axes.at(row["x"], row["y"]) for row in rows if row["kind"] == stairs)
    for (x, y), (right, up) in pairwise(steps):
        yield Box(x, y - HALF, right, y + HALF)
        yield Box(right - HALF, min(y, up), right + HALF, max(y, up))
