"""The same fitted heads on noisy texts and on another domain (the paper's limitation, section 6)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.datasets.dataset import Dataset, Split, split_fingerprint
from bench.evaluation.evaluator import Repetition, Scored
from bench.figures import Figure
from bench.metrics import score
from bench.reproduce import charts
from bench.reproduce.noise import NOISES, apply
from bench.reproduce.scores import POINTS, class_count, score_columns
from bench.reproduce.setting import HEADS, Setting
from bench.reproduce.study import Findings, Row, Steps, study

CLEAN = "clean"


@study(
    "robustness",
    paper="beyond it: named as a limitation in section 6",
    columns={
        "model": "model",
        "head": "head",
        "texts": "test texts",
        "f1_mean": "F1",
        "f1_std": "± runs",
        "f1_low": "95% low",
        "f1_high": "high",
        "drop_delta_f1": "Δ vs clean",
        "gain_delta_f1": "Δ vs best single",
        "runs": "runs",
    },
)
def robustness(setting: Setting) -> Steps:
    """The same fitted heads on seeded character noise, and on the test texts of the other data sets of its labels."""
    stacked, slices = stack(setting)
    asks = {
        (subset, head): setting.test(setting.candidate([setting.last(model) for model in subset], head), stacked)
        for subset in setting.few_subsets()
        for head in HEADS
    }
    baselines = setting.baselines(stacked)
    answers = yield [*baselines.values(), *asks.values()]
    parts = {
        (kind, " + ".join(subset), head, name): (part(answers[ask], stacked, chosen), chosen)
        for kind, subset, head, ask in [
            *(("fusion" if len(subset) > 1 else "model", subset, head, ask) for (subset, head), ask in asks.items()),
            *(("baseline", (name,), None, ask) for name, ask in baselines.items()),
        ]
        for name, chosen in slices.items()
    }
    best: dict[tuple[str | None, str], float] = {
        (head, name): max(
            scored.f1.mean
            for (kind, _, of, where), (scored, _) in parts.items()
            if (kind, of, where) == ("model", head, name)
        )
        for head in HEADS
        for name in slices
    }
    rows: list[Row] = []
    for (kind, model, head, name), (scored, chosen) in parts.items():
        data = replace(stacked, test=_taken(stacked.test, chosen))
        row: Row = {"kind": kind, "model": model, "head": head, "texts": name, "test_rows": len(data.test)}
        row |= score_columns(scored, data)
        row["drop_delta_f1"] = POINTS * (scored.f1.mean - parts[kind, model, head, CLEAN][0].f1.mean)
        if kind == "fusion":
            row["gain_delta_f1"] = POINTS * (scored.f1.mean - best[head, name])
        rows.append(row)
    notes = _notes(rows, setting)
    figures = [_figure(setting, rows, head) for head in HEADS]
    return Findings(rows + setting.missing_rows(), figures=figures, notes=notes)


def stack(setting: Setting) -> tuple[Dataset, dict[str, slice]]:
    """The data set with all kinds of test texts behind each other, so that one fitted head predicts them all.

    Returns it, and which test rows are of which kind.
    """
    dataset = setting.dataset
    texts, labels, ids = (
        list(dataset.test.texts),
        [dataset.test.labels],
        [f"{CLEAN}/{name}" for name in dataset.test.ids],
    )
    slices = {CLEAN: slice(0, len(texts))}

    def add(kind: str, more: Sequence[str], its_labels: np.ndarray, its_ids: Sequence[str]) -> None:
        slices[kind] = slice(len(texts), len(texts) + len(more))
        texts.extend(more)
        labels.append(its_labels)
        ids.extend(f"{kind}/{name}" for name in its_ids)

    for name in NOISES:
        noisy = [apply(name, text, setting.protocol.seed) for text in dataset.test.texts]
        add(name, noisy, dataset.test.labels, dataset.test.ids)
    for other in setting.others:
        add(f"shift to {other.name}", other.test.texts, other.test.labels, other.test.ids)
    every = np.concatenate(labels)
    groups = np.arange(len(texts))
    known = [*dataset.labels, *dataset.test_only_labels]
    fingerprint = split_fingerprint(texts, [known[label] for label in every], groups)
    return replace(dataset, test=Split(tuple(ids), tuple(texts), every, groups, fingerprint)), slices


def part(scored: Scored, data: Dataset, rows: slice) -> Scored:
    """The scores on some of the test rows."""
    return Scored(
        tuple(
            Repetition(
                each.seed,
                each.rows[rows],
                each.predicted[rows],
                score(data.test.labels[rows], each.predicted[rows], class_count(data)),
            )
            for each in scored.repetitions
        )
    )


def _taken(split: Split, rows: slice) -> Split:
    return Split(split.ids[rows], split.texts[rows], split.labels[rows], split.groups[rows], split.fingerprint)


def _figure(setting: Setting, rows: Sequence[Row], head: str) -> Figure:
    chart = charts.intervals(
        charts.uncrowded([row for row in rows if row["head"] in (head, None)], setting),
        x=("texts", "test texts"),
        y=("f1_mean", "macro-F1"),
        bounds=("f1_low", "f1_high"),
        colour=("model", "model"),
    )
    return Figure(
        f"robustness-{head}",
        f"{setting.dataset.name}: heads trained on clean texts, on noise and another domain ({head} head)",
        charts.subtitle(setting, "Bars: 95% bootstrap over test texts, runs averaged."),
        "Macro-F1 of the same fitted heads on clean test texts, under four kinds of noise, and on other data sets.",
        chart,
        width=760,
    )


def _notes(rows: Sequence[Row], setting: Setting) -> list[str]:
    notes = [] if setting.others else ["No other data set of these labels was named: --dataset takes several."]
    everything = " + ".join(setting.models)
    for head in HEADS:
        changed = {
            row["model"]: row["drop_delta_f1"]
            for row in rows
            if row["head"] == head and row["texts"] == "typos-15%" and row["kind"] == "model"
        }
        fused = [
            row["drop_delta_f1"]
            for row in rows
            if row["head"] == head and row["texts"] == "typos-15%" and row["model"] == everything
        ]
        if fused and len(changed) > 1:
            singles = ", ".join(f"{model} {change:+.1f}" for model, change in changed.items())
            notes.append(f"{head}, typos-15%: {singles}; all fused {fused[0]:+.1f} points.")
    return notes
