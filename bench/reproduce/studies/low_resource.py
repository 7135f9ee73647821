"""Learning curves: single models against fusions (contribution 3)."""

from collections.abc import Mapping, Sequence

import numpy as np

from bench.datasets.dataset import Dataset
from bench.evaluation.scoring import Scored
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.columns import Column, Kind, Row, joined
from bench.reproduce.questions import Question
from bench.reproduce.scores import POINTS, difference_columns, score_columns
from bench.reproduce.setup import HEADS, Setup, merged, training_rows
from bench.reproduce.statistics import t_interval
from bench.reproduce.study import Findings, Steps, study
from bench.specs import Candidate

FEWEST = 8
"""Rows a class that a curve begins with; it doubles from there."""
Key = tuple[int, tuple[str, ...], str]
"""Rows a class, models, and a head."""


@study(
    "low-resource",
    order=7,
    paper="contribution 3 (section 1; table 2 and 4 have one low-resource set, LegalBench)",
    baselines=False,
    intervals="95%, Student's t over draws of training rows (the test rows stay); at full size, percentile bootstrap "
    "over test rows",
    columns=(
        Column("per_class", "rows a\nclass", Kind.COUNT),
        Column("train_rows", "\nrows", Kind.COUNT),
        Column("model", "model"),
        Column("head", "head"),
        Column("f1_mean", "F1\nmean", Kind.SCORE, required=True),
        Column("f1_std", "std over\nruns", Kind.SCORE, spare=True),
        Column("f1_low", "95%\nlow", Kind.SCORE, spare=True),
        Column("f1_high", "\nhigh", Kind.SCORE, spare=True),
        Column("gain_delta_f1", "Δ vs best\nsingle", Kind.POINTS),
        Column("gain_delta_f1_low", "95%\nlow", Kind.POINTS),
        Column("gain_delta_f1_high", "\nhigh", Kind.POINTS),
        Column("draws", "draws", Kind.COUNT, spare=True),
        Column("runs", "runs", Kind.COUNT, spare=True),
    ),
)
def low_resource(setup: Setup) -> Steps:
    """Learning curves from 8 rows a class to all, nested stratified subsets, single models against fusions."""
    draws = {(size, seed): nested(setup.dataset, size, seed) for size in sizes(setup.dataset) for seed in setup.seeds}
    subsets = list(setup.few_subsets())
    asks = {
        (size, subset, head): _asks(setup, size, draws, setup.candidate(list(map(setup.last, subset)), head))
        for size in sizes(setup.dataset)
        for subset in subsets
        for head in HEADS
    }
    baselines = {
        (size, name): list(dict.fromkeys(setup.baselines(draws[size, seed])[name] for seed in setup.seeds))
        for size in sizes(setup.dataset)
        for name in setup.baselines()
    }
    wanted = [ask for each in [*asks.values(), *baselines.values()] for ask in each]
    # by rows, so that each draw's features are read once
    answers = yield sorted(wanted, key=lambda ask: ask.data.train.fingerprint)
    scores = {key: merged([answers[ask] for ask in each]) for key, each in asks.items()}
    rows: dict[Key, Row] = {}
    for (size, subset, head), scored in scores.items():
        single = max(((size, (model,), head) for model in setup.models), key=lambda key: scores[key].f1.mean)
        gain = _gain(scored, scores[single], asks[size, subset, head][0].data, setup) if len(subset) > 1 else {}
        rows[size, subset, head] = {
            "kind": "fusion" if len(subset) > 1 else "model",
            "model": joined(subset),
            "head": head,
            "per_class": size,
            **_columns(scored, asks[size, subset, head][0].data, setup),
            **gain,
        }
    baseline_rows: list[Row] = [
        {
            "kind": "baseline",
            "model": name,
            "head": None,
            "per_class": size,
            **_columns(merged([answers[ask] for ask in each]), each[0].data, setup),
        }
        for (size, name), each in baselines.items()
    ]
    drawn = [row for (_, subset, _), row in rows.items() if setup.drawn(subset)] + baseline_rows
    return Findings(
        [*rows.values(), *baseline_rows],
        figures=[_figure(setup, drawn, head) for head in HEADS],
        notes=_notes(rows, setup),
    )


def sizes(dataset: Dataset) -> list[int]:
    """8, 16, 32 … rows a class, as long as that takes rows away, then all of the largest class."""
    largest = int(np.bincount(dataset.train.labels).max())
    found, size = [], FEWEST
    while size < largest:
        found.append(size)
        size *= 2
    return [*found, largest]


def nested(dataset: Dataset, size: int, seed: int) -> Dataset:
    """At most `size` training rows of each class; under one seed, fewer lie within more."""
    order = np.random.default_rng(seed).permutation(len(dataset.train))
    labels = dataset.train.labels[order]
    chosen = [order[labels == label][:size] for label in range(len(dataset.labels))]
    return training_rows(dataset, np.concatenate(chosen).tolist())


def _asks(setup: Setup, size: int, draws: Mapping[tuple[int, int], Dataset], candidate: Candidate) -> list[Question]:
    """One training a draw; where all rows are taken there is one draw, and runs are those of other studies."""
    if draws[size, setup.seeds[0]] is setup.dataset:
        return [setup.test(candidate)]
    return [Question(candidate, "confirm", (seed,), draws[size, seed]) for seed in setup.seeds]


def _columns(scored: Scored, data: Dataset, setup: Setup) -> Row:
    whole = data is setup.dataset
    bounds = None if whole else t_interval([run.scores.macro_f1 for run in scored.repetitions])
    columns = score_columns(scored, data, bounds=bounds)
    return {"train_rows": len(data.train), "draws": 1 if whole else len(setup.seeds), **columns}


def _gain(fusion: Scored, single: Scored, data: Dataset, setup: Setup) -> Row:
    """Against the single model that does best at this size on the test set, paired by draw, or by test row."""
    if data is setup.dataset:
        found = difference_columns(fusion, single, data)
        return {f"gain_{name}": found[name] for name in ("delta_f1", "delta_f1_low", "delta_f1_high")}
    changes = [
        POINTS * (a.scores.macro_f1 - b.scores.macro_f1)
        for a, b in zip(fusion.repetitions, single.repetitions, strict=True)
    ]
    low, high = t_interval(changes)
    return {"gain_delta_f1": float(np.mean(changes)), "gain_delta_f1_low": low, "gain_delta_f1_high": high}


def _figure(setup: Setup, rows: Sequence[Row], head: str) -> Figure:
    chart = charts.lines(
        [row for row in rows if row["head"] in (head, None)],
        x=Column("train_rows", "training rows (log scale)", Kind.COUNT),
        y=charts.F1,
        colour=charts.MODEL,
        dash=Column("kind", "kind"),
        band=charts.F1_BOUNDS,
        log=True,
    )
    return Figure(
        f"low-resource-{head}",
        f"{setup.dataset.name}: learning curves ({head} head)",
        charts.subtitle(
            setup, "Bands: 95%, over draws of rows (Student's t); for all rows, bootstrap over test texts."
        ),
        "Macro-F1 against the number of training rows, for single models, fusions and baselines.",
        chart,
        width=720,
    )


def _notes(rows: Mapping[Key, Row], setup: Setup) -> list[str]:
    notes = []
    everything = tuple(setup.models)
    for head in HEADS:
        mine = [row for (_, *of), row in rows.items() if of == [everything, head] and len(everything) > 1]
        if mine:
            up = sum((row["gain_delta_f1_low"] or 0) > 0 for row in mine)
            down = sum((row["gain_delta_f1_high"] or 0) < 0 for row in mine)
            notes.append(
                f"{head}: all models fused against the best single, by rows a class: "
                + ", ".join(f"{row['per_class']}: {row['gain_delta_f1']:+.1f}" for row in mine)
                + f" points; of {len(mine)} sizes {up} gain and {down} lose, clear of zero at 95%."
            )
    return [
        *notes,
        "The single that a fusion is held against is the best of that size on the test set: the hardest reference.",
        "Below full size an interval is over draws of training rows, on the same test rows; large draws share rows.",
    ]
