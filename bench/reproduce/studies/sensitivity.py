"""Does fusion lower the sensitivity to layer and pooling? (the paper's claim, which it shows by ranges)."""

from collections.abc import Mapping, Sequence

import numpy as np

from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.columns import Column, Kind, Row, joined
from bench.reproduce.questions import Question
from bench.reproduce.scores import POINTS, score_columns
from bench.reproduce.setup import HEADS, Setup
from bench.reproduce.statistics import choice_spreads
from bench.reproduce.study import Findings, Steps, study
from bench.specs import Source

CHOICES = 20
"""Draws of layer and pooling for each subset."""
SUBSETS = 7
"""At most so many subsets a size, drawn where there are more."""
Subset = tuple[str, ...]


@study(
    "sensitivity",
    order=9,
    paper="beyond it: its conclusion says that fusion makes performance less sensitive to layer and pooling",
    intervals="95%, jackknife over choices of layer and pooling with Student's t, for the models and subsets at hand",
    columns=(
        Column("size", "\nsize", Kind.COUNT),
        Column("model", "model"),
        Column("head", "head"),
        Column("subsets", "subsets", Kind.COUNT),
        Column("choices", "choices\neach", Kind.COUNT),
        Column("f1_mean", "F1\nmean", Kind.SCORE, required=True),
        Column("f1_lowest_tenth", "lowest\ntenth", Kind.SCORE),
        Column("std", "std\n(points)", Kind.NUMBER),
        Column("std_low", "95%\nlow", Kind.NUMBER),
        Column("std_high", "\nhigh", Kind.NUMBER),
        Column("ratio", "variance\nratio to 1", Kind.NUMBER),
        Column("ratio_low", "95%\nlow", Kind.NUMBER),
        Column("ratio_high", "\nhigh", Kind.NUMBER),
        Column("runs_std", "std over\nruns", Kind.NUMBER),
        Column("runs", "runs", Kind.COUNT),
    ),
)
def sensitivity(setup: Setup) -> Steps:
    """Variance of F1 over random layer and pooling choices for 1, 2, 3 … models concatenated, with intervals."""
    rng = np.random.default_rng(setup.protocol.seed)
    drawn = {model: _choices(setup, model, rng) for model in setup.models}
    subsets = _drawn_subsets(setup, rng)
    asks: dict[tuple[Subset, str], list[Question]] = {
        (subset, head): [
            setup.test(setup.candidate([drawn[model][number] for model in subset], head)) for number in range(CHOICES)
        ]
        for subset in subsets
        for head in HEADS
    }
    answers = yield (ask for each in asks.values() for ask in each)
    rows: list[Row] = []
    every: list[Row] = []
    for head in HEADS:
        groups: dict[int, list[np.ndarray]] = {}
        for (subset, of), chosen in asks.items():
            if of != head:
                continue
            scores = [[run.scores.macro_f1 for run in answers[ask].repetitions] for ask in chosen]
            groups.setdefault(len(subset), []).append(POINTS * np.array(scores))
            every += [
                {
                    "size": len(subset),
                    "head": head,
                    "model": joined(subset),
                    "sources": str(ask.subject),
                    **score_columns(answers[ask], setup.dataset),
                }
                for ask in dict.fromkeys(chosen)
            ]
        rows += _rows(head, groups)
    notes = _notes(rows)
    return Findings(rows, extras={"choices": every}, figures=[_figure(setup, rows)], notes=notes)


def _choices(setup: Setup, model: str, rng: np.random.Generator) -> list[Source]:
    poolings, layers = setup.models[model].poolings, len(setup.layers(model))
    return [
        Source(model=model, layer=int(rng.integers(layers)), pooling=poolings[rng.integers(len(poolings))])
        for _ in range(CHOICES)
    ]


def _drawn_subsets(setup: Setup, rng: np.random.Generator) -> list[Subset]:
    found: list[Subset] = []
    for size in range(1, len(setup.models) + 1):
        every = list(setup.subsets(size, size))
        kept = sorted(rng.choice(len(every), min(SUBSETS, len(every)), replace=False))
        found += [every[number] for number in kept]
    return found


def _rows(head: str, groups: Mapping[int, Sequence[np.ndarray]]) -> list[Row]:
    spreads = choice_spreads(groups)
    rows: list[Row] = []
    for size, group in groups.items():
        means, spread = np.concatenate([scores.mean(1) for scores in group]), spreads[size]
        rows.append(
            {
                "kind": "size",
                "size": size,
                "head": head,
                "subsets": len(group),
                "choices": CHOICES,
                "f1_mean": float(means.mean() / POINTS),
                "f1_lowest_tenth": float(np.quantile(means, 0.1) / POINTS),
                "variance": spread.variance,
                "variance_low": spread.low,
                "variance_high": spread.high,
                "std": max(spread.variance, 0.0) ** 0.5,
                "std_low": max(spread.low, 0.0) ** 0.5,
                "std_high": max(spread.high, 0.0) ** 0.5,
                "ratio": spread.ratio,
                "ratio_low": spread.ratio_low,
                "ratio_high": spread.ratio_high,
                "runs_std": spread.runs**0.5,
                "runs": group[0].shape[1],
            }
        )
    return rows


def _figure(setup: Setup, rows: Sequence[Row]) -> Figure:
    chart = charts.intervals(
        [{**row, "models": str(row["size"])} for row in rows if row["kind"] == "size"],
        x=Column("models", "models concatenated"),
        y=Column("std", "std of macro-F1 over layer and pooling (points)", Kind.POINTS),
        bounds=("std_low", "std_high"),
        colour=charts.HEAD,
    )
    return Figure(
        "sensitivity",
        f"{setup.dataset.name}: how much layer and pooling choices move macro-F1",
        charts.subtitle(setup, f"{CHOICES} choices a subset; bars: 95% jackknife over choices; run noise taken off."),
        "The standard deviation of macro-F1 over random layer and pooling choices, by the number of models fused.",
        chart,
    )


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = []
    for row in rows:
        if row["size"] == 1:
            continue
        if row["ratio"] is None:
            notes.append(f"{row['head']}, {row['size']} models: no variance beyond that of runs to compare.")
            continue
        verdict = (
            "lower"
            if row["ratio_high"] < 1
            else "higher"
            if row["ratio_low"] > 1
            else "not distinguishable from one model's"
        )
        notes.append(
            f"{row['head']}, {row['size']} models: variance {row['ratio']:.2f} times one model's "
            f"(95% {row['ratio_low']:.2f} to {row['ratio_high']:.2f}): {verdict}."
        )
    return [
        *notes,
        "Layers and poolings are drawn uniformly and independently for each model; run noise is taken off.",
    ]
