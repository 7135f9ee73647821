"""What a search found, for people and for programs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.models.selection import Absent
from bench.study.confirm import Entry
from bench.study.trials import finite


@dataclass(frozen=True)
class SearchResult:
    """The front and the baselines of a study, with how it went.

    `trials` counts candidates by state; `seconds` says where this run's time went.
    """

    study: str
    dataset: Mapping[str, Any]
    protocol: str
    trials: Mapping[str, int | bool]
    objectives: Mapping[str, Sequence[str]]
    front: Sequence[Entry]
    baselines: Sequence[Entry]
    seconds: Mapping[str, float]
    tracking_uri: str | None
    parent_run_id: str | None
    absent: Sequence[Absent]
    truncated: Mapping[str, int]
    warnings: Sequence[str]
    optimistic: bool
    stopped: str | None = None
    backend: str = ""
    device: str = ""

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values; what is unknown (a spread over one seed, a cost not measured) is null."""
        return {
            "study": self.study,
            "dataset": dict(self.dataset),
            "backend": self.backend,
            "device": self.device,
            "protocol": self.protocol,
            "optimistic": self.optimistic,
            "trials": dict(self.trials),
            "objectives": {key: list(names) for key, names in self.objectives.items()},
            "front": [entry_json(entry) for entry in self.front],
            "baselines": {entry.name: entry_json(entry) for entry in self.baselines},
            "seconds": {key: round(value, 3) for key, value in self.seconds.items()},
            "tracking_uri": self.tracking_uri,
            "parent_run_id": self.parent_run_id,
            "models_absent": {model.name: model.reason for model in self.absent},
            "truncated_texts": dict(self.truncated),
            "warnings": list(self.warnings),
            "stopped": self.stopped,
        }


def entry_json(entry: Entry) -> dict[str, Any]:
    """One member of the front, or one baseline."""
    candidate = entry.candidate
    names = ("f1_mean", "f1_std", "f1_floor", "accuracy_mean", "accuracy_std", "accuracy_floor")
    search = finite(entry.search)
    return {
        "trial": entry.trial,
        "sources": [] if candidate is None else [source.model_dump() for source in candidate.sources],
        "fusion": None if candidate is None else candidate.fusion,
        "width": None if candidate is None else candidate.width,
        "head": None if candidate is None else candidate.head.model_dump(),
        **{name: search.get(name) for name in names},
        "latency_ms": entry.latency_ms,
        "latency_estimated": entry.latency_estimated,
        "memory_gb": entry.memory_gb,
        "confirm": confirm_json(entry),
        "run_id": entry.run_id,
    }


def confirm_json(entry: Entry) -> dict[str, Any]:
    """The confirmation on the test set: mean, spread and floor over seeds, interval, and the paired test."""
    metrics = finite(entry.confirmed.metrics())
    names = ("f1_mean", "f1_std", "f1_floor", "accuracy_mean", "accuracy_std", "accuracy_floor")
    found: dict[str, Any] = {name: metrics.get(name) for name in names}
    found["seeds"] = len(entry.confirmed.repetitions)
    found["rows"] = len(entry.confirmed.repetitions[0].rows)
    found["f1_ci95"] = list(entry.interval)
    comparison = entry.comparison
    found["difference"] = None if comparison is None else comparison.difference
    found["p_vs_best_single"] = None if comparison is None else comparison.p
    # unknown where the two never differ on a row
    resolvable = math.nan if comparison is None else comparison.resolvable
    found["resolvable_difference"] = None if math.isnan(resolvable) else resolvable
    return found
