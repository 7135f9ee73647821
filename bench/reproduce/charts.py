"""The kinds of charts that several studies draw: each shows its uncertainty and the baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.evaluation.evaluator import Scored
from bench.figures import GREY, data
from bench.reproduce.setting import Setting
from bench.reproduce.study import Row

Chart = Any


def _hints(*names: str) -> list[Any]:
    """What is said of a point under the pointer."""
    import altair as alt

    words = ("model", "head", "arm", "fusion", "pooling", "texts", "of", "kind", "models", "models fused")
    return [
        alt.Tooltip(name, type="nominal") if name in words else alt.Tooltip(name, type="quantitative", format=".4~g")
        for name in dict.fromkeys(names)
    ]


def uncrowded(rows: Sequence[Row], setting: Setting) -> list[Row]:
    """The rows but for pairs, where there are more than two models: single models, all fused, and baselines."""
    few = len(setting.models) <= 2
    return [row for row in rows if few or row["kind"] != "fusion" or row["model"] == " + ".join(setting.models)]


def lines(
    rows: Sequence[Row],
    *,
    x: tuple[str, str],
    y: tuple[str, str],
    colour: tuple[str, str],
    dash: tuple[str, str] | None = None,
    band: tuple[str, str] | None = None,
    log: bool = False,
    whole: bool = False,
    rules: Mapping[str, float] | None = None,
) -> Chart:
    """Lines with points over a band of uncertainty; each of `x`, `y`, `colour` and `dash` is a column and its title.

    `rules` are horizontal lines with a word each: baselines. `whole`: x counts something, so its ticks are whole.
    """
    import altair as alt

    scale = alt.Scale(type="log", base=2) if log else alt.Scale(zero=False, nice=False)
    axis = alt.Axis(format="d", tickMinStep=1) if whole else alt.Undefined
    horizontal = alt.X(f"{x[0]}:Q", title=x[1], scale=scale, axis=axis)
    vertical = alt.Y(f"{y[0]}:Q", title=y[1], scale=alt.Scale(zero=False))
    hue = alt.Color(f"{colour[0]}:N", title=colour[1], sort=None, legend=alt.Legend(symbolOpacity=1))
    base = alt.Chart(data(rows))
    shown = _hints(colour[0], *(dash[:1] if dash else ()), x[0], y[0], *(band or ()))
    encoding: dict[str, Any] = {"x": horizontal, "y": vertical, "color": hue, "tooltip": shown}
    if dash is not None:
        encoding["strokeDash"] = alt.StrokeDash(f"{dash[0]}:N", title=dash[1], sort=None)
    layers = []
    if band is not None:
        layers.append(
            base.mark_area(opacity=0.13).encode(
                x=horizontal, y=alt.Y(f"{band[0]}:Q", title=y[1]), y2=f"{band[1]}:Q", color=hue
            )
        )
    layers += [
        base.mark_line(strokeWidth=1.8).encode(**encoding),
        base.mark_point(size=22, filled=True).encode(x=horizontal, y=vertical, color=hue, tooltip=shown),
    ]
    return alt.layer(*layers, *_rules(rules or {}, y)).properties(height=320)


def _rules(rules: Mapping[str, float], y: tuple[str, str]) -> list[Chart]:
    import altair as alt

    if not rules:
        return []
    base = alt.Chart(data([{y[0]: value, "baseline": name} for name, value in rules.items()]))
    line = base.mark_rule(color=GREY, strokeDash=[2, 3]).encode(y=f"{y[0]}:Q")
    word = base.mark_text(color="#555555", align="right", dy=-6, fontSize=11).encode(
        y=f"{y[0]}:Q", x=alt.value("width"), text="baseline:N"
    )
    return [line, word]


def heatmap(rows: Sequence[Row], *, x: tuple[str, str], y: str, value: tuple[str, str]) -> Chart:
    """Differences around zero: blue above, orange below, the number in each cell.

    A star marks what is clear of zero: the bounds are the value's column with `_low` and `_high` behind it.
    """
    import altair as alt

    name = value[0]
    low, high = f"{name}_low", f"{name}_high"
    limit = max((abs(each[name]) for each in rows), default=0.0) or 1.0
    shown = [{**each, "words": f"{each[name]:+.1f}{'*' if each[low] > 0 or each[high] < 0 else ''}"} for each in rows]
    colour = alt.Color(
        f"{name}:Q",
        title=value[1],
        scale=alt.Scale(scheme="blueorange", domain=[-limit, limit], reverse=True),
    )
    base = alt.Chart(data(shown)).encode(
        x=alt.X(f"{x[0]}:N", title=x[1], sort=None, axis=alt.Axis(labelAngle=-35)),
        y=alt.Y(f"{y}:N", title=None, sort=None, axis=alt.Axis(labelLimit=360)),
    )
    cells = base.mark_rect().encode(color=colour, tooltip=_hints(x[0], y, name, low, high))
    words = base.mark_text(fontSize=11).encode(
        text="words:N",
        color=alt.condition(f"abs(datum.{name}) > {0.6 * limit}", alt.value("white"), alt.value("#222222")),
    )
    return alt.layer(cells, words).properties(height=22 * len({each[y] for each in rows}) + 20)


def intervals(
    rows: Sequence[Row],
    *,
    x: tuple[str, str],
    y: tuple[str, str],
    bounds: tuple[str, str],
    colour: tuple[str, str],
    rules: Mapping[str, float] | None = None,
) -> Chart:
    """Points with error bars, side by side by colour within each place of x."""
    import altair as alt

    base = alt.Chart(data(rows)).encode(
        x=alt.X(f"{x[0]}:N", title=x[1], sort=None, axis=alt.Axis(labelAngle=-30)),
        xOffset=alt.XOffset(f"{colour[0]}:N", sort=None),
        color=alt.Color(f"{colour[0]}:N", title=colour[1], sort=None),
    )
    bars = base.mark_rule(strokeWidth=1.6).encode(
        y=alt.Y(f"{bounds[0]}:Q", title=y[1], scale=alt.Scale(zero=False)), y2=f"{bounds[1]}:Q"
    )
    shown = _hints(x[0], colour[0], y[0], *bounds)
    points = base.mark_point(size=45, filled=True).encode(y=f"{y[0]}:Q", tooltip=shown)
    return alt.layer(bars, points, *_rules(rules or {}, y)).properties(height=320)


def baseline_rules(baselines: Mapping[str, Scored]) -> dict[str, float]:
    """The baselines' F1 under words for a figure."""
    words = {"tfidf-logistic": "TF-IDF, logistic regression", "majority": "majority class"}
    return {words.get(name, name): scored.f1.mean for name, scored in baselines.items()}


def subtitle(setting: Setting, uncertainty: str) -> str:
    """n, runs, and what the bands or bars are."""
    train, test = len(setting.dataset.train), len(setting.dataset.test)
    return (
        f"{train:,} training and {test:,} test texts; {len(setting.seeds)} seeds (1 where a fit is deterministic). "
        f"{uncertainty}"
    )


def cloud(
    rows: Sequence[Row],
    *,
    x: tuple[str, str],
    y: tuple[str, str],
    bounds: tuple[str, str],
    colour: tuple[str, str],
    rules: Mapping[str, float] | None = None,
    ranges: Sequence[Row] = (),
) -> Chart:
    """One point a row with its spread as a bar; a count on x has its colours side by side.

    `ranges` are drawn behind them, joined by a line: rows of the same x and y, with `_min` and `_max` for `_mean`.
    """
    import altair as alt

    count = x[0] == "size"
    base = alt.Chart(data(rows)).encode(
        x=alt.X(f"{x[0]}:{'O' if count else 'Q'}", title=x[1], axis=alt.Axis(labelAngle=0)),
        color=alt.Color(f"{colour[0]}:N", title=colour[1], sort=None),
    )
    if count:
        base = base.encode(xOffset=alt.XOffset(f"{colour[0]}:N", sort=None))
    bars = base.mark_rule(strokeWidth=1.2, opacity=0.6).encode(
        y=alt.Y(f"{bounds[0]}:Q", title=y[1], scale=alt.Scale(zero=False)), y2=f"{bounds[1]}:Q"
    )
    points = base.mark_point(size=45, filled=True).encode(
        y=f"{y[0]}:Q", tooltip=_hints("model", x[0], y[0], *bounds, colour[0])
    )
    behind = []
    if ranges:
        stem = y[0].removesuffix("_mean")
        joined = alt.Chart(data(ranges)).encode(x=alt.X(f"{x[0]}:Q", title=x[1]))
        behind = [
            joined.mark_area(color=GREY, opacity=0.15).encode(y=alt.Y(f"{stem}_min:Q", title=y[1]), y2=f"{stem}_max:Q"),
            joined.mark_line(color=GREY, strokeWidth=1.5, point={"color": GREY, "shape": "square"}).encode(
                y=alt.Y(f"{y[0]}:Q", title=y[1])
            ),
        ]
    return alt.layer(*behind, bars, points, *_rules(rules or {}, y)).properties(height=320)
