"""Extraction time against F1 by subset size (figure 5)."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from bench.cost import latency_ms
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.columns import Column, Kind, Row, joined
from bench.reproduce.questions import Answers
from bench.reproduce.scores import POINTS, score_columns
from bench.reproduce.setup import HEADS, Setup
from bench.reproduce.studies.combinations import subset_ask
from bench.reproduce.study import Findings, Steps, study
from bench.specs import Candidate


@study(
    "trade-off",
    order=6,
    paper="figure 5 (published without numbers)",
    aliases=("figure5",),
    costs=True,
    columns=(
        Column("size", "\nsize", Kind.COUNT),
        Column("model", "model"),
        Column("head", "head"),
        Column("subsets", "subsets", Kind.COUNT, spare=True),
        Column("latency_ms_min", "ms/text\nmin", Kind.NUMBER, spare=True),
        Column("latency_ms_mean", "ms/text\nmean", Kind.NUMBER),
        Column("latency_ms_max", "\nmax", Kind.NUMBER, spare=True),
        Column("f1_min", "F1\nmin", Kind.SCORE, spare=True),
        Column("f1_mean", "F1\nmean", Kind.SCORE, required=True),
        Column("f1_max", "\nmax", Kind.SCORE),
        Column("gain_delta_f1", "one more:\nΔF1", Kind.POINTS),
        Column("gain_delta_f1_per_ms", "\na ms", Kind.NUMBER),
        Column("runs", "runs", Kind.COUNT, spare=True),
    ),
)
def trade_off(setup: Setup) -> Steps:
    """Extraction milliseconds a text against F1 by subset size: least, most and mean, and where returns diminish."""
    asks = {(subset, head): subset_ask(setup, subset, head) for subset in setup.subsets() for head in HEADS}
    answers = yield asks.values()
    every: list[Row] = []
    for (subset, head), ask in asks.items():
        assert isinstance(ask.subject, Candidate)
        every.append(
            {
                "size": len(subset),
                "model": joined(subset),
                "head": head,
                "latency_ms": latency_ms(setup.costs, ask.subject),
                **score_columns(answers[ask], setup.dataset),
            }
        )
    rows = [row for head in HEADS for row in _sizes([each for each in every if each["head"] == head])]
    notes = [note for head in HEADS for note in _notes([row for row in rows if row["head"] == head], head)]
    return Findings(
        rows,
        extras={"subsets": every},
        figures=[_figure(setup, every, rows, answers, head) for head in HEADS],
        notes=notes,
    )


def _sizes(every: Sequence[Row]) -> list[Row]:
    rows: list[Row] = []
    for size in sorted({each["size"] for each in every}):
        mine = [each for each in every if each["size"] == size]
        f1, latency = ([each[name] for each in mine] for name in ("f1_mean", "latency_ms"))
        row: Row = {"kind": "size", "size": size, "head": mine[0]["head"], "subsets": len(mine)}
        for name, values in (("latency_ms", latency), ("f1", f1)):
            row |= {f"{name}_min": min(values), f"{name}_mean": float(np.mean(values)), f"{name}_max": max(values)}
        if rows:
            before = rows[-1]
            gain = {part: POINTS * (row[f"f1_{part}"] - before[f"f1_{part}"]) for part in ("min", "mean", "max")}
            row |= {"gain_f1_min": gain["min"], "gain_f1_max": gain["max"], "gain_delta_f1": gain["mean"]}
            row["gain_delta_f1_per_ms"] = row["gain_delta_f1"] / (row["latency_ms_mean"] - before["latency_ms_mean"])
        row["runs"] = mine[0]["runs"]
        row["run_f1_std"] = _root_mean_square([each["f1_std"] for each in mine])
        rows.append(row)
    return rows


def _root_mean_square(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(np.square(there)) ** 0.5) if there else None


def _figure(setup: Setup, every: Sequence[Row], sizes: Sequence[Row], answers: Answers, head: str) -> Figure:
    points = [{**each, "models fused": str(each["size"])} for each in every if each["head"] == head]
    means = [each for each in sizes if each["kind"] == "size" and each["head"] == head]
    chart = charts.cloud(
        points,
        x=Column("latency_ms", "extraction (ms per text)", Kind.NUMBER),
        y=charts.F1,
        bounds=charts.F1_BOUNDS,
        colour=Column("models fused", "models fused"),
        rules=charts.baseline_rules(setup, answers),
        ranges=[
            {"latency_ms": each["latency_ms_mean"], **{name: each[name] for name in ("f1_mean", "f1_min", "f1_max")}}
            for each in means
        ],
        span=("f1_min", "f1_max"),
    )
    return Figure(
        f"trade-off-{head}",
        f"{setup.dataset.name}: extraction time against macro-F1 ({head} head)",
        charts.subtitle(
            setup,
            "A point is a subset; bars: 95% bootstrap over test texts. Grey: mean, least and most of each size.",
        ),
        "Every subset of the models by the milliseconds that its extraction takes and its macro-F1.",
        chart,
    )


def _notes(rows: Sequence[Row], head: str) -> list[str]:
    """What each step to one model more brings, and the size beyond which nothing rises by more than runs differ."""
    if len(rows) < 2:
        return ["One model has no sizes to compare: name at least two."]
    notes = []
    for part, words in (("mean", "mean"), ("min", "weakest subset's")):
        steps = ", ".join(
            f"{after['size']}: {POINTS * (after[f'f1_{part}'] - before[f'f1_{part}']):+.1f}"
            for before, after in pairwise(rows)
        )
        notes.append(f"{head}, the {words} F1 by number of models, against one fewer: {steps} points.")
    notes[0] = notes[0][:-1] + "; ms a text: " + ", ".join(f"{row['latency_ms_mean']:.1f}" for row in rows) + "."
    noise = rows[0]["run_f1_std"]
    if noise is None:
        return [*notes, f"{head}: a fit is deterministic, so that a run's noise is no yardstick for these steps."]
    best = max(row["f1_mean"] for row in rows)
    enough = next(row for row in rows if POINTS * (best - row["f1_mean"]) <= POINTS * (row["run_f1_std"] or 0.0))
    models = "1 model" if enough["size"] == 1 else f"{enough['size']} models"
    return [
        *notes,
        f"{head}: {models} reach the best mean of all sizes within the std of one subset's runs "
        f"({POINTS * enough['run_f1_std']:.1f} points)"
        + (": no smaller number is enough." if enough is rows[-1] else "; more bring less than that."),
    ]
