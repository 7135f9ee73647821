"""Entries of the front and baselines as JSON values."""

import math
from typing import Any

from bench.measures import cost_names
from bench.metrics import finite
from bench.study.confirm import Entry


def entry_json(entry: Entry) -> dict[str, Any]:
    """One member of the front, or one baseline."""
    candidate = entry.candidate
    search = finite(entry.search)
    return {
        "trial": entry.trial,
        "sources": [] if candidate is None else [source.model_dump() for source in candidate.sources],
        "fusion": None if candidate is None else candidate.fusion,
        "width": None if candidate is None else candidate.width,
        "head": None if candidate is None else candidate.head.model_dump(),
        **{name: search.get(name) for name in entry.confirmed.metrics(entry.objectives.measures)},
        "latency_estimated": entry.latency_estimated,
        **{name: entry.costs.get(name) for name in cost_names()},
        "confirm": confirm_json(entry),
        "run_id": entry.run_id,
    }


def confirm_json(entry: Entry) -> dict[str, Any]:
    """The confirmation on the test set: mean, spread and floor over seeds, interval, and the paired test."""
    metrics = entry.confirmed.metrics(entry.objectives.measures)
    found: dict[str, Any] = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    found["seeds"] = len(entry.confirmed.repetitions)
    found["rows"] = len(entry.confirmed.repetitions[0].rows)
    found[f"{entry.objectives.kept[0].name}_ci95"] = list(entry.interval)
    comparison = entry.comparison
    found["difference"] = None if comparison is None else comparison.difference
    found["p_vs_best_single"] = None if comparison is None else comparison.p
    # unknown where the two never differ on a row
    resolvable = math.nan if comparison is None else comparison.resolvable
    found["resolvable_difference"] = None if math.isnan(resolvable) else resolvable
    return found
