"""The same fitted heads on noisy texts and on another domain (the paper's limitation, section 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench.datasets.dataset import Dataset, Split, split_fingerprint
from bench.evaluation.scoring import Repetition, Scored
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.columns import Column, Kind, Row, joined
from bench.reproduce.noise import NOISES, apply
from bench.reproduce.scores import POINTS, difference_columns, score_columns
from bench.reproduce.setup import HEADS, Setup
from bench.reproduce.study import Findings, Steps, study

CLEAN = "clean"
Key = tuple[str, tuple[str, ...], str | None, str]
"""Kind of row, models (or a baseline's name), head, and kind of texts."""


@study(
    "robustness",
    order=12,
    paper="beyond it: named as a limitation in section 6",
    baselines=False,
    others=True,
    columns=(
        Column("model", "model"),
        Column("head", "head"),
        Column("texts", "test texts"),
        Column("f1_mean", "F1", Kind.SCORE, required=True),
        Column("f1_std", "± runs", Kind.SCORE, spare=True),
        Column("f1_low", "95% low", Kind.SCORE, spare=True),
        Column("f1_high", "high", Kind.SCORE, spare=True),
        Column("drop_delta_f1", "Δ vs\nclean", Kind.POINTS),
        Column("drop_delta_f1_low", "95%\nlow", Kind.POINTS),
        Column("drop_delta_f1_high", "\nhigh", Kind.POINTS),
        Column("gain_delta_f1", "Δ vs\nsingle", Kind.POINTS),
        Column("gain_delta_f1_low", "95%\nlow", Kind.POINTS, spare=True),
        Column("gain_delta_f1_high", "\nhigh", Kind.POINTS, spare=True),
        Column("runs", "runs", Kind.COUNT, spare=True),
    ),
)
def robustness(setup: Setup) -> Steps:
    """The same fitted heads on seeded character noise, and on the test texts of the other data sets of its labels."""
    stacked, slices, seen = stack(setup)
    asks = {
        (subset, head): setup.test(setup.candidate([setup.last(model) for model in subset], head), stacked)
        for subset in setup.few_subsets()
        for head in HEADS
    }
    baselines = setup.baselines(stacked)
    answers = yield [*baselines.values(), *asks.values()]
    parts: dict[Key, tuple[Scored, slice]] = {
        (kind, subset, head, name): (part(answers[ask], chosen), chosen)
        for kind, subset, head, ask in [
            *(("fusion" if len(subset) > 1 else "model", subset, head, ask) for (subset, head), ask in asks.items()),
            *(("baseline", (name,), None, ask) for name, ask in baselines.items()),
        ]
        for name, chosen in slices.items()
    }
    best: dict[tuple[str | None, str], Scored] = {
        (head, name): max(
            (
                scored
                for (kind, _, of, where), (scored, _) in parts.items()
                if (kind, of, where) == ("model", head, name)
            ),
            key=lambda scored: scored.f1.mean,
        )
        for head in HEADS
        for name in slices
    }
    rows: dict[Key, Row] = {}
    for key, (scored, chosen) in parts.items():
        kind, models, head, name = key
        data = replace(stacked, test=_taken(stacked.test, chosen))
        row: Row = {"kind": kind, "model": joined(models), "head": head, "texts": name, "test_rows": len(data.test)}
        row |= score_columns(scored, data)
        clean = parts[kind, models, head, CLEAN][0]
        # the same texts, row by row; another domain's are others
        paired = name == CLEAN or name in NOISES
        row |= (
            difference_columns(scored, clean, data, "drop_")
            if paired
            else {"drop_delta_f1": POINTS * (scored.f1.mean - clean.f1.mean)}
        )
        if kind == "fusion":
            row |= difference_columns(scored, best[head, name], data, "gain_")
        rows[key] = row
    drawn = [row for (_, models, _, _), row in rows.items() if setup.drawn(models)]
    figures = [_figure(setup, drawn, head) for head in HEADS]
    return Findings([*rows.values()], figures=figures, notes=_notes(rows, setup, seen))


def stack(setup: Setup) -> tuple[Dataset, dict[str, slice], dict[str, int]]:
    """The data set with all kinds of test texts behind each other, so that one fitted head predicts them all.

    Returns it, which test rows are of which kind, and how many of another data set's were left out because this one
    trains on the same text (SST-2 and Rotten Tomatoes come from one corpus). Labels are matched by name; one that only
    another data set's test rows have counts as missed.
    """
    dataset = setup.dataset
    known = [*dataset.labels, *dataset.test_only_labels]
    trained = {_normal(text) for text in dataset.train.texts}
    seen: dict[str, int] = {}
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
        noisy = [apply(name, text, setup.protocol.seed) for text in dataset.test.texts]
        add(name, noisy, dataset.test.labels, dataset.test.ids)
    for other in setup.others:
        kept = [row for row, text in enumerate(other.test.texts) if _normal(text) not in trained]
        seen[other.name] = len(other.test) - len(kept)
        theirs = [*other.labels, *other.test_only_labels]
        known += [name for name in theirs if name not in known]
        matched = np.array([known.index(theirs[other.test.labels[row]]) for row in kept], dtype=np.int64)
        if kept:
            of_rows = [[column[row] for row in kept] for column in (other.test.texts, other.test.ids)]
            add(f"shift to {other.name}", of_rows[0], matched, of_rows[1])
    every = np.concatenate(labels)
    groups = np.arange(len(texts))
    fingerprint = split_fingerprint(texts, [known[label] for label in every], groups, dataset.task)
    test = Split(tuple(ids), tuple(texts), every, groups, fingerprint)
    return replace(dataset, test=test, test_only_labels=tuple(known[len(dataset.labels) :])), slices, seen


def _normal(text: str) -> str:
    """Letters and digits alone, in lower case: data sets of one corpus differ in spaces, quotes and case."""
    return "".join(sign for sign in text.casefold() if sign.isalnum())


def part(scored: Scored, rows: slice) -> Scored:
    """The scores on some of the test rows."""
    return Scored(
        tuple(Repetition(each.seed, each.rows[rows], each.predictions.at(rows)) for each in scored.repetitions)
    )


def _taken(split: Split, rows: slice) -> Split:
    return Split(split.ids[rows], split.texts[rows], split.labels[rows], split.groups[rows], split.fingerprint)


def _figure(setup: Setup, rows: Sequence[Row], head: str) -> Figure:
    chart = charts.intervals(
        [row for row in rows if row["head"] in (head, None)],
        x=Column("texts", "test texts"),
        y=Column("f1_mean", "macro-F1", Kind.SCORE),
        bounds=charts.F1_BOUNDS,
        colour=charts.MODEL,
    )
    return Figure(
        f"robustness-{head}",
        f"{setup.dataset.name}: heads trained on clean texts, on noise and another domain ({head} head)",
        charts.subtitle(setup, "Bars: 95% bootstrap over test texts, runs averaged."),
        "Macro-F1 of the same fitted heads on clean test texts, under four kinds of noise, and on other data sets.",
        chart,
        width=760,
    )


def _notes(rows: Mapping[Key, Row], setup: Setup, seen: Mapping[str, int]) -> list[str]:
    notes = []
    everything = tuple(setup.models)
    for head in HEADS:
        for (kind, models, of, texts), fused in rows.items():
            if (kind, models, of) != ("fusion", everything, head):
                continue
            falls = ", ".join(
                f"{model} {rows['model', (model,), head, texts]['drop_delta_f1']:+.1f}" for model in setup.models
            )
            against = f"{fused['gain_delta_f1']:+.1f} ({_bounds(fused, 'gain_')}) against the best model alone"
            if texts == CLEAN:
                notes.append(f"{head}, clean: all fused {against}.")
            else:
                notes.append(
                    f"{head}, {texts}: all fused {against}; change from clean {fused['drop_delta_f1']:+.1f}, "
                    f"alone {falls}."
                )
    notes.append("The best model alone is the best on those very test texts: the hardest reference.")
    notes += [
        f"{count} test texts of {name} were left out: they are among the training texts."
        for name, count in seen.items()
        if count
    ]
    return notes if setup.others else [*notes, "No other data set of these labels was named: `dataset` takes several."]


def _bounds(row: Row, prefix: str) -> str:
    return f"95% {row[f'{prefix}delta_f1_low']:+.1f} to {row[f'{prefix}delta_f1_high']:+.1f}"
