"""What the screening of a study saw, before any candidate was tried."""

from dataclasses import dataclass

from bench.cost import costs_of
from bench.figures import Figure, data
from bench.screening.growth import Growth
from bench.screening.table import Seen
from bench.specs import Logistic
from bench.study.study import Study

SHOWN = 20
"""Rows of the table in the report; the study's run has all of them."""


@dataclass(frozen=True)
class ScreenedRow:
    """One representation, as the table has it; `trials` are those that tried it, under whichever head."""

    seen: Seen
    mean: float
    floor: float
    costs: dict[str, float]
    trials: tuple[int, ...]


def screened_rows(study: Study) -> list[ScreenedRow]:
    """The best representations by score."""
    table = study.screening
    if table is None:
        return []
    tried: dict[tuple[object, ...], list[int]] = {}
    for record in study.journal.records.values():
        candidate = record.candidate
        if record.state != "repeat":
            tried.setdefault((candidate.sources, candidate.fusion, candidate.width), []).append(record.number)
    return [
        ScreenedRow(
            row,
            table.mean(row),
            table.floor(row),
            costs_of(study.costs, row.candidate(Logistic())),
            tuple(tried.get((row.sources, row.fusion, row.width), ())),
        )
        for row in table.ranked[:SHOWN]
    ]


def screening_chart(study: Study) -> Figure | None:
    """Score against cost of every representation, by how many sources it has."""
    import altair as alt

    table = study.screening
    if table is None or not table.rows:
        return None
    growth = Growth(study.request.space, study.material.models, study.costs)
    rows = [
        {
            "cost": growth.cost(row),
            "score": table.value(row),
            "sources": "one source" if len(row.sources) == 1 else f"{len(row.sources)} sources",
            "representation": " + ".join(map(str, row.sources)),
            "operator": row.fusion,
            "models": len({source.model for source in row.sources}),
            "beside": ", ".join(f"{each.title} {each.shown(row.beside.get(each.name))}" for each in table.beside),
        }
        for row in table.rows
    ]
    chart = (
        alt.Chart(data(rows))
        .mark_point(size=40, strokeWidth=1.4, opacity=0.7)
        .encode(
            x=alt.X("cost:Q", title=growth.price.label, scale=alt.Scale(type="log")),
            y=alt.Y("score:Q", title=table.by.label, scale=alt.Scale(zero=False)),
            color=alt.Color("sources:N", title="a set of"),
            shape=alt.Shape("sources:N", title="a set of"),
            tooltip=[
                *("representation:N", "operator:N"),
                *(alt.Tooltip("score:Q", format=".4f"), alt.Tooltip("beside:N", title="beside it, mean")),
                *("cost:Q", "models:Q"),
            ],
        )
        .properties(height=320)
    )
    caption = "Each mark is one representation. The scores chose what was tried; they are no results."
    return Figure("screening", "What the screening saw", table.header(), caption, chart)
