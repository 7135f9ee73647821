"""Two models, each at its best layer (table 3)."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from bench.evaluation.scoring import Scored
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.columns import Column, Kind, Row, joined
from bench.reproduce.layout import Cell, Over, TableLine, laid_out
from bench.reproduce.layout import score as cell
from bench.reproduce.questions import Answers
from bench.reproduce.scores import POINTS, difference_columns, score_columns
from bench.reproduce.setup import HEADS, Setup
from bench.reproduce.studies.layers import best
from bench.reproduce.studies.pairs import OPERATORS
from bench.reproduce.study import Findings, Steps, study
from bench.specs import Candidate

SELECTIONS = {"test": "on the test set, as the paper", "cv": "by cross-validation on the training rows"}
Key = tuple[str, str]
Scores = dict[Key, dict[int, Scored]]


@study(
    "optimal-layers",
    order=4,
    paper="table 3",
    aliases=("table3",),
    table="table3",
    selects=True,
    stages=2,
    columns=(
        Column("selection", "by"),
        Column("head", "head"),
        Column("model", "sources"),
        Column("fusion", "operator"),
        Column("f1_mean", "F1", Kind.SCORE, required=True),
        Column("f1_std", "±\nruns", Kind.SCORE, spare=True),
        Column("last_delta_f1", "Δ vs\nlast", Kind.POINTS, spare=True),
        Column("optimal_delta_f1", "Δ vs\nsingle", Kind.POINTS),
        Column("optimal_delta_f1_low", "95%\nlow", Kind.POINTS),
        Column("optimal_delta_f1_high", "\nhigh", Kind.POINTS),
        Column("runs", "runs", Kind.COUNT, spare=True),
    ),
)
def optimal_layers(setup: Setup) -> Steps:
    """Pairs at each model's best layer: the winner, against the best last layer and against the best single layer."""
    singles = {
        (model, head, layer): setup.candidate([setup.last(model).model_copy(update={"layer": layer})], head)
        for model in setup.models
        for head in HEADS
        for layer in setup.layers(model)
    }
    answers = yield (ask for each in singles.values() for ask in (setup.test(each), setup.held_out(each)))
    test, held_out = (_by_layer(singles, answers, ask) for ask in (setup.test, setup.held_out))
    chosen = {
        (selection, *key): best(test[key], "macro_f1").layer
        if selection == "test"
        else max(layers, key=lambda layer: layers[layer].f1.mean)
        for selection in SELECTIONS
        for key, layers in held_out.items()
    }
    candidates = dict(_pairs(setup, chosen))
    answers = yield [
        ask
        for (selection, *_), candidate in candidates.items()
        for ask in [setup.test(candidate), *([setup.held_out(candidate)] if selection == "cv" else [])]
    ]
    every = [_pair_row(setup, key, candidate, answers, test, chosen) for key, candidate in candidates.items()]
    rows: list[Row] = []
    for selection in SELECTIONS:
        for head in HEADS:
            mine = [row for row in every if (row["selection"], row["head"]) == (selection, head)]
            if mine:
                rows.append(max(mine, key=lambda row: row["selection_f1"]))
            rows += _references(setup, selection, head, test, held_out, chosen)
    return Findings(
        rows,
        extras={"pairs": every} if every else {},
        figures=[_figure(setup, every, head) for head in HEADS] if every else [],
        notes=_notes(setup, rows),
    )


def _by_layer(singles: Mapping[tuple[str, str, int], Candidate], answers: Answers, ask: Any) -> Scores:
    scores: Scores = {}
    for (model, head, layer), candidate in singles.items():
        scores.setdefault((model, head), {})[layer] = answers[ask(candidate)]
    return scores


def _pairs(
    setup: Setup, chosen: Mapping[tuple[str, str, str], int]
) -> Iterator[tuple[tuple[str, str, tuple[str, str], str], Candidate]]:
    for selection in SELECTIONS:
        for head in HEADS:
            for pair in combinations(setup.models, 2):
                sources = [
                    setup.last(model).model_copy(update={"layer": chosen[selection, model, head]}) for model in pair
                ]
                for operator in OPERATORS:
                    yield (selection, head, pair, operator), setup.candidate(sources, head, operator)


def _pair_row(
    setup: Setup,
    key: tuple[str, str, tuple[str, str], str],
    candidate: Candidate,
    answers: Answers,
    test: Scores,
    chosen: Mapping[tuple[str, str, str], int],
) -> Row:
    selection, head, pair, operator = key
    scored = answers[setup.test(candidate)]
    last = _best_single(setup, head, test, {model: setup.models[model].layers for model in setup.models})
    optimal = _best_single(setup, head, test, {model: chosen[selection, model, head] for model in setup.models})
    return {
        "kind": "fusion",
        "selection": selection,
        "head": head,
        "model": joined([f"{model}[{chosen[selection, model, head]}]" for model in pair]),
        "fusion": operator,
        **score_columns(scored, setup.dataset),
        "selection_f1": scored.f1.mean if selection == "test" else answers[setup.held_out(candidate)].f1.mean,
        "last_single": last,
        **difference_columns(scored, test[last, head][setup.models[last].layers], setup.dataset, "last_"),
        "optimal_single": f"{optimal}[{chosen[selection, optimal, head]}]",
        **difference_columns(scored, test[optimal, head][chosen[selection, optimal, head]], setup.dataset, "optimal_"),
    }


def _best_single(setup: Setup, head: str, test: Scores, layers: Mapping[str, int]) -> str:
    """The model that does best on test at its given layer: the strongest reference there is."""
    return max(setup.models, key=lambda model: test[model, head][layers[model]].f1.mean)


def _references(
    setup: Setup,
    selection: str,
    head: str,
    test: Scores,
    held_out: Scores,
    chosen: Mapping[tuple[str, str, str], int],
) -> list[Row]:
    """The singles that the winner is held against."""
    rows = []
    for model in setup.models:
        layer = chosen[selection, model, head]
        rows.append(
            {
                "kind": "single",
                "selection": selection,
                "head": head,
                "model": f"{model}[{layer}]",
                "fusion": "none",
                **score_columns(test[model, head][layer], setup.dataset),
                "selection_f1": (test if selection == "test" else held_out)[model, head][layer].f1.mean,
            }
        )
    return rows


def _figure(setup: Setup, rows: Sequence[Row], head: str) -> Figure:
    chart = charts.heatmap(
        [row for row in rows if row["head"] == head and row["selection"] == "cv"],
        x=Column("fusion", "operator"),
        y=Column("model", "pair"),
        value=Column("optimal_delta_f1", "change of macro-F1 (points)", Kind.POINTS),
        bounds=("optimal_delta_f1_low", "optimal_delta_f1_high"),
    )
    return Figure(
        f"optimal-layers-{head}",
        f"{setup.dataset.name}: pairs at their best layers, against the best single at its best layer ({head} head)",
        charts.subtitle(setup, "Layers chosen by cross-validation. *: 95% interval without zero."),
        "A grid of pairs by operator; blue cells gain macro-F1 over the best single model at its best layer.",
        chart,
    )


def _notes(setup: Setup, rows: Sequence[Row]) -> list[str]:
    if len(setup.models) < 2:
        return ["One model alone makes no pair: name at least two."]
    notes = ["`test` selects layers, pair and operator on the test set, as the paper does: it is optimistic."]
    notes += [
        f"Selected {SELECTIONS[row['selection']]}, {row['head']}: {row['fusion']} of {row['model']} changes F1 by "
        f"{row['last_delta_f1']:+.1f} points against the best last layer ({row['last_single']}), and by "
        f"{row['optimal_delta_f1']:+.1f} (95% {row['optimal_delta_f1_low']:+.1f} to "
        f"{row['optimal_delta_f1_high']:+.1f}) against the best single layer ({row['optimal_single']})."
        for row in rows
        if row["kind"] == "fusion"
    ]
    return notes


@laid_out(
    optimal_layers,
    "table3",
    about=("head", "selected", "models"),
    columns=("operator", "accuracy", "F1", "Δ accuracy", "Δ F1"),
    over=Over.LINES,
)
def table3(rows: Sequence[Row]) -> Iterator[TableLine]:
    """The chosen pair below the best single model at its last layer; differences are in points."""
    for row in rows:
        if row["kind"] != "fusion":
            continue
        about = row["head"], {"test": "on test", "cv": "by CV"}[row["selection"]]
        change = {name: row[f"last_delta_{name}"] for name in ("accuracy", "f1")}
        single = [cell(row[f"{name}_mean"] - change[name] / POINTS) for name in change]
        yield TableLine((*about, f"{row['last_single']}[last]"), (Cell(), *single, Cell(""), Cell("")))
        fused = [cell(row[f"{name}_mean"]) for name in change]
        yield TableLine(
            (*about, row["model"]), (Cell(row["fusion"]), *fused, *(Cell(f"{value:+.1f}") for value in change.values()))
        )
