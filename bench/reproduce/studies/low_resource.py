"""Learning curves: single models against fusions (contribution 3)."""

from collections.abc import Sequence

import numpy as np

from bench.datasets.dataset import Dataset
from bench.evaluation.evaluator import Scored
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.scores import POINTS, known
from bench.reproduce.setting import HEADS, Setting, merged, training_rows
from bench.reproduce.statistics import t_interval
from bench.reproduce.study import Ask, Findings, Row, Steps, study

FEWEST = 8
"""Rows a class that a curve begins with; it doubles from there."""


@study(
    "low-resource",
    paper="contribution 3 (section 1; table 2 and 4 have one low-resource set, LegalBench)",
    columns={
        "per_class": "rows a\nclass",
        "train_rows": "\nrows",
        "model": "model",
        "head": "head",
        "f1_mean": "F1\nmean",
        "f1_std": "std over\ndraws",
        "f1_low": "95%\nlow",
        "f1_high": "\nhigh",
        "gain_delta_f1": "Δ vs best\nsingle",
        "gain_delta_f1_low": "95%\nlow",
        "gain_delta_f1_high": "\nhigh",
        "runs": "draws",
    },
)
def low_resource(setting: Setting) -> Steps:
    """Learning curves from 8 rows a class to all, nested stratified subsets, single models against fusions."""
    draws = {
        (size, seed): nested(setting.dataset, size, seed) for size in sizes(setting.dataset) for seed in setting.seeds
    }
    subsets = list(setting.few_subsets())
    asks = {
        (size, subset, head, seed): Ask(
            setting.candidate([setting.last(model) for model in subset], head), "confirm", (seed,), data
        )
        for (size, seed), data in draws.items()
        for subset in subsets
        for head in HEADS
    }
    baselines = {
        (size, name, seed): ask for (size, seed), data in draws.items() for name, ask in setting.baselines(data).items()
    }
    # by rows, so that each draw's features are read once
    answers = yield sorted([*asks.values(), *baselines.values()], key=lambda ask: ask.data.train.fingerprint)
    scores = {
        (size, subset, head): merged([answers[asks[size, subset, head, seed]] for seed in setting.seeds])
        for size, subset, head, _ in asks
    }
    rows: list[Row] = []
    for size, subset, head in scores:
        single = max(((size, (model,), head) for model in setting.models), key=lambda key: scores[key].f1.mean)
        rows.append(
            {
                "kind": "fusion" if len(subset) > 1 else "model",
                "model": " + ".join(subset),
                "head": head,
                "per_class": size,
                **_columns(scores[size, subset, head], draws[size, setting.seeds[0]]),
                **(_gain(scores[size, subset, head], scores[single]) if len(subset) > 1 else {}),
            }
        )
    lines = {
        (size, name): merged([answers[baselines[size, name, seed]] for seed in setting.seeds])
        for size, name, _ in baselines
    }
    rows += [
        {
            "kind": "baseline",
            "model": name,
            "head": None,
            "per_class": size,
            **_columns(scored, draws[size, setting.seeds[0]]),
        }
        for (size, name), scored in lines.items()
    ]
    curves = list(rows)
    return Findings(
        rows + setting.missing_rows(),
        figures=[_figure(setting, curves, head) for head in HEADS],
        notes=_notes(rows, setting),
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


def _columns(scored: Scored, data: Dataset) -> Row:
    low, high = t_interval([run.scores.macro_f1 for run in scored.repetitions])
    return {
        "train_rows": len(data.train),
        "accuracy_mean": scored.accuracy.mean,
        "accuracy_std": known(scored.accuracy.std),
        "f1_mean": scored.f1.mean,
        "f1_std": known(scored.f1.std),
        "f1_low": low,
        "f1_high": high,
        "runs": scored.f1.n,
    }


def _gain(fusion: Scored, single: Scored) -> Row:
    """Against the single model that does best at this size on the test set, paired by draw."""
    changes = [
        POINTS * (a.scores.macro_f1 - b.scores.macro_f1)
        for a, b in zip(fusion.repetitions, single.repetitions, strict=True)
    ]
    low, high = t_interval(changes)
    return {"gain_delta_f1": float(np.mean(changes)), "gain_delta_f1_low": low, "gain_delta_f1_high": high}


def _figure(setting: Setting, rows: Sequence[Row], head: str) -> Figure:
    chart = charts.lines(
        charts.uncrowded([row for row in rows if row["head"] in (head, None)], setting),
        x=("train_rows", "training rows (log scale)"),
        y=("f1_mean", "macro-F1 on the test set"),
        colour=("model", "model"),
        dash=("kind", "kind"),
        band=("f1_low", "f1_high"),
        log=True,
    )
    return Figure(
        f"low-resource-{head}",
        f"{setting.dataset.name}: learning curves ({head} head)",
        charts.subtitle(
            setting, "A seed is a draw of rows and a start. Bands: 95% of the mean over draws (Student's t)."
        ),
        "Macro-F1 against the number of training rows, for single models, fusions and baselines.",
        chart,
        width=720,
    )


def _notes(rows: Sequence[Row], setting: Setting) -> list[str]:
    notes = [
        "The single that a fusion is held against is the best of that size on the test set: the hardest reference."
    ]
    everything = " + ".join(setting.models)
    for head in HEADS:
        mine = [row for row in rows if row["model"] == everything and row["head"] == head and "gain_delta_f1" in row]
        if mine:
            clear = [row for row in mine if (row["gain_delta_f1_low"] or 0) > 0]
            notes.append(
                f"{head}: all models fused against the best single, by rows a class: "
                + ", ".join(f"{row['per_class']}: {row['gain_delta_f1']:+.1f}" for row in mine)
                + f" points; {len(clear)} of {len(mine)} gains clear of zero at 95%."
            )
    return notes
