"""Name → object tables: the one way in which the project is extended."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from bench import plugins
from bench.errors import BenchError, nearest

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """An ordered mapping that names what it holds, refuses a second entry, and knows the nearest name.

    `kind` is the noun used in messages, for example ``"fusion operator"``. Where it is `pluggable`, whoever looks into
    it also sees what installed plugins enter (see `bench.plugins`). `order` says what entries are sorted by;
    without it they stand as they were entered.
    """

    def __init__(self, kind: str, *, pluggable: bool = False, order: Callable[[T], Any] | None = None) -> None:
        self.kind = kind
        self.pluggable = pluggable
        self.order = order
        self._entries: dict[str, T] = {}
        self._functions: dict[str, Callable[..., Any]] = {}

    def add(self, name: str, entry: T, function: Callable[..., Any] | None = None) -> T:
        """Enter `entry` under `name` and return it, so that decorators can be built on this.

        `function` is what `entry` computes with, of which `source` speaks.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} '{name}' is registered twice")
        self._entries[name] = entry
        if (order := self.order) is not None:
            self._entries = dict(sorted(self._entries.items(), key=lambda each: order(each[1])))
        if function is not None:
            self._functions[name] = function
        return entry

    def source(self, name: str) -> str | None:
        """A hash of the source behind an entry that a plugin made; None where it is bench's own."""
        self._known()
        return plugins.source_of(self._functions[name]) if name in self._functions else None

    def module(self, name: str) -> str:
        """The module that an entry's function stands in."""
        return self._functions[name].__module__

    def _known(self) -> dict[str, T]:
        if self.pluggable:
            plugins.load()
        return self._entries

    def __getitem__(self, name: str) -> T:
        entries = self._known()
        try:
            return entries[name]
        except KeyError:
            raise BenchError(f"There is no {self.kind} '{name}': {nearest(name, entries)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._known()

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())
