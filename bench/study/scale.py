"""What of a front's figure is drawn: marks and numbers that its axes have room for, and in words what they have not."""

import math
from collections.abc import Sequence
from typing import Any

from bench.measures import Objective
from bench.study.entry import Entry

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
    off = {row["name"]: row["y"] for row in marks if "low" not in row and not low <= row["y"] <= high}
    kept = [row for row in marks if low <= row["y"] <= high and row["name"] not in off]
    return kept, [f"{name} at {value:.3f} is off the scale" for name, value in off.items()]


def text_lines(baselines: Sequence[Entry], span: Span, y: Objective) -> tuple[list[dict[str, Any]], list[str]]:
    """Mere references as horizontal lines, and in words those that would only stretch the axis."""
    found = [(entry.name, entry.value(y)) for entry in baselines if entry.subject is None]
    found = [(name, value) for name, value in found if not math.isnan(value)]
    drawn = [{"name": name, "y": value} for name, value in found if span[0] <= value <= span[1]]
    named = {row["name"] for row in drawn}
    return drawn, [f"{name} at {value:.3f} is off the scale" for name, value in found if name not in named]
