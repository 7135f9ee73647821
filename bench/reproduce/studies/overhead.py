"""What each model costs (the preprint's discussion of overhead)."""

import time

from bench.evaluation.baselines import TEXT_BASELINES
from bench.extraction import STORAGE
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.published import caption, printed
from bench.reproduce.scores import score_columns
from bench.reproduce.setting import HEADS, Setting
from bench.reproduce.study import Findings, Row, Steps, study

MEGABYTE = 1e6


@study(
    "overhead",
    paper="the preprint's discussion of overhead, without numbers; table 1",
    costs=True,
    intervals="95%, percentile bootstrap over test rows, runs averaged; none for times",
    columns={
        "model": "model",
        "layers": "layers",
        "width": "width",
        "weights_mb": "MB on\ndisk",
        "load_seconds": "load\n(s)",
        "peak_memory_gb": "peak\nGiB",
        "latency_ms": "ms/text\nall layers",
        "p50_ms": "alone:\np50",
        "p95_ms": "\np95",
        "tokens_per_second": "tokens\na second",
        "states_kb_per_text": "kB/text\nkept",
        "mlp_f1_mean": "last F1:\nmlp",
        "logistic_f1_mean": "\nlogistic",
        "f1_mean": "baseline\nF1",
    },
)
def overhead(setting: Setting) -> Steps:
    """Load time, peak memory, milliseconds a text by layer, and size on disk of every model."""
    asks = {
        (model, head): setting.test(setting.candidate([setting.last(model)], head))
        for model in setting.models
        for head in HEADS
    }
    baselines = setting.baselines()
    answers = yield [*baselines.values(), *asks.values()]
    rows: list[Row] = []
    layers: list[Row] = []
    for model, resolved in setting.models.items():
        cost = setting.costs[model]
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
            row |= score_columns(answers[asks[model, head]], setting.dataset, f"{head}_")
        for each in printed("table1", model=model):
            row |= {"published_layers": each["layers"], "published_width": each["width"]}
        rows.append(row)
        layers += [
            {"model": model, "layer": layer, "latency_ms": value, "estimated": cost.layers_estimated}
            for layer, value in enumerate(cost.layer_ms)
        ]
    rows += setting.missing_rows()
    for name, ask in baselines.items():
        scores = score_columns(answers[ask], setting.dataset)
        rows.append({"kind": "baseline", "model": name, "latency_ms": _milliseconds(setting, name), **scores})
    figure = Figure(
        "overhead-layers",
        f"{setting.dataset.name}: extraction time by layer",
        f"Milliseconds a text in batches, median of the passes over {rows[0]['sample_texts']} training texts.",
        "Milliseconds a text up to and including each layer of every model.",
        charts.lines(
            layers, x=("layer", "layer"), y=("latency_ms", "ms per text"), colour=("model", "model"), whole=True
        ),
    )
    return Findings(
        rows,
        published=printed("table1"),
        caption=caption("table1"),
        extras={"layers": layers},
        figures=[figure],
        notes=[
            "A baseline's ms a text is that of fitting and predicting all rows, divided by their number.",
            "The load time of the first model in a process holds the import of its libraries.",
        ],
    )


def _milliseconds(setting: Setting, name: str) -> float:
    train, test = setting.dataset.train, setting.dataset.test
    started = time.perf_counter()
    TEXT_BASELINES[name](train.texts, train.labels, test.texts)
    return 1000 * (time.perf_counter() - started) / (len(train) + len(test))
