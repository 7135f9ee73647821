"""The kinds of charts that several studies draw: each shows its uncertainty and the baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.figures import GREY, data
from bench.reproduce.columns import Column, Kind, Row
from bench.reproduce.questions import Answers
from bench.reproduce.setup import Setup

Chart = Any
Bounds = tuple[str, str]
"""The names of the columns of a lower and an upper bound."""

F1 = Column("f1_mean", "macro-F1 on the test set", Kind.SCORE)
F1_BOUNDS = ("f1_low", "f1_high")
MODEL = Column("model", "model")
HEAD = Column("head", "head")


def _hints(*columns: Column) -> list[Any]:
    """What is said of a point under the pointer."""
    import altair as alt

    return [
        alt.Tooltip(column.name, type="nominal")
        if column.kind is Kind.TEXT
        else alt.Tooltip(column.name, type="quantitative", format=".4~g")
        for column in {column.name: column for column in columns}.values()
    ]


def _ends(column: Column, names: Bounds | None) -> list[Column]:
    """The columns that bound one, by name."""
    return [Column(name, column.heading, column.kind) for name in names or ()]


def _accuracy(rows: Sequence[Row], column: Column) -> list[Column]:
    """The column of accuracy that stands beside one of macro-F1, where the rows have it."""
    name = column.name.replace("f1", "accuracy")
    there = name != column.name and any(name in row for row in rows)
    return [Column(name, column.heading.replace("macro-F1", "accuracy"), column.kind)] if there else []


def lines(
    rows: Sequence[Row],
    *,
    x: Column,
    y: Column,
    colour: Column,
    dash: Column | None = None,
    band: Bounds | None = None,
    log: bool = False,
    rules: Mapping[str, float] | None = None,
) -> Chart:
    """Lines with points over a band of uncertainty; `rules` are horizontal lines with a word each: baselines."""
    import altair as alt

    scale = alt.Scale(type="log", base=2) if log else alt.Scale(zero=False, nice=False)
    # what is counted has no ticks between whole numbers; those of a log scale are powers
    axis = alt.Axis(format="d", tickMinStep=1) if x.kind is Kind.COUNT and not log else alt.Undefined
    horizontal = alt.X(f"{x.name}:Q", title=x.heading, scale=scale, axis=axis)
    vertical = alt.Y(f"{y.name}:Q", title=y.heading, scale=alt.Scale(zero=False))
    hue = alt.Color(f"{colour.name}:N", title=colour.heading, sort=None, legend=alt.Legend(symbolOpacity=1))
    base = alt.Chart(data(rows))
    shown = _hints(colour, *([dash] if dash else ()), x, y, *_ends(y, band), *_accuracy(rows, y))
    encoding: dict[str, Any] = {"x": horizontal, "y": vertical, "color": hue, "tooltip": shown}
    if dash is not None:
        encoding["strokeDash"] = alt.StrokeDash(f"{dash.name}:N", title=dash.heading, sort=None)
    layers = []
    if band is not None:
        layers.append(
            base.mark_area(opacity=0.13).encode(
                x=horizontal, y=alt.Y(f"{band[0]}:Q", title=y.heading), y2=f"{band[1]}:Q", color=hue
            )
        )
    layers += [
        base.mark_line(strokeWidth=1.8).encode(**encoding),
        base.mark_point(size=22, filled=True).encode(x=horizontal, y=vertical, color=hue, tooltip=shown),
    ]
    return alt.layer(*layers, *_rules(rules or {}, y)).properties(height=320)


def _rules(rules: Mapping[str, float], y: Column) -> list[Chart]:
    import altair as alt

    if not rules:
        return []
    base = alt.Chart(data([{y.name: value, "baseline": name} for name, value in rules.items()]))
    line = base.mark_rule(color=GREY, strokeDash=[2, 3]).encode(y=f"{y.name}:Q")
    word = base.mark_text(color="#555555", align="right", dy=-6, fontSize=11).encode(
        y=f"{y.name}:Q", x=alt.value("width"), text="baseline:N"
    )
    return [line, word]


def heatmap(rows: Sequence[Row], *, x: Column, y: Column, value: Column, bounds: Bounds) -> Chart:
    """Differences around zero: blue above, orange below, the number in each cell, a star where it is clear of zero."""
    import altair as alt

    name, (low, high) = value.name, bounds
    limit = max((abs(each[name]) for each in rows), default=0.0) or 1.0
    shown = [{**each, "words": f"{each[name]:+.1f}{'*' if each[low] > 0 or each[high] < 0 else ''}"} for each in rows]
    colour = alt.Color(
        f"{name}:Q",
        title=value.heading,
        scale=alt.Scale(scheme="blueorange", domain=[-limit, limit], reverse=True),
    )
    base = alt.Chart(data(shown)).encode(
        x=alt.X(f"{x.name}:N", title=x.heading, sort=None, axis=alt.Axis(labelAngle=-35)),
        y=alt.Y(f"{y.name}:N", title=None, sort=None, axis=alt.Axis(labelLimit=360)),
    )
    hints = _hints(x, y, value, *_ends(value, bounds), *_accuracy(rows, value))
    cells = base.mark_rect().encode(color=colour, tooltip=hints)
    words = base.mark_text(fontSize=11).encode(
        text="words:N",
        color=alt.condition(f"abs(datum.{name}) > {0.6 * limit}", alt.value("white"), alt.value("#222222")),
    )
    return alt.layer(cells, words).properties(height=22 * len({each[y.name] for each in rows}) + 20)


def intervals(
    rows: Sequence[Row],
    *,
    x: Column,
    y: Column,
    bounds: Bounds,
    colour: Column,
    rules: Mapping[str, float] | None = None,
) -> Chart:
    """Points with error bars, side by side by colour within each place of x."""
    import altair as alt

    base = alt.Chart(data(rows)).encode(
        x=alt.X(f"{x.name}:N", title=x.heading, sort=None, axis=alt.Axis(labelAngle=-30)),
        xOffset=alt.XOffset(f"{colour.name}:N", sort=None),
        color=alt.Color(f"{colour.name}:N", title=colour.heading, sort=None),
    )
    bars = base.mark_rule(strokeWidth=1.6).encode(
        y=alt.Y(f"{bounds[0]}:Q", title=y.heading, scale=alt.Scale(zero=False)), y2=f"{bounds[1]}:Q"
    )
    shown = _hints(x, colour, y, *_ends(y, bounds), *_accuracy(rows, y))
    points = base.mark_point(size=45, filled=True).encode(y=f"{y.name}:Q", tooltip=shown)
    return alt.layer(bars, points, *_rules(rules or {}, y)).properties(height=320)


def baseline_rules(setup: Setup, answers: Answers) -> dict[str, float]:
    """The text baselines' F1 under words for a figure."""
    words = {"tfidf": "TF-IDF, tuned", "majority": "majority class"}
    return {words.get(name, name): answers[ask].f1.mean for name, ask in setup.baselines().items()}


def subtitle(setup: Setup, uncertainty: str) -> str:
    """n, runs, and what the bands or bars are."""
    train, test = len(setup.dataset.train), len(setup.dataset.test)
    return (
        f"{train:,} training and {test:,} test texts; {len(setup.seeds)} seeds (1 where a fit is deterministic). "
        f"{uncertainty}"
    )


def cloud(
    rows: Sequence[Row],
    *,
    x: Column,
    y: Column,
    bounds: Bounds,
    colour: Column,
    rules: Mapping[str, float] | None = None,
    ranges: Sequence[Row] = (),
    span: Bounds = ("", ""),
) -> Chart:
    """One point a row with its spread as a bar; a count on x has its colours side by side.

    `ranges` are drawn behind them, joined by a line, their `span` as a band: rows of the same x and y.
    """
    import altair as alt

    count = x.kind is Kind.COUNT
    base = alt.Chart(data(rows)).encode(
        x=alt.X(f"{x.name}:{'O' if count else 'Q'}", title=x.heading, axis=alt.Axis(labelAngle=0)),
        color=alt.Color(f"{colour.name}:N", title=colour.heading, sort=None),
    )
    if count:
        base = base.encode(xOffset=alt.XOffset(f"{colour.name}:N", sort=None))
    bars = base.mark_rule(strokeWidth=1.2, opacity=0.6).encode(
        y=alt.Y(f"{bounds[0]}:Q", title=y.heading, scale=alt.Scale(zero=False)), y2=f"{bounds[1]}:Q"
    )
    points = base.mark_point(size=45, filled=True).encode(
        y=f"{y.name}:Q", tooltip=_hints(MODEL, x, y, *_ends(y, bounds), *_accuracy(rows, y), colour)
    )
    behind = []
    if ranges:
        low, high = span
        joined = alt.Chart(data(ranges)).encode(x=alt.X(f"{x.name}:Q", title=x.heading))
        behind = [
            joined.mark_area(color=GREY, opacity=0.15).encode(y=alt.Y(f"{low}:Q", title=y.heading), y2=f"{high}:Q"),
            joined.mark_line(color=GREY, strokeWidth=1.5, point={"color": GREY, "shape": "square"}).encode(
                y=alt.Y(f"{y.name}:Q", title=y.heading)
            ),
        ]
    return alt.layer(*behind, bars, points, *_rules(rules or {}, y)).properties(height=320)
