"""The front as a picture."""

import io
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from bench.space.schema import Objectives
from bench.study.confirm import BEST_SINGLE, Entry
from bench.study.journal import TrialRecord

# Okabe and Ito's palette, which colour-blind people can tell apart (https://jfly.uni-koeln.de/color/).
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"
MARKERS = "Ds^vP*X"
UNITS = {"latency_ms": "extraction latency (ms per text)", "memory_gb": "peak memory (GB)"}
SCORES = {"floor": "worst repetition", "mean": "mean over repetitions", "std": "standard deviation over repetitions"}


def front_png(
    trials: Sequence[TrialRecord],
    front: Sequence[Entry],
    baselines: Sequence[Entry],
    objectives: Objectives,
    title: str,
) -> bytes | None:
    """Cost against stability: all scored trials, the front, the baselines. None where there is but one objective."""
    if len(objectives.names) < 2 or not front:
        return None
    from matplotlib.figure import Figure

    y, x = objectives.names[0], objectives.names[-1]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes: Any = figure.add_subplot()
    axes.scatter(
        [t.metrics[x] for t in trials],
        [t.metrics[y] for t in trials],
        s=18,
        color=GREY,
        alpha=0.6,
        linewidths=0,
        label=f"trial (n = {len(trials)})",
    )
    points = sorted((_value(entry, x), _value(entry, y)) for entry in front)
    axes.step(
        *zip(*points, strict=True), where="post", color=BLUE, linewidth=1.5, marker="o", markersize=6, label="front"
    )
    shown = [each for each in baselines if each.latency_ms is not None and each.name != BEST_SINGLE]
    for marker, entry in zip(cycle(MARKERS), shown, strict=False):
        place = (_value(entry, x), _value(entry, y))
        axes.plot(*place, marker=marker, markersize=7, color=ORANGE, linestyle="", label=entry.name)
    if tfidf := next((entry for entry in baselines if entry.name == "tfidf-logistic"), None):
        axes.axhline(_value(tfidf, y), color=GREEN, linestyle="--", linewidth=1.2, label="TF-IDF, logistic regression")
    if x in UNITS and max(t.metrics[x] for t in trials) > 10 * max(1e-9, min(t.metrics[x] for t in trials)):
        axes.set_xscale("log")
    axes.set_xlabel(_label(x))
    axes.set_ylabel(_label(y))
    axes.set_title(title, fontsize=10)
    axes.grid(visible=True, alpha=0.25)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=150)
    return sink.getvalue()


def _value(entry: Entry, name: str) -> float:
    fixed = {"latency_ms": entry.latency_ms, "memory_gb": entry.memory_gb}
    value = fixed.get(name, entry.search.get(name))
    return float("nan") if value is None else value


def _label(name: str) -> str:
    if name in UNITS:
        return UNITS[name]
    score, _, part = name.partition("_")
    return f"{'macro-F1' if score == 'f1' else score}, {SCORES[part]}"
