"""Learned fusion: gates, attention over sources, and a scalar mix of one model's layers (section 7)."""

from collections.abc import Sequence

from bench.evaluation.scoring import Scored
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.columns import Column, Kind, Row, joined
from bench.reproduce.questions import Answers, Question
from bench.reproduce.scores import difference_columns, score_columns
from bench.reproduce.setup import HEADS, Setup
from bench.reproduce.study import Findings, Steps, study

PLAIN, LEARNED = ("concat", "sum"), ("gated-sum", "attention")
MIX = "scalar-mix"
HEAD = "mlp"


@study(
    "learned",
    order=13,
    paper="beyond it: adaptive fusion is its future work (section 7)",
    columns=(
        Column("model", "model"),
        Column("head", "head"),
        Column("fusion", "operator"),
        Column("f1_mean", "F1", Kind.SCORE, required=True),
        Column("f1_std", "± runs", Kind.SCORE, spare=True),
        Column("reference", "against"),
        Column("delta_f1", "ΔF1", Kind.POINTS),
        Column("delta_f1_low", "95% low", Kind.POINTS),
        Column("delta_f1_high", "high", Kind.POINTS),
        Column("runs", "runs", Kind.COUNT, spare=True),
    ),
)
def learned(setup: Setup) -> Steps:
    """Gated sum and attention over models against sum and concatenation; a scalar mix of layers against the last."""
    fused = {
        (subset, name): setup.test(setup.candidate([setup.last(model) for model in subset], HEAD, name))
        for subset in setup.few_subsets()
        if len(subset) > 1
        for name in (*PLAIN, *LEARNED)
    }
    # under the logistic head nothing is learned before it: the plain mean of the standardised layers
    mixes = {(model, head): _mix(setup, model, head) for model in setup.models for head in HEADS}
    last = setup.singles()
    answers = yield [*last.values(), *fused.values(), *mixes.values()]
    rows: list[Row] = [
        {
            "kind": "single",
            "model": model,
            "head": head,
            "fusion": "none",
            **score_columns(answers[ask], setup.dataset),
        }
        for (model, head), ask in last.items()
    ]
    for (subset, name), ask in fused.items():
        row: Row = {"kind": "fusion", "model": joined(subset), "head": HEAD, "fusion": name}
        row |= score_columns(answers[ask], setup.dataset)
        if name in LEARNED:
            row |= _against("sum", answers[ask], answers[fused[subset, "sum"]], setup)
        rows.append(row)
    for (model, head), ask in mixes.items():
        name = f"{MIX} of all layers" if head == "mlp" else "mean of all layers"
        row = {"kind": "mix", "model": model, "head": head, "fusion": name}
        row |= score_columns(answers[ask], setup.dataset)
        rows.append(row | _against("last layer", answers[ask], answers[last[model, head]], setup))
    figures, notes = [_figure(setup, rows, answers)], _notes(rows)
    return Findings(rows, figures=figures, notes=notes)


def _mix(setup: Setup, model: str, head: str) -> Question:
    sources = [setup.last(model).model_copy(update={"layer": layer}) for layer in setup.layers(model)]
    return setup.test(setup.candidate(sources, head, MIX))


def _against(name: str, scored: Scored, reference: Scored, setup: Setup) -> Row:
    return {"reference": name, **difference_columns(scored, reference, setup.dataset)}


def _figure(setup: Setup, rows: Sequence[Row], answers: Answers) -> Figure:
    chart = charts.intervals(
        [row for row in rows if row["head"] == HEAD],
        x=charts.MODEL,
        y=charts.F1,
        bounds=charts.F1_BOUNDS,
        colour=Column("fusion", "operator"),
        rules=charts.baseline_rules(setup, answers),
    )
    return Figure(
        "learned",
        f"{setup.dataset.name}: learned fusion beside plain (mlp head)",
        charts.subtitle(setup, "Bars: 95% bootstrap over test texts, runs averaged."),
        "Macro-F1 of plain and learned operators for each set of models, and of a scalar mix of each model's layers.",
        chart,
    )


def _notes(rows: Sequence[Row]) -> list[str]:
    compared = [row for row in rows if "reference" in row and row["head"] == HEAD]
    notes = [
        "Operators that learn are trained with the mlp head; under the logistic head nothing before it is learned."
    ]
    notes += [
        f"{row['model']}: {row['fusion']} against {row['reference']}: {row['delta_f1']:+.1f} points "
        f"(95% {row['delta_f1_low']:+.1f} to {row['delta_f1_high']:+.1f})."
        for row in compared
    ]
    return notes
