"""Work under way, on standard error: bars where somebody watches, lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.progress import Task as RichTask
from rich.text import Text

from bench.cli import terminal
from bench.cli.words import in_options
from bench.durations import in_words
from bench.escaping import shown
from bench.progress import Progress, Work

BESIDE = 56
"""Columns that stand beside a title and its bar: what is done, how fast, the time left, and a few words."""
PLAIN_EVERY = 10.0
"""Seconds between lines where there is no terminal."""


def pace(speed: float, unit: str = "") -> str:
    """How fast it goes, of `speed` units a second: slow work in seconds each."""
    return f"{speed:.3g} {unit}/s".replace(" /", "/") if speed >= 1 else f"{1 / speed:.3g} s each"


class _Pace(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text(pace(speed) if speed else "", style="cyan")


class TerminalProgress:
    """Bars with pace and time left."""

    def __init__(self) -> None:
        self._console = Console(file=terminal.lasting(sys.stderr), highlight=False)

    @contextmanager
    def task(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[Work]:
        """A bar; a title that leaves it no room stands above it, and its first word before it."""
        title, room = shown(title), self._console.width - BESIDE
        if cell_len(title) > room:
            self.say(title)
            title = title.split()[0]
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=max(4, min(28, room - cell_len(title)))),
            MofNCompleteColumn(),
            _Pace(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}", style="dim"),
        )
        with RichProgress(*columns, console=self._console, speed_estimate_period=60) as bars:
            bar = bars.add_task(escape(title), total=total, completed=done, unit=unit, note="")

            class Bar:
                def advance(self, amount: int = 1) -> None:
                    bars.advance(bar, amount)

                def note(self, text: str) -> None:
                    bars.update(bar, note=escape(shown(text)))

            yield Bar()

    def say(self, line: str) -> None:
        """One line above the bars."""
        self._console.print(Text(shown(in_options(line)), style="dim"))

    def warn(self, line: str) -> None:
        """The same in another colour."""
        self._console.print(Text(shown(f"warning: {in_options(line)}"), style="yellow"))


class PlainProgress:
    """Lines, at most one every ten seconds, where nobody watches a terminal."""

    @contextmanager
    def task(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[Work]:
        """A line at the start, some on the way, and one at the end."""
        started = last = time.monotonic()
        self.say(f"{title}: {total} {unit}" + (f", {done} of them done before" if done else ""))

        class Lines:
            reached, words = done, ""

            def advance(lines, amount: int = 1) -> None:  # noqa: N805 - self is the progress
                nonlocal last
                lines.reached += amount
                now = time.monotonic()
                if now - last >= PLAIN_EVERY and lines.reached > done:
                    last = now
                    speed = (lines.reached - done) / (now - started)
                    self.say(
                        f"{title}: {lines.reached}/{total} {unit}, {pace(speed, unit)}, "
                        f"{in_words((total - lines.reached) / speed)} left{lines.behind}"
                    )

            def note(lines, text: str) -> None:  # noqa: N805
                lines.words = text

            @property
            def behind(lines) -> str:  # noqa: N805
                return f", {lines.words}" if lines.words else ""

        lines = Lines()
        yield lines
        spent = time.monotonic() - started
        each = f" ({pace((lines.reached - done) / spent, unit)})" if lines.reached > done and spent >= 1 else ""
        self.say(f"{title}: {lines.reached}/{total} {unit} in {spent:.1f} s{each}{lines.behind}")

    def say(self, line: str) -> None:
        """One line."""
        terminal.echo(in_options(line), err=True)

    def warn(self, line: str) -> None:
        """One line that says what it is."""
        self.say(f"warning: {line}")


def progress() -> Progress:
    """Bars on a terminal, lines elsewhere."""
    return TerminalProgress() if terminal.lasting(sys.stderr).isatty() else PlainProgress()
