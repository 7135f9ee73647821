"""What makes a study the same study, and how two of them differ."""

from collections.abc import Iterator, Mapping
from typing import Any

from bench.datasets.load import DatasetRequest
from bench.evaluation.protocol import Protocol
from bench.space.schema import SearchSpace
from bench.specs import ExtractionSettings, Spec


class Constraints(Spec):
    """Limits on a candidate; None is no limit."""

    max_latency_ms: float | None = None
    max_memory_gb: float | None = None


class SearchRequest(Spec):
    """All that a user asks of `bench search`. `models` None takes those of the space that can be had and fit."""

    dataset: DatasetRequest
    space: SearchSpace
    space_name: str = "default"
    models: tuple[str, ...] | None = None
    trials: int = 50
    study: str | None = None
    extraction: ExtractionSettings = ExtractionSettings()
    protocol: Protocol = Protocol()
    constraints: Constraints = Constraints()
    time_budget: float | None = None


class StudySettings(Spec):
    """Everything that a study's numbers depend on; a study is only ever continued under the same."""

    dataset: str
    dataset_fingerprint: str
    models: dict[str, dict[str, Any]]
    """Name → identity of its extraction: weights, tokenizer, dtype, backend, kernels, prompt …."""
    space: SearchSpace
    protocol: Protocol
    constraints: Constraints


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line a setting that differs: `key: old → new`."""
    before, after = dict(_flat(old)), dict(_flat(new))
    return [
        f"{key}: {before.get(key, '(absent)')} → {after.get(key, '(absent)')}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key, _ABSENT) != after.get(key, _ABSENT)
    ]


_ABSENT = object()


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
