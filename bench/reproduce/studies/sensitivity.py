"""Does fusion lower the sensitivity to layer and pooling? (the paper's claim, which it shows by ranges).

Several draws of layer and pooling are less sensitive than one, whatever they are of: a mean varies less than its terms.
So the control of a fusion of k models is one model at k of its own layers and poolings.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

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
OWN = 3
"""A model is concatenated with itself, at other layers and poolings, up to so many times."""
Subset = tuple[str, ...]


class Arm(NamedTuple):
    """What is compared: so many sources, each of another model, or all of one (`own`)."""

    size: int
    own: bool = False

    @property
    def words(self) -> str:
        """For tables and axes."""
        return f"{self.size} of one model" if self.own else self.short

    @property
    def short(self) -> str:
        """For the first column of a table, where names of baselines stand as well."""
        return f"{self.size} of one" if self.own else f"{self.size} model{'s' * (self.size > 1)}"


@study(
    "sensitivity",
    order=10,
    paper="beyond it: its conclusion says that fusion makes performance less sensitive to layer and pooling",
    intervals="95%, jackknife over choices of layer and pooling with Student's t, for the models and subsets at hand",
    columns=(
        Column("model", "\nsources"),
        Column("head", "head"),
        Column("subsets", "subsets", Kind.COUNT, spare=True),
        Column("choices", "choices\neach", Kind.COUNT, spare=True),
        Column("f1_mean", "F1\nmean", Kind.SCORE, required=True),
        Column("f1_lowest_tenth", "lowest\ntenth", Kind.SCORE, spare=True),
        Column("std", "std\n(points)", Kind.NUMBER),
        Column("std_low", "95%\nlow", Kind.NUMBER, spare=True),
        Column("std_high", "\nhigh", Kind.NUMBER, spare=True),
        Column("ratio", "variance\nto one's", Kind.NUMBER),
        Column("ratio_low", "95%\nlow", Kind.NUMBER),
        Column("ratio_high", "\nhigh", Kind.NUMBER),
        Column("own_ratio", "to its\nown", Kind.NUMBER),
        Column("own_ratio_low", "95%\nlow", Kind.NUMBER),
        Column("own_ratio_high", "\nhigh", Kind.NUMBER),
        Column("runs_std", "std over\nruns", Kind.NUMBER, spare=True),
        Column("runs", "runs", Kind.COUNT, spare=True),
    ),
)
def sensitivity(setup: Setup) -> Steps:
    """Variance of F1 over random layer and pooling choices for 1, 2, 3 … models concatenated, with intervals."""
    choices = _choices(setup)
    asks: dict[tuple[Arm, Subset, str], list[Question]] = {
        (arm, subset, head): [setup.test(setup.candidate(sources, head)) for sources in drawn]
        for (arm, subset), drawn in choices.items()
        for head in HEADS
    }
    answers = yield (ask for each in asks.values() for ask in each)
    rows: list[Row] = []
    every: list[Row] = []
    for head in HEADS:
        groups: dict[Arm, list[np.ndarray]] = {}
        for (arm, subset, of), chosen in asks.items():
            if of != head:
                continue
            scores = [[run.scores.macro_f1 for run in answers[ask].repetitions] for ask in chosen]
            groups.setdefault(arm, []).append(POINTS * np.array(scores))
            every += [
                {
                    "arm": arm.words,
                    "size": arm.size,
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


def _choices(setup: Setup) -> dict[tuple[Arm, Subset], list[tuple[Source, ...]]]:
    """What is drawn for each subset, `CHOICES` times; no source twice in a draw."""
    rng = np.random.default_rng(setup.protocol.seed)
    drawn = {model: [_source(setup, model, rng) for _ in range(CHOICES)] for model in setup.models}
    found = {
        (Arm(len(subset)), subset): [tuple(drawn[model][number] for model in subset) for number in range(CHOICES)]
        for subset in _drawn_subsets(setup, rng)
    }
    for size in range(2, min(OWN, len(setup.models)) + 1):
        for model in setup.models:
            draws = [_distinct(setup, model, size, rng) for _ in range(CHOICES)]
            found[Arm(size, own=True), (model,)] = draws
    return found


def _source(setup: Setup, model: str, rng: np.random.Generator) -> Source:
    poolings, layers = setup.models[model].poolings, len(setup.layers(model))
    return Source(model=model, layer=int(rng.integers(layers)), pooling=poolings[rng.integers(len(poolings))])


def _distinct(setup: Setup, model: str, size: int, rng: np.random.Generator) -> tuple[Source, ...]:
    """So many sources of a model, all of which differ."""
    found: dict[Source, None] = {}
    while len(found) < size:
        found.setdefault(_source(setup, model, rng))
    return tuple(found)


def _drawn_subsets(setup: Setup, rng: np.random.Generator) -> list[Subset]:
    found: list[Subset] = []
    for size in range(1, len(setup.models) + 1):
        every = list(setup.subsets(size, size))
        kept = sorted(rng.choice(len(every), min(SUBSETS, len(every)), replace=False))
        found += [every[number] for number in kept]
    return found


def _rows(head: str, groups: Mapping[Arm, Sequence[np.ndarray]]) -> list[Row]:
    spreads = choice_spreads(groups, Arm(1))
    rows: list[Row] = []
    for arm, group in sorted(groups.items()):
        means, spread = np.concatenate([scores.mean(1) for scores in group]), spreads[arm]
        rows.append(
            {
                "kind": "size",
                "arm": arm.words,
                "model": arm.short,
                "size": arm.size,
                "own": arm.own,
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
                **_beside_own(arm, groups),
                "runs_std": spread.runs**0.5,
                "runs": group[0].shape[1],
            }
        )
    return rows


def _beside_own(arm: Arm, groups: Mapping[Arm, Sequence[np.ndarray]]) -> Row:
    """How the variance of several models' sources compares with that of as many of one model."""
    own = Arm(arm.size, own=True)
    if arm.own or own not in groups:
        return {}
    found = choice_spreads({own: groups[own], arm: groups[arm]}, own)[arm]
    return {"own_ratio": found.ratio, "own_ratio_low": found.ratio_low, "own_ratio_high": found.ratio_high}


def _figure(setup: Setup, rows: Sequence[Row]) -> Figure:
    chart = charts.intervals(
        [row for row in rows if row["kind"] == "size"],
        x=Column("arm", "concatenated"),
        y=Column("std", "std of macro-F1 over layer and pooling (points)", Kind.POINTS),
        bounds=("std_low", "std_high"),
        colour=charts.HEAD,
    )
    return Figure(
        "sensitivity",
        f"{setup.dataset.name}: how much layer and pooling choices move macro-F1",
        charts.subtitle(setup, f"{CHOICES} choices a subset; bars: 95% jackknife over choices; run noise taken off."),
        "The standard deviation of macro-F1 over random layer and pooling choices, by the number of models fused, "
        "beside as many sources of one model.",
        chart,
    )


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = []
    for row in rows:
        if row["size"] == 1:
            continue
        if row["ratio"] is None:
            notes.append(f"{row['head']}, {row['arm']}: no variance beyond that of runs to compare.")
            continue
        notes.append(
            f"{row['head']}, {row['arm']}: variance {_ratio(row, 'ratio')} of one source's: "
            f"{_verdict(row, 'ratio', 'that of one')}"
            + (
                f"; {_ratio(row, 'own_ratio')} of that of {row['size']} sources of one model: "
                f"{_verdict(row, 'own_ratio', 'its own')}."
                if row.get("own_ratio") is not None
                else "."
            )
        )
    return [
        *notes,
        "More sources vary less, whatever they are of: what other models add is the ratio to as many sources of one.",
        "Layers and poolings are drawn uniformly and independently for each source; run noise is taken off.",
    ]


def _ratio(row: Row, name: str) -> str:
    return f"{row[name]:.2f} times (95% {row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"


def _verdict(row: Row, name: str, other: str) -> str:
    if row[f"{name}_high"] < 1:
        return "lower"
    return "higher" if row[f"{name}_low"] > 1 else f"not told apart from {other}"
