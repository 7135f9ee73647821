"""Name → object tables: the one way in which the project is extended."""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from bench.errors import BenchError, nearest

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """An ordered mapping that names what it holds, refuses a second entry, and knows the nearest name.

    `kind` is the noun used in messages, for example ``"fusion operator"``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Enter `entry` under `name` and return it, so that decorators can be built on this."""
        if name in self._entries:
            raise ValueError(f"{self.kind} '{name}' is registered twice")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            raise BenchError(f"There is no {self.kind} '{name}': {nearest(name, self._entries)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
