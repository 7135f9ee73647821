"""Entries of the front and baselines as JSON values."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.measures import cost_names
from bench.metrics import finite
from bench.specs import Candidate
from bench.study.cascades import Chosen
from bench.study.entry import Entry
from bench.study.verdicts import Comparison


def entry_json(entry: Entry) -> dict[str, Any]:
    """One member of the front, or one baseline."""
    candidate = entry.candidate if isinstance(entry.candidate, Candidate) else None
    search = finite(entry.search)
    return {
        "trial": entry.trial,
        "sources": [] if candidate is None else [source.model_dump() for source in candidate.sources],
        "fusion": None if candidate is None else candidate.fusion,
        "width": None if candidate is None else candidate.width,
        "head": None if candidate is None else candidate.head.model_dump(),
        **{name: search.get(name) for name in entry.searched_as},
        "latency_estimated": entry.latency_estimated,
        **{name: entry.costs.get(name) for name in cost_names()},
        "confirm": confirm_json(entry),
        "run_id": entry.run_id,
    }


def cascades_json(made: Chosen, entries: Sequence[Entry]) -> dict[str, Any]:
    """How many cascades were considered, how many of them nothing beats, and those that were confirmed."""
    return {
        "considered": made.considered,
        "on_front": made.on_front,
        "confirmed": [cascade_json(entry) | {"run_id": made.runs.get(entry.name)} for entry in entries],
    }


def cascade_json(entry: Entry) -> dict[str, Any]:
    """One cascade: stages, thresholds, shares that come to the later stages, the control, and all that a trial has."""
    tested = entry.cascade
    assert tested is not None
    record, beside = tested.record, tested.beside
    search = finite(entry.search)
    return {
        "name": record.name,
        "stages": [stage.model_dump(mode="json") for stage in record.cascade.stages],
        "thresholds": list(record.cascade.thresholds),
        "trials": list(record.trials),
        "reached": list(record.reached),
        **{name: search.get(name) for name in entry.searched_as},
        "latency_estimated": entry.latency_estimated,
        **{name: entry.costs.get(name) for name in cost_names()},
        "confirm": confirm_json(entry)
        | {
            "reached": list(tested.reached),
            "costs": dict(tested.costs),
            "random_deferral": finite(tested.control),
            "beside": None
            if beside is None
            else {
                "trial": beside.trial,
                "difference": beside.difference.value,
                "ci95": [beside.difference.low, beside.difference.high],
                "cost": beside.share,
            },
        },
    }


def confirm_json(entry: Entry) -> dict[str, Any]:
    """The confirmation on the test set: mean, spread and floor over seeds, interval, and the paired test."""
    found: dict[str, Any] = {name: value if math.isfinite(value) else None for name, value in entry.over_seeds.items()}
    found["seeds"] = len(entry.confirmed.repetitions)
    found["rows"] = len(entry.confirmed.repetitions[0].rows)
    found[f"{entry.objectives.kept[0].name}_ci95"] = list(entry.interval)
    comparison = entry.comparison
    found["difference"] = None if comparison is None else comparison.difference
    found["p_vs_best_single"] = None if comparison is None else comparison.p
    # unknown where the two never differ on a row
    resolvable = math.nan if comparison is None else comparison.resolvable
    found["resolvable_difference"] = None if math.isnan(resolvable) else resolvable
    found["vs_singles"] = None if comparison is None else comparison_json(comparison)
    return found


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The verdict, and by measure the difference to the single model that it is told apart from least."""
    return {
        "verdict": comparison.verdict,
        "p": comparison.p,
        "singles": list(comparison.singles),
        "by_measure": {
            each.measure: {
                "against": each.against,
                "difference": each.value,
                "level": each.level,
                "interval": [each.low, each.high],
                "p": each.p,
                "resolvable": None if math.isnan(each.resolvable) else each.resolvable,
                "retrained": None if each.retrained is None else asdict(each.retrained),
            }
            for each in comparison.by_measure
        },
    }
