"""What of a candidate, or of a space, comes from plugins: a part of every identity that it enters."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bench.errors import BenchError
from bench.fusion import FUSIONS
from bench.pooling import POOLINGS
from bench.registry import Registry
from bench.specs import HEAD_SETTINGS, AnyCandidate, TextCandidate

_TABLES: tuple[Registry[Any], ...] = (FUSIONS, HEAD_SETTINGS, POOLINGS)


def foreign_parts(
    operators: Iterable[str] = (), heads: Iterable[str] = (), poolings: Iterable[str] = ()
) -> dict[str, str]:
    """Kind and name → hash of the source behind it, of those that are not bench's own; mostly none."""
    found = {}
    for registry, names in zip(_TABLES, (operators, heads, poolings), strict=True):
        for name in names:
            if source := registry.source(name):
                found[f"{registry.kind} {name}"] = source
    return found


def foreign_parts_of(candidate: AnyCandidate) -> dict[str, str]:
    """Those of a candidate."""
    return foreign_parts(*_names(candidate))


def foreign_modules_of(candidate: AnyCandidate) -> set[str]:
    """The top-level modules that these stand in."""
    modules = (
        registry.module(name)
        for registry, names in zip(_TABLES, _names(candidate), strict=True)
        for name in names
        if registry.source(name)
    )
    return {module.partition(".")[0] for module in modules}


def require_parts(parts: Mapping[str, str]) -> None:
    """Raise BenchError where what something was made with is not installed, or is of another source."""
    for key, source in parts.items():
        registry, name = _entry(key)
        if name not in registry:
            raise BenchError(f"The {key} comes from a plugin that is not installed here: install it.")
        if (now := registry.source(name)) != source:
            raise BenchError(
                f"The {key} comes from a plugin whose source has changed ({source} → {now}): install the version of it "
                "that was searched with, or search and export anew."
            )


def with_foreign(value: Mapping[str, object], parts: Mapping[str, str]) -> dict[str, object]:
    """`value` with `parts` under ``plugins``; as it is where there are none: no identity of bench's own changes."""
    return {**value, "plugins": dict(parts)} if parts else dict(value)


def _names(candidate: AnyCandidate) -> Iterator[list[str]]:
    if isinstance(candidate, TextCandidate):
        yield from ([], [], [])
        return
    yield [candidate.fusion]
    yield [candidate.head.kind]
    yield list(dict.fromkeys(source.pooling for source in candidate.sources))


def _entry(key: str) -> tuple[Registry[Any], str]:
    for registry in _TABLES:
        if key.startswith(f"{registry.kind} "):
            return registry, key.removeprefix(f"{registry.kind} ")
    raise BenchError(f"'{key}' is no part that a plugin can give.")
