"""What of a front's figure is drawn: marks and numbers that its axes have room for, and in words what they have not."""

import math
from collections.abc import Sequence
from typing import Any

from bench.measures import Objective
from bench.study.confirm import Entry

LABEL = (0.05, 0.04)
"""Shares of the axes that a trial's number takes."""
Span = tuple[float, float]
OFF_SCALE = 0.6
"""What lies further from what might be taken and its confirmation than this share of their span is only named."""


def span_of(marks: Sequence[dict[str, Any]]) -> Span:
    """What the axis up has to reach at most: these marks with their confirmation, and some way beyond."""
    values = [row[key] for row in marks for key in ("y", "low", "high") if key in row]
    beyond = OFF_SCALE * (max(values) - min(values))
    return min(values) - beyond, max(values) + beyond


def inside(marks: Sequence[dict[str, Any]], span: Span) -> tuple[list[dict[str, Any]], list[str]]:
    """The marks that lie within the span, and the others in words. An interval is drawn whole where its mark is."""
    low, high = span
    kept = [row for row in marks if low <= row["y"] <= high]
    off = {row["name"]: row["y"] for row in marks if "low" not in row and not low <= row["y"] <= high}
    return kept, [f"{name} at {value:.3f} is off the scale" for name, value in off.items()]


def text_lines(baselines: Sequence[Entry], span: Span, y: Objective) -> tuple[list[dict[str, Any]], list[str]]:
    """Mere references as horizontal lines, and in words those that would only stretch the axis."""
    found = [(entry.name, entry.value(y)) for entry in baselines if entry.subject is None]
    found = [(name, value) for name, value in found if not math.isnan(value)]
    drawn = [{"name": name, "y": value} for name, value in found if span[0] <= value <= span[1]]
    named = {row["name"] for row in drawn}
    return drawn, [f"{name} at {value:.3f} is off the scale" for name, value in found if name not in named]


def thin_out(front: list[dict[str, Any]], taken: str | None, reach: Span, span: Span, log: bool) -> None:
    """Take away numbers that would lie on others; the front's ends and what is recommended come first."""

    def place(row: dict[str, Any]) -> tuple[float, float]:
        (low, high), value = reach, row["x"]
        if log:
            low, high, value = (math.log(each) for each in (low, high, value))
        return (value - low) / ((high - low) or 1), (row["y"] - span[0]) / ((span[1] - span[0]) or 1)

    ordered = sorted(front, key=lambda row: row["x"])
    kept: list[tuple[float, float]] = []
    for row in sorted(ordered, key=lambda row: row not in (ordered[0], ordered[-1]) and row["name"] != taken):
        across, up = place(row)
        if any(abs(across - x) < LABEL[0] and abs(up - y) < LABEL[1] for x, y in kept):
            row["number"] = ""
        else:
            kept.append((across, up))
