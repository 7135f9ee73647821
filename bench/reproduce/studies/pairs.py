"""Every pair of models under every operator (figure 3)."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations_with_replacement

from bench.evaluation.scoring import Scored
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.columns import Column, Kind, Row, joined
from bench.reproduce.questions import Question
from bench.reproduce.scores import difference_columns, score_columns, single_rows
from bench.reproduce.setup import HEADS, Setup
from bench.reproduce.study import Findings, Steps, study

OPERATORS = (
    "concat",
    "sum",
    "sum+residual",
    "quaternion",
    "quaternion+residual",
    "multiplication",
    "multiplication+residual",
    "hadamard",
    "hadamard+residual",
)
"""The paper's nine, in its order."""
Pair = tuple[str, str]


@study(
    "pairs",
    order=3,
    paper="figure 3 (published as colours, without numbers)",
    aliases=("figure3",),
    columns=(
        Column("model", "pair"),
        Column("head", "head"),
        Column("fusion", "operator"),
        Column("f1_mean", "F1", Kind.SCORE, required=True),
        Column("f1_std", "±\nruns", Kind.SCORE, spare=True),
        Column("better_single", "better\nalone", spare=True),
        Column("delta_f1", "ΔF1", Kind.POINTS),
        Column("delta_f1_low", "95%\nlow", Kind.POINTS),
        Column("delta_f1_high", "\nhigh", Kind.POINTS),
        Column("runs", "runs", Kind.COUNT, spare=True),
    ),
)
def pairs(setup: Setup) -> Steps:
    """Every pair of models, also a model with itself, under nine operators: change of F1 against the better alone."""
    singles = setup.singles()
    asks = dict(_asks(setup))
    answers = yield [*singles.values(), *asks.values()]
    alone = {key: answers[ask] for key, ask in singles.items()}
    rows = [_row(setup, *key, answers[ask], alone) for key, ask in asks.items()]
    return Findings(
        rows + single_rows(alone, setup.dataset),
        figures=[_figure(setup, rows, head) for head in HEADS],
        notes=_notes(rows),
    )


def _asks(setup: Setup) -> Iterator[tuple[tuple[Pair, str, str], Question]]:
    for pair in combinations_with_replacement(setup.models, 2):
        for head in HEADS:
            for operator in OPERATORS:
                sources = [setup.last(model) for model in pair]
                yield (pair, head, operator), setup.test(setup.candidate(sources, head, operator))


def _row(setup: Setup, pair: Pair, head: str, operator: str, scored: Scored, alone: Mapping[Pair, Scored]) -> Row:
    better = max(pair, key=lambda model: alone[model, head].f1.mean)
    return {
        "kind": "pair",
        "model": joined(pair),
        "itself": pair[0] == pair[1],
        "head": head,
        "fusion": operator,
        **score_columns(scored, setup.dataset),
        "better_single": better,
        "better_single_f1": alone[better, head].f1.mean,
        **difference_columns(scored, alone[better, head], setup.dataset),
    }


def _figure(setup: Setup, rows: Sequence[Row], head: str) -> Figure:
    chart = charts.heatmap(
        [row for row in rows if row["head"] == head],
        x=Column("fusion", "operator"),
        y=Column("model", "pair"),
        value=Column("delta_f1", "change of macro-F1 (points)", Kind.POINTS),
        bounds=("delta_f1_low", "delta_f1_high"),
    )
    return Figure(
        f"pairs-{head}",
        f"{setup.dataset.name}: two models fused, against the better of the two alone ({head} head)",
        charts.subtitle(setup, "Last layers, mean pooling. *: 95% interval (bootstrap over test texts) without zero."),
        "A grid of pairs of models by operator; blue cells gain macro-F1, orange ones lose it.",
        chart,
    )


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = []
    for head in HEADS:
        mine = [row for row in rows if row["head"] == head]
        for itself in (False, True):
            for operators, words in ((("concat",), "concatenated"), (OPERATORS[1:], "under the other operators")):
                group = [row for row in mine if row["itself"] == itself and row["fusion"] in operators]
                if not group:
                    continue
                up = sum(row["delta_f1_low"] > 0 for row in group)
                down = sum(row["delta_f1_high"] < 0 for row in group)
                what = "a model with itself" if itself else "two models"
                notes.append(f"{head}, {what} {words}: of {len(group)} cells {up} gain and {down} lose.")
        if mine:
            top = max(mine, key=lambda row: row["delta_f1"])
            notes.append(f"{head}: the largest change is {top['delta_f1']:+.1f}, {top['fusion']} of {top['model']}.")
    return [
        *notes,
        (
            "Cells that gain or lose are clear of zero at 95%, each alone, not corrected for their number. What a "
            "model gains with itself is no other model's knowledge: it is capacity, or training."
        ),
        (
            "Under the logistic head projections are random and frozen: operators other than concat lose what a "
            "learned projection would keep, and sum+residual is sum."
        ),
    ]
