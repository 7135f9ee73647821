"""All subsets of the models, concatenated (table 4)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench.evaluation.scoring import Scored
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.columns import Column, Kind, Row, joined
from bench.reproduce.layout import TableLine, baselines, extremes, laid_out
from bench.reproduce.published import models as papers_models
from bench.reproduce.published import printed
from bench.reproduce.questions import Answers, Question
from bench.reproduce.scores import POINTS, known, score_columns
from bench.reproduce.setup import HEADS, Setup
from bench.reproduce.study import Findings, Steps, study

Subset = tuple[str, ...]
Scores = Mapping[Subset, Scored]


@study(
    "combinations",
    order=5,
    paper="table 4 (its 99 subsets are sizes 3 to 7 of seven)",
    aliases=("table4",),
    table="table4",
    columns=(
        Column("size", "\nsize", Kind.COUNT),
        Column("model", "model"),
        Column("head", "head"),
        Column("subsets", "subsets", Kind.COUNT, spare=True),
        Column("f1_mean", "F1\nmean", Kind.SCORE, required=True),
        Column("subset_f1_min", "subsets:\nmin", Kind.SCORE),
        Column("subset_f1_max", "\nmax", Kind.SCORE),
        Column("subset_f1_std", "\nstd", Kind.SCORE, spare=True),
        Column("run_f1_range", "runs:\nrange", Kind.SCORE),
        Column("run_f1_std", "\nstd", Kind.SCORE, spare=True),
        Column("add_f1_mean", "one more:\nmean Δ", Kind.POINTS, required=True),
        Column("add_f1_abs", "\nmean |Δ|", Kind.POINTS),
        Column("remove_f1_worst", "one less:\nworst Δ", Kind.POINTS),
        Column("runs", "runs", Kind.COUNT, spare=True),
    ),
)
def combinations(setup: Setup) -> Steps:
    """All subsets of every size, concatenated, last layer, mean pooling: range over subsets and over runs, apart."""
    asks = {(subset, head): subset_ask(setup, subset, head) for subset in setup.subsets() for head in HEADS}
    answers = yield asks.values()
    rows: list[Row] = []
    every: list[Row] = []
    for head in HEADS:
        scores = {subset: answers[ask] for (subset, of), ask in asks.items() if of == head}
        rows += [_row(setup, head, size, scores) for size in sorted({len(subset) for subset in scores})]
        every += [
            {
                "size": len(subset),
                "model": joined(subset),
                "head": head,
                **score_columns(scored, setup.dataset),
                "f1_worst_run": scored.f1.floor,
                "f1_best_run": max(run.scores.macro_f1 for run in scored.repetitions),
            }
            for subset, scored in scores.items()
        ]
    sizes = list(rows)
    return Findings(
        rows,
        extras={"subsets": every},
        figures=[_figure(setup, every, answers)],
        notes=_notes(sizes),
    )


def subset_ask(setup: Setup, subset: Subset, head: str) -> Question:
    """The concatenation of a subset's last layers on the test set."""
    ask = setup.test(setup.candidate([setup.last(model) for model in subset], head))
    return replace(ask, together=head == "mlp" and len(subset) > 1)


def _row(setup: Setup, head: str, size: int, scores: Scores) -> Row:
    mine = {subset: scored for subset, scored in scores.items() if len(subset) == size}
    row: Row = {"kind": "size", "size": size, "head": head, "subsets": len(mine)}
    for name, pick in (("accuracy", "accuracy"), ("f1", "macro_f1")):
        runs = np.array([[getattr(run.scores, pick) for run in each.repetitions] for each in mine.values()])
        means = runs.mean(1)
        row |= {
            f"{name}_mean": float(means.mean()),
            f"subset_{name}_min": float(means.min()),
            f"subset_{name}_max": float(means.max()),
            f"subset_{name}_std": known(float(means.std(ddof=1))) if len(means) > 1 else None,
            f"run_{name}_range": float(np.ptp(runs, axis=1).mean()) if runs.shape[1] > 1 else None,
            f"run_{name}_std": float(runs.var(1, ddof=1).mean() ** 0.5) if runs.shape[1] > 1 else None,
            f"mixed_{name}_min": float(runs.min()),
            f"mixed_{name}_max": float(runs.max()),
            "runs": runs.shape[1],
        }
    row |= _steps(scores, size)
    theirs = printed("table4", dataset=setup.dataset.name, size=size)
    if head == "mlp" and theirs and set(papers_models()) == set(setup.models):
        for field in ("accuracy_min", "accuracy_max", "f1_min", "f1_max"):
            row[f"published_{field}"] = theirs[0][field]
    return row


def _steps(scores: Scores, size: int) -> Row:
    """How far one model more, or less, moves the F1 of a subset of `size`, in points, over all such steps."""
    added = [change for smaller, change in _additions(scores) if len(smaller) == size]
    removed = [-change for smaller, change in _additions(scores) if len(smaller) == size - 1]
    return {
        "add_steps": len(added),
        "add_f1_mean": float(np.mean(added)) if added else None,
        "add_f1_abs": float(np.mean(np.abs(added))) if added else None,
        "add_f1_worst": min(added, default=None),
        "remove_steps": len(removed),
        "remove_f1_mean": float(np.mean(removed)) if removed else None,
        "remove_f1_abs": float(np.mean(np.abs(removed))) if removed else None,
        "remove_f1_worst": min(removed, default=None),
    }


def _additions(scores: Scores) -> Iterator[tuple[Subset, float]]:
    for larger, scored in scores.items():
        for model in larger:
            if smaller := tuple(each for each in larger if each != model):
                yield smaller, POINTS * (scored.f1.mean - scores[smaller].f1.mean)


def _figure(setup: Setup, every: Sequence[Row], answers: Answers) -> Figure:
    chart = charts.cloud(
        every,
        x=Column("size", "models fused", Kind.COUNT),
        y=charts.F1,
        bounds=("f1_worst_run", "f1_best_run"),
        colour=charts.HEAD,
        rules=charts.baseline_rules(setup, answers),
    )
    return Figure(
        "combinations",
        f"{setup.dataset.name}: all subsets of {len(setup.models)} models, concatenated",
        charts.subtitle(setup, "A point is a subset's mean over runs; its bar goes from the worst run to the best."),
        "Macro-F1 of every subset of the models by its size, with the spread over runs of each as a bar.",
        chart,
    )


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = [
        (
            "`subset_…` is the spread over subsets of each one's mean over runs, `run_…` that over runs within a "
            "subset; `mixed_…` is the range that the paper prints, over both."
        ),
        "There are fewer subsets at the largest sizes, and they share most models: their range shrinks by itself.",
    ]
    for head in HEADS:
        mine = [row for row in rows if row["head"] == head]
        if len(mine) > 1:
            first, last = mine[0], mine[-1]
            notes.append(
                f"{head}: from {first['size']} to {last['size']} models the lowest F1 goes from "
                f"{first['subset_f1_min']:.3f} to {last['subset_f1_min']:.3f}, the highest from "
                f"{first['subset_f1_max']:.3f} to {last['subset_f1_max']:.3f}."
            )
    return notes


@laid_out(combinations, "table4", about=("head", "models"), columns=("accuracy", "F1"))
def table4(rows: Sequence[Row]) -> Iterator[TableLine]:
    """The lowest and the highest score of a size, over subsets and over runs, as the paper prints them."""
    for row in rows:
        if row["kind"] == "size":
            words = "single" if row["size"] == 1 else f"{row['size']} ({row['subsets']})"
            ends = (extremes(row[f"mixed_{name}_min"], row[f"mixed_{name}_max"]) for name in ("accuracy", "f1"))
            yield TableLine((row["head"], words), tuple(ends))
    yield from baselines(rows, 2)
