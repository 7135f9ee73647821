"""How scores follow from the choices: layer, pooling, operator, and which of them mattered."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bench.figures import BLUE, Figure, data
from bench.measures import Measure, objective
from bench.specs import Source
from bench.study.importance import Importance
from bench.study.record import TrialRecord

CAUTION = "The search chose what to try: these are not controlled comparisons."
Row = dict[str, Any]


def source_rows(
    records: Sequence[TrialRecord], depths: Mapping[str, int], score: Measure, beside: Sequence[Measure] = ()
) -> list[Row]:
    """One row a source of each candidate that was trained; `depths` maps a model to its last layer.

    Measures `beside` the score are seen on hovering.
    """
    return list(_source_rows(records, depths, score, beside))


def layer_chart(rows: Sequence[Row], score: Measure, words: str) -> Figure:
    """Score by layer."""
    import altair as alt

    use = alt.Scale(domain=["alone", "fused"], range=["circle", "cross"])
    chart = (
        alt.Chart(data(rows))
        .mark_point(size=55, strokeWidth=1.8)
        .encode(
            x=alt.X("depth:Q", title="layer as a share of the model's depth (0 embeddings, 1 last)"),
            y=alt.Y("score:Q", title=_mean(score), scale=alt.Scale(zero=False)),
            color=alt.Color("model:N", title="model"),
            shape=alt.Shape("use:N", title="used", scale=use),
            opacity=_faint(),
            tooltip=_hover(),
        )
        .properties(height=320)
    )
    return Figure("layers", "Score by layer", words, f"Each mark is one source of a tried candidate. {CAUTION}", chart)


def pooling_chart(rows: Sequence[Row], score: Measure, words: str) -> Figure:
    """Score by pooling."""
    caption = f"Each mark is one source of a tried candidate; the black line is the median. {CAUTION}"
    return Figure("poolings", "Score by pooling", words, caption, _strips(rows, "pooling", "model", score))


def operator_chart(rows: Sequence[Row], score: Measure, words: str) -> Figure:
    """Score by operator, over candidates instead of their sources."""
    candidates = list({row["candidate"]: row for row in rows}.values())
    caption = f"Each mark is a tried candidate, 'none' one source alone; the black line is the median. {CAUTION}"
    return Figure("operators", "Score by operator", words, caption, _strips(candidates, "operator", "models", score))


def _strips(rows: Sequence[Row], group: str, hue: str, score: Measure) -> Any:
    """Points in a row a group, the groups' sizes beside their names, and the median of each."""
    import altair as alt

    names = sorted({row[group] for row in rows})
    hues = sorted({row[hue] for row in rows})
    counted = {name: f"{name} (n = {sum(row[group] == name for row in rows)})" for name in names}
    base = alt.Chart(data(row | {"group": counted[row[group]]} for row in rows)).encode(
        y=alt.Y("group:N", title=None, sort=list(counted.values()))
    )
    points = base.mark_point(size=45, strokeWidth=1.6).encode(
        x=alt.X("score:Q", title=_mean(score), scale=alt.Scale(zero=False)),
        yOffset=alt.YOffset(f"{hue}:N", sort=hues),
        color=alt.Color(f"{hue}:N", title=hue, sort=hues),
        opacity=_faint(),
        tooltip=_hover(),
    )
    room = max(26, 16 * len(hues))
    median = base.mark_tick(thickness=2.5, color="black", size=room - 8).encode(x=alt.X("median(score):Q"))
    return alt.layer(points, median).properties(height=(room + 6) * len(names))


def _mean(score: Measure) -> str:
    return f"{score.label}, mean over repetitions"


def _hover() -> list[Any]:
    import altair as alt

    named = ["candidate:N", "model:N", "layer:Q", "pooling:N", "operator:N", "state:N"]
    return [*named, alt.Tooltip("score:Q", format=".4f"), alt.Tooltip("beside:N", title="beside it")]


def _mean_of(record: TrialRecord, measure: Measure) -> float | None:
    values = record.values.get(measure.name)
    return float(np.mean(values)) if values else None


def _faint() -> Any:
    import altair as alt

    return alt.condition("datum.state === 'scored'", alt.value(1.0), alt.value(0.3))


def _source_rows(
    records: Sequence[TrialRecord], depths: Mapping[str, int], score: Measure, beside: Sequence[Measure]
) -> Iterator[dict[str, Any]]:
    for record in records:
        values = record.values[score.name]
        for source in record.candidate.sources:
            yield _source_row(source, depths[source.model]) | {
                "candidate": f"trial {record.number}: {record.candidate}",
                "models": " + ".join(sorted(record.candidate.models)),
                "operator": record.candidate.fusion,
                "use": "alone" if len(record.candidate.sources) == 1 else "fused",
                "state": "scored" if record.state == "complete" else "pruned",
                "score": float(np.mean(values)),
                "beside": ", ".join(f"{each.title} {each.shown(_mean_of(record, each))}" for each in beside),
            }


def _source_row(source: Source, last: int) -> dict[str, Any]:
    return {
        "model": source.model,
        "layer": source.layer,
        "depth": source.layer / max(1, last),
        "pooling": source.pooling,
    }


def importance_chart(found: Importance) -> Figure:
    """Shares of the choices."""
    import altair as alt

    rows = [{"choice": choice, "share": share} for choice, share in found.shares.items()]
    order = list(found.shares)
    chart = (
        alt.Chart(data(rows))
        .mark_bar(color=BLUE)
        .encode(
            x=alt.X("share:Q", title="share (all sum to 1)", axis=alt.Axis(format="%")),
            y=alt.Y("choice:N", title=None, sort=order),
            tooltip=["choice:N", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(height=26 * len(rows))
    )
    return Figure(
        name="importance",
        title="Which choices mattered",
        subtitle=f"PED-ANOVA: what parts the best {found.best} of {found.trials} scored candidates from the rest, "
        f"by {objective(found.objective).label}",
        caption=f"To be read with care. {found.trials} candidates that the sampler chose are no even draw, and those "
        "that were pruned do not count. A choice that only some candidates had to make (the layer of a model that not "
        "each of them uses) is judged among those alone: its share cannot be ranked against that of a choice of all.",
        chart=chart,
    )
