"""Poolings at the last layer (figure 4)."""

from collections.abc import Iterator, Mapping, Sequence

from bench.evaluation.scoring import Scored
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.columns import Column, Kind, Row
from bench.reproduce.layout import TableLine, baselines, laid_out
from bench.reproduce.layout import score as cell
from bench.reproduce.published import printed
from bench.reproduce.questions import Answers
from bench.reproduce.scores import POINTS, difference_columns, score_columns
from bench.reproduce.setup import HEADS, Setup
from bench.reproduce.study import Findings, Steps, study

WIDE_GAP = 6.0
"""Points beyond which the paper marks a gap."""
POOLINGS = ("last", "mean", "first")


@study(
    "pooling",
    order=2,
    paper="figure 4",
    aliases=("figure4",),
    table="figure4",
    columns=(
        Column("model", "model"),
        Column("head", "head"),
        Column("last_f1_mean", "last\nF1", Kind.SCORE, required=True),
        Column("mean_f1_mean", "mean\nF1", Kind.SCORE, required=True),
        Column("first_f1_mean", "first\nF1", Kind.SCORE, required=True),
        Column("f1_mean", "baseline\nF1", Kind.SCORE, required=True),
        Column("winner_f1", "wins", spare=True),
        Column("delta_f1", "last −\nmean", Kind.POINTS),
        Column("delta_f1_low", "95%\nlow", Kind.POINTS),
        Column("delta_f1_high", "\nhigh", Kind.POINTS),
        Column("wide_gap", "gap\n> 6", Kind.FLAG, spare=True),
        Column("disagree", "accuracy\ndisagrees", Kind.FLAG, spare=True),
        Column("published_delta_f1", "paper:\nlast − mean", Kind.POINTS),
        Column("runs", "runs", Kind.COUNT, spare=True),
    ),
)
def pooling(setup: Setup) -> Steps:
    """Last-token against mean pooling (and first) at the last layer."""
    asks = {
        (model, head, name): setup.test(setup.candidate([setup.last(model, name)], head))
        for model, resolved in setup.models.items()
        for head in HEADS
        for name in POOLINGS
        if name in resolved.poolings
    }
    answers = yield asks.values()
    points: list[Row] = [
        {"model": model, "head": head, "pooling": name, **score_columns(answers[ask], setup.dataset)}
        for (model, head, name), ask in asks.items()
    ]
    rows = [
        _row(
            setup,
            model,
            head,
            {name: answers[asks[model, head, name]] for name in POOLINGS if (model, head, name) in asks},
        )
        for model in setup.models
        for head in HEADS
    ]
    return Findings(
        rows,
        beside={model.name: _published(setup, model.name) for model in setup.absent},
        extras={"points": points},
        figures=[_figure(setup, points, answers)],
        notes=_notes(rows),
    )


def _row(setup: Setup, model: str, head: str, scores: Mapping[str, Scored]) -> Row:
    row: Row = {"kind": "model", "model": model, "head": head}
    for name, scored in scores.items():
        row |= score_columns(scored, setup.dataset, f"{name}_")
    f1 = {name: scored.f1.mean for name, scored in scores.items()}
    accuracy = {name: scored.accuracy.mean for name, scored in scores.items()}
    difference = difference_columns(scores["last"], scores["mean"], setup.dataset)
    row |= {
        "winner_f1": winner(f1),
        "winner_accuracy": winner(accuracy),
        **difference,
        "wide_gap": max(abs(difference["delta_f1"]), abs(difference["delta_accuracy"])) > WIDE_GAP,
        "disagree": difference["delta_f1"] * difference["delta_accuracy"] < 0 or winner(f1) != winner(accuracy),
        "runs": scores["mean"].f1.n,
    }
    return row | (_published(setup, model) if head == "mlp" else {})


def _published(setup: Setup, model: str) -> Row:
    """The paper's numbers for a model on this data set, where it has them."""
    theirs = {each["pooling"]: each for each in printed("figure4", dataset=setup.dataset.name, model=model)}
    row: Row = {}
    for name, each in theirs.items():
        row |= {f"published_{name}_accuracy": each["accuracy"], f"published_{name}_f1": each["f1"]}
    if theirs:
        row["published_delta_f1"] = POINTS * (theirs["last"]["f1"] - theirs["mean"]["f1"])
    return row


def winner(scores: Mapping[str, float]) -> str:
    """The name of the highest score, or those of equals."""
    return " = ".join(name for name, value in scores.items() if value == max(scores.values()))


def _figure(setup: Setup, points: Sequence[Row], answers: Answers) -> Figure:
    shown = [{**each, "of": f"{each['model']}, {each['head']}"} for each in points]
    chart = charts.intervals(
        shown,
        x=Column("of", "model, head"),
        y=charts.F1,
        bounds=charts.F1_BOUNDS,
        colour=Column("pooling", "pooling"),
        rules=charts.baseline_rules(setup, answers),
    )
    return Figure(
        "pooling",
        f"{setup.dataset.name}: pooling at the last layer",
        charts.subtitle(setup, "Bars: 95% bootstrap over test texts, runs averaged."),
        "Macro-F1 of last-token, mean and first-token pooling of every model's last layer under both heads.",
        chart,
    )


def _notes(rows: Sequence[Row]) -> list[str]:
    models = [row for row in rows if row["kind"] == "model"]
    clear = [row for row in models if row["delta_f1_low"] > 0 or row["delta_f1_high"] < 0]
    return [
        (
            f"{len(clear)} of {len(models)} differences between last and mean pooling are clear of zero at 95%; "
            f"{sum(row['wide_gap'] for row in models)} exceed {WIDE_GAP:.0f} points."
        ),
        "A causal model's first token sees itself alone: models where `first` says nothing leave it out.",
    ]


@laid_out(pooling, "figure4", about=("head", "model", "pooling"), columns=("accuracy", "F1"))
def figure4(rows: Sequence[Row]) -> Iterator[TableLine]:
    """What the paper's blocks hold: each model's last layer under each pooling."""
    for row in rows:
        for name in POOLINGS if row["kind"] == "model" else ():
            if f"{name}_f1_mean" in row:
                scores = (row[f"{name}_accuracy_mean"], row[f"{name}_f1_mean"])
                yield TableLine((row["head"], row["model"], name), tuple(map(cell, scores)))
    yield from baselines(rows, 3)
