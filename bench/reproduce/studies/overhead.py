"""What each model costs (the preprint's discussion of overhead)."""

import time

from bench.evaluation.baselines import TEXT_BASELINES, TEXT_CLASSIFIERS
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.columns import Column, Kind, Row
from bench.reproduce.published import caption, printed
from bench.reproduce.scores import score_columns
from bench.reproduce.setup import HEADS, Setup
from bench.reproduce.study import Findings, Steps, study

MEGABYTE = 1e6


@study(
    "overhead",
    order=8,
    paper="the preprint's discussion of overhead, without numbers",
    costs=True,
    intervals="95%, bootstrap over test rows, runs averaged; none for times",
    columns=(
        Column("model", "model"),
        Column("layers", "layers", Kind.COUNT, spare=True),
        Column("width", "width", Kind.COUNT, spare=True),
        Column("weights_mb", "MB on\ndisk", Kind.NUMBER, spare=True),
        Column("load_seconds", "load\n(s)", Kind.NUMBER, spare=True),
        Column("peak_memory_gb", "peak\nGiB", Kind.NUMBER),
        Column("latency_ms", "ms/text\nall layers", Kind.NUMBER),
        Column("p50_ms", "alone:\np50", Kind.NUMBER),
        Column("p95_ms", "\np95", Kind.NUMBER, spare=True),
        Column("tokens_per_second", "tokens\na second", Kind.NUMBER),
        Column("states_kb_per_text", "kB/text\nkept", Kind.NUMBER, spare=True),
        Column("mlp_f1_mean", "last F1:\nmlp", Kind.SCORE, required=True),
        Column("logistic_f1_mean", "\nlogistic", Kind.SCORE, required=True),
        Column("f1_mean", "baseline\nF1", Kind.SCORE, required=True),
    ),
)
def overhead(setup: Setup) -> Steps:
    """Load time, peak memory, milliseconds a text by layer, and size on disk of every model."""
    from bench.extraction import STORAGE

    asks = setup.singles()
    answers = yield asks.values()
    rows: list[Row] = []
    layers: list[Row] = []
    for model, resolved in setup.models.items():
        cost = setup.costs[model]
        states = (resolved.layers + 1) * len(resolved.poolings) * resolved.width
        row: Row = {
            "kind": "model",
            "model": model,
            "layers": resolved.layers,
            "width": resolved.width,
            "weights_mb": sum(path.stat().st_size for path in resolved.folder.glob("*.safetensors")) / MEGABYTE,
            "load_seconds": cost.load_seconds,
            "peak_memory_gb": cost.peak_memory_gb,
            "latency_ms": cost.layer_ms[-1],
            "p50_ms": cost.p50_ms,
            "p95_ms": cost.p95_ms,
            "tokens_per_second": cost.tokens_per_second,
            "states_kb_per_text": states * STORAGE[cost.settings.storage_dtype].itemsize / 1000,
            "sample_texts": cost.texts,
            "passes": cost.repeats,
        }
        for head in HEADS:
            row |= score_columns(answers[asks[model, head]], setup.dataset, f"{head}_")
        for each in printed("table1", model=model):
            row |= {"published_layers": each["layers"], "published_width": each["width"]}
        rows.append(row)
        layers += [
            {"model": model, "layer": layer, "latency_ms": value, "estimated": cost.layers_estimated}
            for layer, value in enumerate(cost.layer_ms)
        ]
    figure = Figure(
        "overhead-layers",
        f"{setup.dataset.name}: extraction time by layer",
        f"Milliseconds a text in batches, median of the passes over {rows[0]['sample_texts']} training texts.",
        "Milliseconds a text up to and including each layer of every model.",
        charts.lines(
            layers,
            x=Column("layer", "layer", Kind.COUNT),
            y=Column("latency_ms", "ms per text", Kind.NUMBER),
            colour=charts.MODEL,
        ),
    )
    return Findings(
        rows,
        beside={name: {"latency_ms": _milliseconds(setup, name)} for name in setup.baselines()},
        published=printed("table1"),
        caption=caption("table1"),
        extras={"layers": layers},
        figures=[figure],
        notes=[
            "A baseline's ms a text is that of tuning, fitting and predicting all rows, divided by their number.",
            "The load time of the first model in a process holds the import of its libraries.",
        ],
    )


def _milliseconds(setup: Setup, name: str) -> float:
    train, test, classes = setup.dataset.train, setup.dataset.test, len(setup.dataset.labels)
    started = time.perf_counter()
    if name in TEXT_CLASSIFIERS:
        TEXT_CLASSIFIERS[name].fit(train.texts, train.labels, train.groups, classes).logs(test.texts)
    else:
        TEXT_BASELINES[name](train.texts, train.labels, test.texts, classes)
    return 1000 * (time.perf_counter() - started) / (len(train) + len(test))
