"""The front as a figure: cost against stability."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bench.figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, Figure, data
from bench.front import knee
from bench.metrics import bootstrap_interval
from bench.space.schema import Objectives
from bench.study.confirm import BEST_SINGLE, Entry
from bench.study.journal import TrialRecord

COSTS = {"latency_ms": "extraction latency (ms per text)", "memory_gb": "peak memory (GiB)"}
SCORES = {"floor": "worst repetition", "mean": "mean over repetitions", "std": "standard deviation over repetitions"}
KINDS = {
    "scored candidate": (GREY, "circle"),
    "front (# trial)": (BLUE, "circle"),
    "knee of the front": (BLACK, "diamond"),
    "front on the test set, mean and 95% interval": (VERMILION, "stroke"),
    "one model, last layer": (ORANGE, "square"),
    "best searched single model": (PURPLE, "triangle-up"),
    "late fusion of the last layers": (GREEN, "triangle-down"),
}
TRIAL, FRONT, KNEE, TEST, SINGLE, BEST, LATE = KINDS
RIGHT_END = 0.75
LABEL = (0.05, 0.04)
"""Shares of the axes that a trial's number takes."""
Span = tuple[float, float]
OFF_SCALE = 0.6
"""What lies further from the front, its confirmation and the baselines than this share of their span is only named."""


def label(name: str) -> str:
    """What a metric is, with its unit, for an axis."""
    if name in COSTS:
        return COSTS[name]
    score, _, part = name.partition("_")
    return f"{score_name(score)}, {SCORES[part]}"


def score_name(score: str) -> str:
    """``f1`` or ``accuracy`` in words."""
    return "macro-F1" if score == "f1" else "accuracy"


def axes(objectives: Objectives) -> tuple[str, str]:
    """What is drawn across and up: the last objective (the latency where there is but one) and the first score."""
    up = next((name for name in objectives.names if name not in COSTS), "f1_floor")
    across = objectives.names[-1]
    return ("latency_ms" if across == up else across), up


def front_figure(
    trials: Sequence[TrialRecord],
    front: Sequence[Entry],
    baselines: Sequence[Entry],
    objectives: Objectives,
    test_labels: np.ndarray,
    words: str,
) -> Figure:
    """All scored trials, the front with its knee and its confirmation, and the baselines.

    Args:
        trials: Those scored in full.
        front: Confirmed.
        baselines: Confirmed; those on texts have no cost, and are lines.
        objectives: They say what the axes are (see `axes`).
        test_labels: Class indices [test rows].
        words: What the scores stand on, for the subtitle: repetitions, folds, seeds, n.
    """
    import altair as alt

    x, y = axes(objectives)
    bend = knee_of(front, objectives)
    marks = [*_front_rows(front, x, y, bend, test_labels), *_baseline_rows(baselines, x, y)]
    span = _span(marks)
    trial_rows = [row for row in _trial_rows(trials, front, x, y) if span[0] <= row["y"] <= span[1]]
    lines, unseen = _text_lines(baselines, span, y)
    if hidden := len(trials) - len(front) - len(trial_rows):
        unseen.append(f"dominated candidates off the scale: {hidden}")
    rows = [*trial_rows, *marks]
    low, high = (pick(row["x"] for row in rows) for pick in (min, max))
    log = x in COSTS and low > 0 and high > 10 * low
    _thin_out([row for row in rows if row["kind"] == FRONT], bend, (low, high), span, log)
    scale = alt.Scale(type="log", domain=[low / 1.25, high * 1.25], nice=False) if log else alt.Scale(zero=False)
    across = alt.X("x:Q", title=label(x), scale=scale)
    up = alt.Y("y:Q", title=label(y), scale=alt.Scale(zero=False))
    shown = {row["kind"] for row in rows}
    kinds = [kind for kind in KINDS if kind in shown]
    legend = alt.Legend(title=None, symbolOpacity=1)
    hue = alt.Color("kind:N", legend=legend, scale=alt.Scale(domain=kinds, range=[KINDS[kind][0] for kind in kinds]))
    form = alt.Shape("kind:N", legend=legend, scale=alt.Scale(domain=kinds, range=[KINDS[kind][1] for kind in kinds]))
    hover = [
        alt.Tooltip("name:N", title="candidate"),
        alt.Tooltip("sources:N", title="sources: model[layer].pooling"),
        alt.Tooltip("operator:N", title="operator"),
        alt.Tooltip("y:Q", title=label(y), format=".4f"),
        alt.Tooltip("search:N", title="search F1, mean ± std"),
        alt.Tooltip("x:Q", title=label(x), format=".4~g"),
        alt.Tooltip("test:N", title="test F1, mean (95% interval)"),
    ]
    base = alt.Chart(data(rows)).encode(x=across, y=up, tooltip=hover)

    def only(*kinds: str) -> Any:
        return base.transform_filter(alt.FieldOneOfPredicate("kind", list(kinds)))

    def points(*kinds: str, **how: Any) -> list[Any]:
        """Marks for some kinds; a layer without any would leave its scales without an extent."""
        return [only(*kinds).mark_point(**how).encode(color=hue, shape=form)] if shown & set(kinds) else []

    layers = points(TRIAL, filled=True, size=45, opacity=0.35)
    if lines:
        text = alt.Chart(data(lines))
        layers += [
            text.mark_rule(strokeDash=[5, 4], color=BLACK, opacity=0.6).encode(y="y:Q"),
            text.mark_text(align="left", x=4, dy=-6, fontSize=11, color=BLACK).encode(y="y:Q", text="name:N"),
        ]
    if len(objectives.names) == 2:
        layers.append(only(FRONT).mark_line(interpolate="step-after", color=BLUE, strokeWidth=1.5))
    if TEST in shown:
        layers.append(only(TEST).mark_rule(xOffset=7, strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q", color=hue))
    layers += [
        *points(TEST, xOffset=7, filled=False, size=70, strokeWidth=3),
        *points(SINGLE, BEST, LATE, filled=True, size=90, opacity=1),
        *points(FRONT, filled=True, size=75, opacity=1),
        *points(KNEE, filled=False, size=330, strokeWidth=2),
        only(FRONT).mark_text(align="right", dx=-5, dy=-9, fontSize=11, color=BLUE).encode(text="number:N"),
        *_named([row for row in rows if row["kind"] == SINGLE], low, high, log),
    ]
    chart = alt.layer(*layers).resolve_scale(color="shared", shape="shared").properties(height=380)
    return Figure(
        name="front",
        title="The front: cost against stability" if _classic(x, y) else f"The front: {label(x)} against {label(y)}",
        subtitle="; ".join([f"{len(trials)} scored candidates", words, *unseen]),
        caption=_caption(front, x, y, bend),
        chart=chart,
        width=720,
    )


def knee_of(front: Sequence[Entry], objectives: Objectives) -> int | None:
    """The trial at which a front of several bends most, by its first and last objective; None for a front of one."""
    if len(front) < 2:
        return None
    ends = (0, len(objectives.names) - 1)
    points = [[_value(entry, objectives.names[place]) for place in ends] for entry in front]
    return front[knee(points, [objectives.directions[place] for place in ends])].trial


def _caption(front: Sequence[Entry], x: str, y: str, bend: int | None) -> str:
    others = f"the {len(front)} candidates" if len(front) > 1 else "the one candidate"
    found = f"Blue: {others} that no other scored candidate equals or beats, drawn by {label(x)} and {label(y)}."
    bent = "" if bend is None else f" The diamond is the knee, trial {bend}."
    test = " Beside each is its score on the test set with a 95% bootstrap interval over test rows." if _on(y) else ""
    return f"{found}{bent}{test}"


def _classic(x: str, y: str) -> bool:
    return x == "latency_ms" and y.endswith("_floor")


def _on(y: str) -> bool:
    """Whether test scores can be drawn on that axis."""
    return y.endswith(("_mean", "_floor"))


def _trial_rows(trials: Sequence[TrialRecord], front: Sequence[Entry], x: str, y: str) -> Iterator[dict[str, Any]]:
    on_front = {entry.trial for entry in front}
    for record in trials:
        if record.number not in on_front:
            yield {
                "kind": TRIAL,
                "name": f"trial {record.number}",
                "sources": " + ".join(map(str, record.candidate.sources)),
                "operator": record.candidate.fusion,
                "x": record.metrics[x],
                "y": record.metrics[y],
                "search": plus_minus(record.metrics.get("f1_mean"), record.metrics.get("f1_std")),
                "test": "not confirmed",
            }


def _front_rows(
    front: Sequence[Entry], x: str, y: str, bend: int | None, test_labels: np.ndarray
) -> Iterator[dict[str, Any]]:
    for entry in front:
        row = _entry_row(entry, f"trial {entry.trial}", x, y)
        yield row | {"kind": FRONT, "number": f"#{entry.trial}"}
        if entry.trial == bend:
            yield row | {"kind": KNEE}
        if _on(y):
            score = y.partition("_")[0]
            low, high = confirmed_interval(entry, score, test_labels)
            mean = entry.confirmed.f1.mean if score == "f1" else entry.confirmed.accuracy.mean
            yield row | {"kind": TEST, "y": mean, "low": low, "high": high}


def _baseline_rows(baselines: Sequence[Entry], x: str, y: str) -> Iterator[dict[str, Any]]:
    for entry in baselines:
        if entry.candidate is None:
            continue
        kind = {BEST_SINGLE: BEST, "late-fusion": LATE}.get(entry.name, SINGLE)
        yield _entry_row(entry, entry.name.removeprefix("single:"), x, y) | {"kind": kind}


def _entry_row(entry: Entry, name: str, x: str, y: str) -> dict[str, Any]:
    candidate = entry.candidate
    return {
        "name": name,
        "sources": "" if candidate is None else " + ".join(map(str, candidate.sources)),
        "operator": "" if candidate is None else candidate.fusion,
        "x": _value(entry, x),
        "y": _value(entry, y),
        "search": plus_minus(entry.search.get("f1_mean"), entry.search.get("f1_std")),
        "test": f"{entry.confirmed.f1.mean:.4f} ({entry.interval[0]:.3f}–{entry.interval[1]:.3f})",
    }


def _span(marks: Sequence[dict[str, Any]]) -> Span:
    """What the axis up has to reach at most: the front, its confirmation and the baselines, and some way beyond."""
    values = [row[key] for row in marks for key in ("y", "low", "high") if key in row]
    beyond = OFF_SCALE * (max(values) - min(values))
    return min(values) - beyond, max(values) + beyond


def _text_lines(baselines: Sequence[Entry], span: Span, y: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The baselines on texts as horizontal lines, and in words those that would only stretch the axis."""
    found = [(entry.name, _value(entry, y)) for entry in baselines if entry.candidate is None]
    drawn = [{"name": name, "y": value} for name, value in found if span[0] <= value <= span[1]]
    named = {row["name"] for row in drawn}
    return drawn, [f"{name} at {value:.3f} is off the scale" for name, value in found if name not in named]


def _thin_out(front: list[dict[str, Any]], bend: int | None, reach: Span, span: Span, log: bool) -> None:
    """Take away numbers that would lie on others; the front's ends and its knee come first."""

    def place(row: dict[str, Any]) -> tuple[float, float]:
        (low, high), value = reach, row["x"]
        if log:
            low, high, value = (math.log(each) for each in (low, high, value))
        return (value - low) / ((high - low) or 1), (row["y"] - span[0]) / ((span[1] - span[0]) or 1)

    ordered = sorted(front, key=lambda row: row["x"])
    kept: list[tuple[float, float]] = []
    for row in sorted(ordered, key=lambda row: row not in (ordered[0], ordered[-1]) and row["number"] != f"#{bend}"):
        across, up = place(row)
        if any(abs(across - x) < LABEL[0] and abs(up - y) < LABEL[1] for x, y in kept):
            row["number"] = ""
        else:
            kept.append((across, up))


def _named(rows: Sequence[dict[str, Any]], low: float, high: float, log: bool) -> list[Any]:
    """Names below points, to their left at the right end, so that they stay inside."""
    import altair as alt

    border = low * (high / low) ** RIGHT_END if log else low + (high - low) * RIGHT_END
    right = alt.Chart(data(row for row in rows if row["x"] > border)).mark_text(
        align="right", dx=-6, dy=15, fontSize=11
    )
    left = alt.Chart(data(row for row in rows if row["x"] <= border)).mark_text(align="left", dx=6, dy=15, fontSize=11)
    sides = (right, left)
    return [side.encode(x="x:Q", y="y:Q", text="name:N") for side in sides if side.data.values]


def confirmed_interval(entry: Entry, score: str, test_labels: np.ndarray) -> tuple[float, float]:
    """The 95% bootstrap interval of a test score over test rows; the entry has that of macro-F1 already."""
    if score == "f1":
        return entry.interval
    classes = len(entry.confirmed.repetitions[0].scores.support)
    interval = bootstrap_interval(test_labels, entry.confirmed.predicted, classes, "accuracy", seed=0)
    return interval.low, interval.high


def plus_minus(mean: float | None, std: float | None) -> str:
    """A mean and its spread; a spread over one value is unknown."""
    if mean is None:
        return ""
    return f"{mean:.4f}" if std is None or std != std else f"{mean:.4f} ± {std:.4f}"


def _value(entry: Entry, name: str) -> float:
    fixed = {"latency_ms": entry.latency_ms, "memory_gb": entry.memory_gb}
    value = fixed.get(name, entry.search.get(name))
    return float("nan") if value is None else value
