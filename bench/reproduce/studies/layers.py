"""Every layer of every model (table 2, figure 2)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

from bench.evaluation.scoring import Scored
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.columns import Column, Kind, Row
from bench.reproduce.layout import TableLine, baselines, laid_out
from bench.reproduce.layout import score as cell
from bench.reproduce.published import printed
from bench.reproduce.questions import Answers
from bench.reproduce.ranked import ranked_layers
from bench.reproduce.scores import score_columns
from bench.reproduce.setup import HEADS, Setup
from bench.reproduce.statistics import partition
from bench.reproduce.study import Findings, Steps, across, study
from bench.tasks import TASKS

POOLING = "mean"


VARIANCE = (
    Column("of", "of the best layer's depth"),
    Column("datasets", "data\nsets", Kind.COUNT),
    Column("models", "\nmodels", Kind.COUNT),
    Column("dataset_share", "data set:\nshare", Kind.NUMBER),
    Column("dataset_chance", "by\nchance", Kind.NUMBER),
    Column("dataset_p", "\np", Kind.NUMBER),
    Column("model_share", "model:\nshare", Kind.NUMBER),
    Column("model_chance", "by\nchance", Kind.NUMBER),
    Column("model_p", "\np", Kind.NUMBER),
    Column("rest", "rest", Kind.NUMBER),
)


class Best(NamedTuple):
    """The paper's best: the highest score of any run at any layer."""

    layer: int
    score: float


@study(
    "layers",
    order=1,
    paper="table 2 and figure 2",
    aliases=(
        "table2",
        "figure2",
    ),
    table="table2",
    selects=True,
    ranks=True,
    columns=(
        Column("model", "model"),
        Column("head", "head"),
        Column("last_f1_mean", "last\nF1", Kind.SCORE, required=True),
        Column("last_f1_std", "±\nruns", Kind.SCORE, spare=True),
        Column("best_f1_layer", "best on\ntest: layer", Kind.COUNT),
        Column("best_f1", "\nF1", Kind.SCORE),
        Column("cv_layer", "by CV:\nlayer", Kind.COUNT),
        Column("cv_f1_mean", "\ntest F1", Kind.SCORE, required=True),
        Column("cv_f1_low", "95%\nlow", Kind.SCORE, spare=True),
        Column("cv_f1_high", "\nhigh", Kind.SCORE, spare=True),
        Column("f1_mean", "baseline\nF1", Kind.SCORE, required=True),
        Column("published_last_f1", "paper:\nlast F1", Kind.SCORE),
        Column("published_best_f1", "\nbest F1", Kind.SCORE),
        Column("runs", "runs", Kind.COUNT, spare=True),
    ),
)
def layers(setup: Setup) -> Steps:
    """Every layer of every model: the last, the best on test as the paper takes it, and cross-validation's choice."""
    if TASKS[setup.dataset.task].ranks:
        return (yield from ranked_layers(setup))
    candidates = {
        (model, head, layer): setup.candidate([setup.last(model, POOLING).model_copy(update={"layer": layer})], head)
        for model in setup.models
        for head in HEADS
        for layer in setup.layers(model)
    }
    asks = {key: (setup.test(each), setup.held_out(each)) for key, each in candidates.items()}
    answers = yield (ask for pair in asks.values() for ask in pair)
    curves: list[Row] = []
    rows: list[Row] = []
    runs: list[Row] = []
    for model in setup.models:
        for head in HEADS:
            scores = {
                layer: (answers[test], answers[held_out])
                for layer in setup.layers(model)
                for test, held_out in [asks[model, head, layer]]
            }
            curves += [_point(setup, model, head, layer, *pair) for layer, pair in scores.items()]
            rows.append(_row(setup, model, head, scores))
            runs += _best_of_runs(setup, model, head, {layer: test for layer, (test, _) in scores.items()})
    return Findings(
        rows,
        beside={model.name: _published(setup, model.name) for model in setup.absent},
        extras={"curves": curves, "best-of-runs": runs},
        figures=[_figure(setup, curves, answers, head) for head in HEADS],
        notes=_notes(rows),
    )


def _point(setup: Setup, model: str, head: str, layer: int, test: Scored, held_out: Scored) -> Row:
    """One layer's scores: a point of a curve."""
    return {
        "model": model,
        "head": head,
        "layer": layer,
        "depth": layer / setup.models[model].layers,
        **score_columns(test, setup.dataset),
        "cv_f1_mean": held_out.f1.mean,
        "cv_runs": held_out.f1.n,
    }


def _row(setup: Setup, model: str, head: str, scores: Mapping[int, tuple[Scored, Scored]]) -> Row:
    """One model under one head: its last layer, the paper's best layer, and cross-validation's choice."""
    test = {layer: pair[0] for layer, pair in scores.items()}
    last = setup.models[model].layers
    f1, accuracy = best(test, "macro_f1"), best(test, "accuracy")
    chosen = max(scores, key=lambda layer: scores[layer][1].f1.mean)
    row: Row = {
        "kind": "model",
        "model": model,
        "head": head,
        "last_layer": last,
        **score_columns(test[last], setup.dataset, "last_"),
        "best_accuracy": accuracy.score,
        "best_accuracy_layer": accuracy.layer,
        "best_f1": f1.score,
        "best_f1_layer": f1.layer,
        "cv_layer": chosen,
        "cv_selection_f1": scores[chosen][1].f1.mean,
        **score_columns(test[chosen], setup.dataset, "cv_"),
        "runs": test[last].f1.n,
    }
    return row | (_published(setup, model) if head == "mlp" else {})


def _published(setup: Setup, model: str) -> Row:
    """The paper's numbers for a model on this data set, where it has them."""
    return {
        f"published_{each['layer']}_{field}": each[field]
        for each in printed("table2", dataset=setup.dataset.name, model=model)
        for field in ("accuracy", "f1", "accuracy_layer", "f1_layer")
    }


def best(scores: Mapping[int, Scored], measure: str) -> Best:
    """The paper's best layer of a model: that of the highest score of any run (it looks at the test set)."""
    return max(
        (Best(layer, getattr(run.scores, measure)) for layer, each in scores.items() for run in each.repetitions),
        key=lambda found: (found.score, -found.layer),
    )


def _best_of_runs(setup: Setup, model: str, head: str, test: Mapping[int, Scored]) -> list[Row]:
    """Each run's own best layer, which shows how far the paper's depends on the run."""
    found = []
    for run in range(min(len(each.repetitions) for each in test.values())):
        layer = max(test, key=lambda layer: test[layer].repetitions[run].scores.macro_f1)
        found.append(
            {
                "model": model,
                "head": head,
                "seed": test[layer].repetitions[run].seed,
                "layer": layer,
                "depth": layer / setup.models[model].layers,
            }
        )
    return found


def _figure(setup: Setup, curves: Sequence[Row], answers: Answers, head: str) -> Figure:
    chart = charts.lines(
        [point for point in curves if point["head"] == head],
        x=Column("depth", "depth of the layer (0: embeddings, 1: last block)", Kind.NUMBER),
        y=charts.F1,
        colour=charts.MODEL,
        band=charts.F1_BOUNDS,
        rules=charts.baseline_rules(setup, answers),
    )
    return Figure(
        f"layers-{head}",
        f"{setup.dataset.name}: macro-F1 by layer, mean pooling ({head} head)",
        charts.subtitle(setup, "Bands: 95% bootstrap over test texts, runs averaged."),
        "Macro-F1 of every layer of every model, with the baselines as dotted lines.",
        chart,
        width=720,
    )


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = [
        f"{row['model']}, {row['head']}: best run at layer {row['best_f1_layer']} ({row['best_f1']:.3f}), "
        f"cross-validation takes layer {row['cv_layer']} and gets {row['cv_f1_mean']:.3f}; the last layer has "
        f"{row['last_f1_mean']:.3f}."
        for row in rows
        if row["kind"] == "model"
    ]
    return [
        *notes,
        (
            "`best` is the highest score of any run at any layer on the test set, as in the paper: optimistic by the "
            "choice of the layer and by that of the run. `cv` is a mean over runs and never saw the test set."
        ),
    ]


@across(layers)
def whose_variance(findings: Mapping[str, Findings]) -> Findings:
    """How much of the variance of the best layer is the data set's, and how much the model's.

    Of its depth (layer / number of layers), by F1, chosen as the paper does and by cross-validation. The paper's table
    2 is put to the same question.
    """
    sources = {
        f"ours, {head}, {words}": {
            (dataset, row["model"]): row[column] / row["last_layer"]
            for dataset, found in findings.items()
            for row in found.rows
            if row["kind"] == "model" and row["head"] == head
        }
        for head in HEADS
        for column, words in (("best_f1_layer", "best on test"), ("cv_layer", "by CV"))
    }
    last = {each["model"]: each["f1_layer"] for each in printed("table2", layer="last")}
    sources["paper, table 2"] = {
        (each["dataset"], each["model"]): each["f1_layer"] / last[each["model"]]
        for each in printed("table2", layer="best")
    }
    rows: list[Row] = []
    notes = []
    for name, table in sources.items():
        found = partition(table)
        if found is not None:
            notes.append(
                f"{name}: of the variance of the best layer's depth the data set has {found.dataset_share:.0%} "
                f"(by chance {found.dataset_chance:.0%}, p = {found.dataset_p:.2g}), the model "
                f"{found.model_share:.0%} (by chance {found.model_chance:.0%}, p = {found.model_p:.2g})."
            )
        rows.append(
            {
                "of": name,
                "datasets": len({dataset for dataset, _ in table}),
                "models": len({model for _, model in table}),
                **({} if found is None else asdict(found)),
            }
        )
    notes.append("Chance and p are from permutations within the other factor.")
    title = "How much of the variance of the best layer is the data set's, and how much the model's"
    return Findings(rows, notes=notes, title=title, columns=VARIANCE)


@laid_out(layers, "table2", about=("head", "layer", "model"), columns=("accuracy", "F1"))
def table2(rows: Sequence[Row]) -> Iterator[TableLine]:
    """Each model at its last layer, at its best on test as in the paper, and at that of cross-validation."""
    for head in HEADS:
        mine = [row for row in rows if row["kind"] == "model" and row["head"] == head]
        for row in mine:
            scores = (row["last_accuracy_mean"], row["last_f1_mean"])
            yield TableLine((head, "last", row["model"]), tuple(cell(value, row["last_layer"]) for value in scores))
        for row in mine:
            best = (cell(row[f"best_{name}"], row[f"best_{name}_layer"]) for name in ("accuracy", "f1"))
            yield TableLine((head, "best on test", row["model"]), tuple(best))
        for row in mine:
            scores = (row["cv_accuracy_mean"], row["cv_f1_mean"])
            yield TableLine((head, "by CV", row["model"]), tuple(cell(value, row["cv_layer"]) for value in scores))
    yield from baselines(rows, 3)
