"""What confirmation did to the front, and how far scores spread."""

from collections.abc import Mapping, Sequence

import numpy as np

from bench.figures import BLUE, GREY, VERMILION, Figure, data
from bench.measures import F1, Measure
from bench.report.scores import Gap, Spread

SEARCH, TEST = "search: mean over repetitions", "test: mean, 95% interval"


def confirmation_chart(gaps: Sequence[Gap], score: Measure, words: str) -> Figure:
    """Search score beside test score, for what was selected and for what was not."""
    import altair as alt

    names = [gap.name if gap.selected else f"{gap.name} (not selected)" for gap in gaps]
    points = [
        {"name": name, "kind": kind, "value": value, "low": low, "high": high}
        | {title: f"{values[place]:.4f}" for title, values in gap.beside.items()}
        for name, gap in zip(names, gaps, strict=True)
        for place, (kind, value, low, high) in enumerate(
            (
                (SEARCH, gap.search, None, None),
                (TEST, gap.test.mean, *gap.interval),
            )
        )
    ]
    beside = [alt.Tooltip(f"{title}:N") for title in (gaps[0].beside if gaps else ())]
    hue = alt.Color("kind:N", title=None, scale=alt.Scale(domain=[SEARCH, TEST], range=[BLUE, VERMILION]))
    base = alt.Chart(data(points)).encode(
        y=alt.Y("name:N", title=None, sort=names, scale=alt.Scale(paddingInner=0.3)),
        tooltip=["name:N", "kind:N", alt.Tooltip("value:Q", title=score.title, format=".4f"), *beside],
    )
    across = alt.X("value:Q", title=score.label, scale=alt.Scale(zero=False))
    chart = alt.layer(
        base.mark_line(color=GREY, strokeWidth=1).encode(x=across, detail="name:N"),
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=2, opacity=0.6)
        .encode(x=alt.X("low:Q"), x2="high:Q", color=hue),
        base.mark_point(filled=True, size=80, opacity=1).encode(x=across, color=hue),
    )
    return Figure(
        name="confirmation",
        title="What confirmation did to the front",
        subtitle=words,
        caption=optimism(gaps),
        chart=chart.properties(height=26 * len(gaps)),
    )


def optimism(gaps: Sequence[Gap]) -> str:
    """What selection alone made look better, as far as baselines that were not selected can tell."""
    chosen = [gap.difference for gap in gaps if gap.selected]
    others = [gap.difference for gap in gaps if not gap.selected]
    found = f"Search minus test, in the mean: {np.mean(chosen):+.4f} for the {len(chosen)} of the front"
    if not others:
        return found + "."
    selection = np.mean(chosen) - np.mean(others)
    return (
        f"{found}, {np.mean(others):+.4f} for the {len(others)} baselines that nobody selected. The second is what "
        "training on all rows and testing on others does; what being selected adds, the search's optimism, is about "
        f"the difference, {selection:+.4f}."
    )


def spread_chart(found: Mapping[Measure, Sequence[Spread]], words: str) -> Figure:
    """Every fold, repetition and seed of the front by the first measure, the others to be seen on hovering."""
    import altair as alt

    (score, spreads), *others = found.items()
    kinds = {"fold (search)": GREY, "repetition (search)": BLUE, "seed (test)": VERMILION}
    rows = [
        {"name": spread.name, "kind": kind, "value": value} | {name: f"{other[index]:.4f}" for name, other in beside}
        for place, spread in enumerate(spreads)
        for number, kind in enumerate(kinds)
        for beside in [[(measure.title, each[place].values[number]) for measure, each in others]]
        for index, value in enumerate(spread.values[number])
    ]
    shown = [kind for kind in kinds if any(row["kind"] == kind for row in rows)]
    scale = alt.Scale(domain=shown, range=[kinds[kind] for kind in shown])
    chart = (
        alt.Chart(data(rows))
        .mark_tick(thickness=2, opacity=0.75)
        .encode(
            x=alt.X("value:Q", title=score.label, scale=alt.Scale(zero=False)),
            y=alt.Y("name:N", title=None, sort=[spread.name for spread in spreads]),
            yOffset=alt.YOffset("kind:N", sort=shown),
            color=alt.Color("kind:N", title=None, scale=scale),
            tooltip=[
                "name:N",
                "kind:N",
                alt.Tooltip("value:Q", title=score.title, format=".4f"),
                *(alt.Tooltip(f"{measure.title}:N") for measure, _ in others),
            ],
        )
        .properties(height=42 * len(spreads))
    )
    return Figure(
        name="spread",
        title="Spread over folds, repetitions and seeds",
        subtitle=words,
        caption="Each tick is one score. Folds are small and so lie far apart; a fold's macro-F1 is over the classes "
        "that its rows or predictions hold. What a seed moves on the test set is the training alone; the rows stay."
        if score == F1
        else "Each tick is one score. What a seed moves on the test set is the training alone.",
        chart=chart,
    )
