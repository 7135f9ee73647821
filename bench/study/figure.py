"""The front as a figure: cost against score."""

import math
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from itertools import pairwise
from typing import Any

from bench.aliases import aliases
from bench.figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Figure, data
from bench.figures.labels import GAP, Align
from bench.measures import AGGREGATIONS, Measure, Objective
from bench.space.objectives import Objectives
from bench.specs import Candidate, TextCandidate
from bench.study.baselines import BEST_SINGLE, LATE_FUSION, SINGLE
from bench.study.cascades import PREFIX
from bench.study.entry import Entry
from bench.study.labels import Axes, words_of
from bench.study.record import TrialRecord
from bench.study.roles import place
from bench.study.scale import inside, span_of, text_lines
from bench.study.selection import Recommendation, titled

BRIEF = 12
"""So many characters a model has beside its mark: a telephone is narrow."""


class Mark(Enum):
    """What a mark stands for, with its words in the legend, its colour, its shape, and how far it reaches in pixels."""

    TRIAL = ("scored candidate", GREY, "circle", 4)
    FRONT = ("front (# trial)", BLUE, "circle", 5)
    RECOMMENDED = ("recommended", BLACK, "diamond", 10)
    CASCADE = ("cascade", SKY, "cross", 6)
    TEST = ("front on the test set, mean and 95% interval", VERMILION, "stroke", 5)
    SINGLE = ("one model, last layer", ORANGE, "square", 5)
    BEST = ("best searched single model", PURPLE, "triangle-up", 5)
    LATE = ("late fusion of the last layers", GREEN, "triangle-down", 5)
    TEXT = ("no language model", BLACK, "square", 5)
    OUTSIDE = ("predictions from outside", GREY, "diamond", 5)

    def __init__(self, words: str, colour: str, shape: str, radius: float) -> None:
        self.words, self.colour, self.shape, self.radius = words, colour, shape, radius


def axes(objectives: Objectives) -> tuple[str, str]:
    """What is drawn across and up: the last objective (the latency where there is but one) and the first score."""
    return objectives.cost.name, objectives.score.name


def front_figure(
    trials: Sequence[TrialRecord],
    front: Sequence[Entry],
    baselines: Sequence[Entry],
    objectives: Objectives,
    words: str,
    cascades: Sequence[Entry] = (),
    choice: Recommendation | None = None,
) -> Figure:
    """All scored trials, the front, the cascades, the confirmation of both, what is recommended, and the baselines.

    What might be taken stretches the axis up: what cannot be told apart from the best. Junk off that scale is named.

    Args:
        trials: Those scored in full.
        front: Confirmed.
        baselines: Confirmed; mere references have no cost, and are lines.
        objectives: They say what the axes are (see `axes`).
        words: What the scores stand on, for the subtitle: repetitions, folds, seeds, n.
        cascades: Confirmed.
        choice: What of all is recommended; without it all that is confirmed stretches the axis.
    """
    import altair as alt

    x, y = objectives.cost, objectives.score
    marks = [*_front_rows(front, x, y), *_cascade_rows(cascades, x, y), *_baseline_rows(baselines, x, y)]
    marks = [row for row in marks if not math.isnan(row["y"])]
    near = () if choice is None else {titled(name) for name in choice.near}
    span = span_of([row for row in marks if row["name"] in near] or marks)
    marks, off = inside(marks, span)
    taken = None if choice is None else titled(choice.recommended)
    marks += [
        row | {"kind": Mark.RECOMMENDED.words, "number": ""}
        for row in marks
        if row["name"] == taken and "number" in row
    ]
    trial_rows = [row for row in _trial_rows(trials, front, x, y, objectives.beside) if span[0] <= row["y"] <= span[1]]
    lines, unseen = text_lines(baselines, span, y)
    unseen = [*off, *unseen]
    on_front = sum(entry.trial is not None for entry in front)
    if hidden := len(trials) - on_front - len(trial_rows):
        unseen.append(f"dominated candidates off the scale: {hidden}")
    rows = [*trial_rows, *marks]
    axes = Axes.of(rows, lines, cost=x.is_cost)
    ends = sorted((row for row in rows if row["kind"] == Mark.FRONT.words), key=lambda row: row["x"])
    first = {taken, *(row["name"] for row in (ends[:1] + ends[-1:]))}
    beside, levels = words_of(rows, lines, Mark.FRONT.words, {mark.words: mark.radius for mark in Mark}, axes, first)
    kind = alt.Scale(type="log") if axes.log else alt.Scale(zero=False)
    scale = alt.Scale(domain=list(axes.across), nice=False, **kind.to_dict())
    across = alt.X("x:Q", title=x.label, scale=scale)
    up = alt.Y("y:Q", title=y.label, scale=alt.Scale(domain=list(axes.up), nice=False, zero=False))
    shown = {row["kind"] for row in rows}
    kinds = [mark for mark in Mark if mark.words in shown]
    names = [mark.words for mark in kinds]
    legend = alt.Legend(title=None, symbolOpacity=1)
    hue = alt.Color("kind:N", legend=legend, scale=alt.Scale(domain=names, range=[mark.colour for mark in kinds]))
    form = alt.Shape("kind:N", legend=legend, scale=alt.Scale(domain=names, range=[mark.shape for mark in kinds]))
    hover = [
        alt.Tooltip("name:N", title="candidate"),
        alt.Tooltip("sources:N", title="sources: model[layer].pooling"),
        alt.Tooltip("operator:N", title="operator"),
        alt.Tooltip("y:Q", title=y.label, format=f".{y.measure.digits}f"),
        alt.Tooltip("search:N", title=f"search {y.measure.short}, mean ± std"),
        alt.Tooltip("x:Q", title=x.label, format=".4~g"),
        alt.Tooltip("test:N", title=f"test {y.measure.short}, mean (95% interval)"),
        *(alt.Tooltip(f"{each.name}:N", title=f"{each.title}, search / test") for each in objectives.beside),
    ]
    base = alt.Chart(data(rows)).encode(x=across, y=up, tooltip=hover)

    def only(*marks: Mark) -> Any:
        return base.transform_filter(alt.FieldOneOfPredicate("kind", [mark.words for mark in marks]))

    def points(*marks: Mark, **how: Any) -> list[Any]:
        """Marks of some kinds; a layer without any would leave its scales without an extent."""
        return [only(*marks).mark_point(**how).encode(color=hue, shape=form)] if {*marks} & {*kinds} else []

    layers = points(Mark.TRIAL, filled=True, size=45, opacity=0.35)
    if lines:
        text = alt.Chart(data(lines))
        layers.append(text.mark_rule(strokeDash=[5, 4], color=BLACK, opacity=0.6).encode(y="y:Q"))
    if len(objectives.names) == 2 and Mark.FRONT in kinds and _is_front(marks, x, y):
        layers.append(only(Mark.FRONT).mark_line(interpolate="step-after", color=BLUE, strokeWidth=1.5))
    if Mark.TEST in kinds:
        layers.append(
            only(Mark.TEST).mark_rule(xOffset=7, strokeWidth=1.5).encode(y=alt.Y("low:Q"), y2="high:Q", color=hue)
        )
    layers += [
        *points(Mark.TEST, xOffset=7, filled=False, size=70, strokeWidth=3),
        *points(Mark.SINGLE, Mark.BEST, Mark.LATE, Mark.TEXT, Mark.OUTSIDE, filled=True, size=90, opacity=1),
        *points(Mark.FRONT, filled=True, size=75, opacity=1),
        *points(Mark.CASCADE, filled=True, size=110, opacity=1, stroke=BLACK, strokeWidth=0.6),
        *points(Mark.RECOMMENDED, filled=False, size=330, strokeWidth=2),
        *_words(beside),
        *_levels(levels),
    ]
    chart = alt.layer(*layers).resolve_scale(color="shared", shape="shared").properties(height=380)
    return Figure(
        name="front",
        title="The front: cost against score" if x.is_cost and _on(y) else f"The front: {x.label} against {y.label}",
        subtitle="; ".join([f"{len(trials)} scored candidates", words, *unseen]),
        caption=_caption(front, x, y, taken, len(cascades)),
        chart=chart,
        width=720,
    )


def _is_front(marks: Sequence[dict[str, Any]], x: Objective, y: Objective) -> bool:
    """Whether the marks of the front are one on these axes: what costs more is better. Another measure may deny it."""
    points = sorted((-x.sign * row["x"], y.sign * row["y"]) for row in marks if row["kind"] == Mark.FRONT.words)
    return all(before[1] <= after[1] for before, after in pairwise(points))


def knee_of(front: Sequence[Entry], objectives: Objectives) -> str | None:
    """The entry, by name, at which a front of several bends most, by its ends; None for a front of one."""
    if len(front) < 2:
        return None
    points = [[entry.value(objective) for objective in objectives.each] for entry in front]
    return front[place(points, objectives, "knee")].name


def _caption(front: Sequence[Entry], x: Objective, y: Objective, taken: str | None, cascades: int) -> str:
    others = f"the {len(front)} candidates" if len(front) > 1 else "the one candidate"
    found = f"Blue: {others} that no other scored candidate equals or beats, drawn by {x.label} and {y.label}."
    bent = "" if taken is None else f" The diamond is what is recommended, {taken}."
    if cascades:
        bent += " Crosses are cascades (c1 is cascade-1), which neither a candidate nor another cascade beats."
    test = " Beside each is its score on the test set with a 95% bootstrap interval over test rows." if _on(y) else ""
    return f"{found}{bent}{test}"


def _on(y: Objective) -> bool:
    """Whether test scores can be drawn on that axis."""
    return not y.is_spread


def _trial_rows(
    trials: Sequence[TrialRecord], front: Sequence[Entry], x: Objective, y: Objective, beside: Sequence[Measure]
) -> Iterator[dict[str, Any]]:
    on_front = {entry.trial for entry in front}
    for record in trials:
        if record.number not in on_front:
            yield {
                "kind": Mark.TRIAL.words,
                "name": f"trial {record.number}",
                "sources": " + ".join(map(str, record.candidate.sources)),
                "operator": record.candidate.fusion,
                "x": record.metrics[x.name],
                "y": record.metrics[y.name],
                "search": _spread(y.measure, record.metrics),
                "test": "not confirmed",
            } | {each.name: f"{each.shown(_mean(each, record.metrics))} / not confirmed" for each in beside}


def _front_rows(front: Sequence[Entry], x: Objective, y: Objective) -> Iterator[dict[str, Any]]:
    for entry in front:
        row = _entry_row(entry, entry.title, x, y)
        yield row | {"kind": Mark.FRONT.words, "number": entry.title.replace("trial ", "#")}
        if _on(y):
            yield row | _tested(entry, y)


def _tested(entry: Entry, y: Objective) -> dict[str, Any]:
    low, high = entry.tested(y.measure)
    mean = entry.confirmed.summary(y.measure).mean
    return {"kind": Mark.TEST.words, "y": mean, "low": low, "high": high}


def _cascade_rows(cascades: Sequence[Entry], x: Objective, y: Objective) -> Iterator[dict[str, Any]]:
    for entry in cascades:
        row = _entry_row(entry, entry.name, x, y)
        yield row | {"kind": Mark.CASCADE.words, "number": f"c{entry.name.removeprefix(PREFIX)}"}
        if _on(y):
            yield row | _tested(entry, y)


def _baseline_rows(baselines: Sequence[Entry], x: Objective, y: Objective) -> Iterator[dict[str, Any]]:
    single = [entry.name for entry in baselines if entry.name.startswith(SINGLE)]
    short = aliases([name.removeprefix(SINGLE) for name in single], BRIEF)
    for entry in baselines:
        if entry.subject is None:
            continue
        kind = {BEST_SINGLE: Mark.BEST, LATE_FUSION: Mark.LATE}.get(entry.name, Mark.SINGLE)
        if isinstance(entry.candidate, TextCandidate):
            kind = Mark.OUTSIDE if entry.outside else Mark.TEXT
        name = entry.name.removeprefix(SINGLE)
        own = {"number": short.get(name, name)} if kind in {Mark.SINGLE, Mark.TEXT, Mark.OUTSIDE} else {}
        yield _entry_row(entry, name, x, y) | {"kind": kind.words} | own


def _entry_row(entry: Entry, name: str, x: Objective, y: Objective) -> dict[str, Any]:
    candidate = entry.candidate if isinstance(entry.candidate, Candidate) else None
    low, high = entry.tested(y.measure)
    return {
        "name": name,
        "sources": str(entry.subject or "") if candidate is None else " + ".join(map(str, candidate.sources)),
        "operator": candidate.fusion if candidate is not None else "" if entry.cascade is None else "cascade",
        "x": entry.value(x),
        "y": entry.value(y),
        "search": _spread(y.measure, entry.search),
        "test": f"{entry.confirmed.summary(y.measure).mean:.4f} ({low:.3f}–{high:.3f})",
    } | {
        each.name: f"{each.shown(_mean(each, entry.search))} / {each.shown(entry.confirmed.summary(each).mean)}"
        for each in entry.objectives.beside
    }


def _words(rows: Sequence[dict[str, Any]]) -> list[Any]:
    """What stands beside points, a layer for each way in which it does."""
    import altair as alt

    layers = []
    for align, dx, dy in dict.fromkeys((row["align"], row["dx"], row["dy"]) for row in rows):
        own = [row for row in rows if (row["align"], row["dx"], row["dy"]) == (align, dx, dy)]
        chart = alt.Chart(data(own)).mark_text(align=align, baseline="middle", dx=dx, dy=dy, fontSize=11, color=BLACK)
        layers.append(chart.encode(x="x:Q", y="y:Q", text="words:N"))
    return layers


def _levels(rows: Sequence[dict[str, Any]]) -> list[Any]:
    """The names of lines, somewhere along them, above or below."""
    import altair as alt

    layers = []
    for row in rows:
        align: Align = "left" if row["share"] == 0 else "right" if row["share"] == 1 else "center"
        aside = {"left": GAP, "right": -GAP, "center": 0.0}[align]
        chart = alt.Chart(data([row])).mark_text(align=align, baseline="middle", dx=aside, dy=row["dy"], fontSize=11)
        layers.append(chart.encode(x=alt.value(alt.ExprRef(f"width * {row['share']}")), y="y:Q", text="words:N"))
    return layers


def _spread(measure: Measure, metrics: Mapping[str, float]) -> str:
    """Mean and spread over repetitions, for people."""
    mean, std = (Objective(measure, AGGREGATIONS[name]).name for name in ("mean", "std"))
    return measure.plus_minus(metrics.get(mean), metrics.get(std))


def _mean(measure: Measure, metrics: Mapping[str, float]) -> float | None:
    return metrics.get(Objective(measure, AGGREGATIONS["mean"]).name)
