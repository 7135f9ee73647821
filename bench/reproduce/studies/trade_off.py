"""Extraction time against F1 by subset size (figure 5)."""

from collections.abc import Mapping, Sequence

import numpy as np

from bench.cost import latency_ms
from bench.evaluation.evaluator import Scored
from bench.figures import Figure
from bench.reproduce import charts
from bench.reproduce.scores import POINTS, baseline_rows, score_columns
from bench.reproduce.setting import HEADS, Setting
from bench.reproduce.studies.combinations import subset_ask
from bench.reproduce.study import Findings, Row, Steps, study
from bench.specs import Candidate


@study(
    "trade-off",
    paper="figure 5 (published without numbers)",
    costs=True,
    columns={
        "size": "\nsize",
        "model": "model",
        "head": "head",
        "subsets": "subsets",
        "latency_ms_min": "ms/text\nmin",
        "latency_ms_mean": "\nmean",
        "latency_ms_max": "\nmax",
        "f1_min": "F1\nmin",
        "f1_mean": "\nmean",
        "f1_max": "\nmax",
        "gain_delta_f1": "one more:\nΔF1",
        "gain_delta_f1_per_ms": "\na ms",
        "runs": "runs",
    },
)
def trade_off(setting: Setting) -> Steps:
    """Extraction milliseconds a text against F1 by subset size: least, most and mean, and where returns diminish."""
    asks = {(subset, head): subset_ask(setting, subset, head) for subset in setting.subsets() for head in HEADS}
    baselines = setting.baselines()
    answers = yield [*baselines.values(), *asks.values()]
    lines = {name: answers[ask] for name, ask in baselines.items()}
    every: list[Row] = []
    for (subset, head), ask in asks.items():
        assert isinstance(ask.subject, Candidate)
        every.append(
            {
                "size": len(subset),
                "model": " + ".join(subset),
                "head": head,
                "latency_ms": latency_ms(setting.costs, ask.subject),
                **score_columns(answers[ask], setting.dataset),
            }
        )
    rows = [row for head in HEADS for row in _sizes([each for each in every if each["head"] == head])]
    notes = [note for head in HEADS for note in _notes([row for row in rows if row["head"] == head], head)]
    rows += setting.missing_rows() + baseline_rows(lines, setting.dataset)
    return Findings(rows, extras={"subsets": every}, figures=[_figure(setting, every, lines)], notes=notes)


def _sizes(every: Sequence[Row]) -> list[Row]:
    rows: list[Row] = []
    for size in sorted({each["size"] for each in every}):
        mine = [each for each in every if each["size"] == size]
        f1, latency = ([each[name] for each in mine] for name in ("f1_mean", "latency_ms"))
        row: Row = {"kind": "size", "size": size, "head": mine[0]["head"], "subsets": len(mine)}
        for name, values in (("latency_ms", latency), ("f1", f1)):
            row |= {f"{name}_min": min(values), f"{name}_mean": float(np.mean(values)), f"{name}_max": max(values)}
        if rows:
            before = rows[-1]
            for part in ("min", "mean", "max"):
                row[f"gain_f1_{part}"] = POINTS * (row[f"f1_{part}"] - before[f"f1_{part}"])
            row["gain_delta_f1"] = row["gain_f1_mean"]
            row["gain_delta_f1_per_ms"] = row["gain_f1_mean"] / (row["latency_ms_mean"] - before["latency_ms_mean"])
        row["runs"] = mine[0]["runs"]
        row["run_f1_std"] = _root_mean_square([each["f1_std"] for each in mine])
        rows.append(row)
    return rows


def _root_mean_square(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(np.square(there)) ** 0.5) if there else None


def _figure(setting: Setting, every: Sequence[Row], lines: Mapping[str, Scored]) -> Figure:
    chart = charts.cloud(
        [{**each, "models fused": str(each["size"])} for each in every if each["head"] == "mlp"],
        x=("latency_ms", "extraction (ms per text)"),
        y=("f1_mean", "macro-F1 on the test set"),
        bounds=("f1_low", "f1_high"),
        colour=("models fused", "models fused"),
        rules=charts.baseline_rules(lines),
    )
    return Figure(
        "trade-off",
        f"{setting.dataset.name}: extraction time against macro-F1 (mlp head)",
        charts.subtitle(setting, "A point is a subset; bars: 95% bootstrap over test texts, runs averaged."),
        "Every subset of the models by the milliseconds that its extraction takes and its macro-F1.",
        chart,
    )


def _notes(rows: Sequence[Row], head: str) -> list[str]:
    """Returns diminish from the size on which no larger one beats by more than runs differ."""
    if len(rows) < 2:
        return ["One model has no sizes to compare: name at least two."]
    for position, row in enumerate(rows):
        noise = POINTS * (row["run_f1_std"] or 0.0)
        later = max((POINTS * (each["f1_mean"] - row["f1_mean"]) for each in rows[position + 1 :]), default=0.0)
        if later <= noise:
            break
    models = "1 model" if row["size"] == 1 else f"{row['size']} models"
    return [
        (
            f"{head}: beyond {models} ({row['latency_ms_mean']:.1f} ms a text on average) more of them add at most "
            f"{max(later, 0):.1f} points of mean F1; runs of one subset differ by {noise:.1f}."
        )
    ]
