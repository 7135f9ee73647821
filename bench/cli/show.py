"""What a person sees: progress on stderr, tables on stdout."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.progress import Task as RichTask
from rich.table import Table
from rich.text import Text

from bench.cli import terminal
from bench.cli.words import in_options
from bench.escaping import shown
from bench.progress import Progress, Work

PLAIN_EVERY = 10.0
"""Seconds between lines where there is no terminal."""


class _Rate(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if not speed else f"{speed:.3g} {task.fields['unit']}/s", style="cyan")


class TerminalProgress:
    """Bars with rate and time left."""

    def __init__(self) -> None:
        self._console = Console(file=terminal.lasting(sys.stderr), highlight=False)

    @contextmanager
    def task(self, title: str, total: int, unit: str) -> Iterator[Work]:
        """A bar."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}", style="dim"),
        )
        with RichProgress(*columns, console=self._console, speed_estimate_period=60) as bars:
            bar = bars.add_task(escape(shown(title)), total=total, unit=unit, note="")

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
    def task(self, title: str, total: int, unit: str) -> Iterator[Work]:
        """A line at the start, some on the way, and one at the end."""
        started = last = time.monotonic()
        self.say(f"{title}: {total} {unit}")

        class Lines:
            done, words = 0, ""

            def advance(lines, amount: int = 1) -> None:  # noqa: N805 - self is the progress
                nonlocal last
                lines.done += amount
                now = time.monotonic()
                if now - last >= PLAIN_EVERY:
                    last = now
                    rate = lines.done / (now - started)
                    left = (total - lines.done) / rate if rate else float("nan")
                    self.say(
                        f"{title}: {lines.done}/{total} {unit}, {rate:.3g} {unit}/s, {left:.0f} s left"
                        + (f", {lines.words}" if lines.words else "")
                    )

            def note(lines, text: str) -> None:  # noqa: N805
                lines.words = text

        lines = Lines()
        yield lines
        words = f", {lines.words}" if lines.words else ""
        self.say(f"{title}: {lines.done}/{total} {unit} in {time.monotonic() - started:.1f} s{words}")

    def say(self, line: str) -> None:
        """One line."""
        terminal.echo(in_options(line), err=True)

    def warn(self, line: str) -> None:
        """One line that says what it is."""
        self.say(f"warning: {line}")


def progress() -> Progress:
    """Bars on a terminal, lines elsewhere."""
    return TerminalProgress() if terminal.lasting(sys.stderr).isatty() else PlainProgress()


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = ()) -> None:
    """A table on stdout. Columns in `right` are numbers."""
    grid = Table(header_style="bold", box=None, pad_edge=False)
    for index, name in enumerate(header):
        number = index in right
        grid.add_column(escape(shown(name)), justify="right" if number else "left", no_wrap=number, overflow="fold")
    for row in rows:
        grid.add_row(*("" if cell is None else escape(shown(str(cell))) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    if title:
        # a table's own title is folded to the table's width
        console.print(Text(shown(title), style="bold"), soft_wrap=True)
    console.print(grid)
    console.print()


def number(value: float | None, digits: int = 4) -> str:
    """A number for a table; what is unknown is a dash."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def size(value: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
