"""What of a candidate, or of a space, comes from plugins: a part of every identity that it enters."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench.fusion import FUSIONS
from bench.pooling import POOLINGS
from bench.registry import Registry
from bench.specs import HEAD_SETTINGS, Candidate


def foreign_parts(
    operators: Iterable[str] = (), heads: Iterable[str] = (), poolings: Iterable[str] = ()
) -> dict[str, str]:
    """Name → hash of the source behind it, of those that are not bench's own; mostly none."""
    named: list[tuple[Registry[Any], str]] = [
        *((FUSIONS, name) for name in operators if name != "none"),
        *((HEAD_SETTINGS, name) for name in heads),
        *((POOLINGS, name) for name in poolings),
    ]
    return {f"{registry.kind} {name}": found for registry, name in named if (found := registry.source(name))}


def foreign_parts_of(candidate: Candidate) -> dict[str, str]:
    """Those of a candidate."""
    return foreign_parts(
        [candidate.fusion], [candidate.head.kind], dict.fromkeys(source.pooling for source in candidate.sources)
    )


def with_foreign(value: Mapping[str, object], parts: Mapping[str, str]) -> dict[str, object]:
    """`value` with `parts` under ``plugins``; as it is where there are none: no identity of bench's own changes."""
    return {**value, "plugins": dict(parts)} if parts else dict(value)
