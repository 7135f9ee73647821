"""How long work tells that it goes on, without knowing whether anybody watches."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

from bench.errors import in_words

T = TypeVar("T")


class Work(Protocol):
    """One piece of work with a known end."""

    def advance(self, amount: int = 1) -> None:
        """So much more is done."""

    def note(self, text: str) -> None:
        """A few words on where things stand, shown behind the bar."""


class Progress(Protocol):
    """Something that can show work under way and say a line in between."""

    def task(self, title: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Work]:
        """A context that shows `total` units of work, of which some were `done` before and took no time now."""

    def say(self, line: str) -> None:
        """One line for the person who waits."""

    def warn(self, line: str) -> None:
        """One line that the person should not overlook."""


class _Still:
    def advance(self, amount: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Silent:
    """Shows nothing: the null object for library use and tests."""

    @contextmanager
    def task(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[Work]:  # noqa: ARG002 - the protocol's
        """A context in which nothing is shown."""
        yield _Still()

    def say(self, line: str) -> None:
        """Say nothing."""

    def warn(self, line: str) -> None:
        """Say nothing."""


SILENT = Silent()


def attempted(make: Callable[[], T], failing: str, warn: Callable[[str], None]) -> T | None:
    """What `make` gives, or None with a warning that begins with `failing`.

    For what shows or lists what was computed: that is not lost because it cannot be drawn or written.
    """
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - it passes through many libraries, and none may end the work
        warn(f"{failing}: {in_words(error)}")
        return None
