"""Tables on stdout that can be read at any width: a line a row, and where that does not fit a block; nothing is cut."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench import api
from bench.cli import terminal
from bench.cli.progress import progress
from bench.cli.words import in_options
from bench.escaping import shown

if TYPE_CHECKING:
    from bench.study.decision import Decision

__all__ = ["candidates", "decision", "facts", "fits", "number", "progress", "room", "size", "table"]

UNWATCHED = 120
"""Columns of a table that goes to a file or another program."""
GAP = 2
SHORTEST = 4
"""Characters of a shortened name, at least."""
PROSE = 24
"""The least columns in which sentences are set beside others."""


def table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    right: Sequence[int] = (),
    prose: int | None = None,
    names: bool = False,
    spare: Sequence[int] = (),
) -> None:
    """A table on stdout, a line a row where that fits, else a block a row.

    Args:
        title: Above it.
        header: Words above the columns; of several lines, where they are wider than what stands below them.
        rows: Cells; None is an empty one.
        right: The columns that hold numbers.
        prose: A column of sentences, which may be set in several lines beside the others.
        names: The first column holds names that may be shortened; below the table stands whose they are.
        spare: Columns that may be left out, the first first.
    """
    grid = _Grid.of(header, rows)
    _title(title)
    short = grid.shorten() if names else {}
    for place in (None, *spare):
        if place is not None and grid.over > 0:
            grid.kept.remove(place)
        if prose is not None:
            grid.fold(prose)
    grid.print(right)
    legend(short)
    if grid.over <= 0 and (missing := list(map(_unfolded, grid.left_out))):
        terminal.echo(f"(no room for {', '.join(missing)})")
    terminal.echo()


def fits(header: Sequence[str], rows: Sequence[Sequence[Any]], spare: Sequence[int] = ()) -> bool:
    """Whether there is room for a line a row, if need be without columns that may be left out."""
    grid = _Grid.of(header, rows)
    grid.kept = [place for place in grid.kept if place not in spare]
    return grid.over <= 0


class _Grid:
    """Cells that are to fit the width, and the places of the columns that are shown."""

    @classmethod
    def of(cls, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> "_Grid":
        """All columns, as a terminal may show them; None is an empty cell."""
        cells = [["" if cell is None else shown(str(cell)) for cell in row] for row in rows]
        return cls([shown(name) for name in header], cells, list(range(len(header))))

    def __init__(self, heads: list[str], cells: list[list[str]], kept: list[int]) -> None:
        self.heads, self.cells, self.kept = heads, cells, kept

    @property
    def over(self) -> int:
        """By how many columns of the terminal it is too wide."""
        widths = (max(map(_width, (row[place] for row in (self.heads, *self.cells)))) for place in self.kept)
        return sum(widths) + GAP * (len(self.kept) - 1) - room()

    @property
    def left_out(self) -> list[str]:
        """The headings of columns that are not shown."""
        return [head for place, head in enumerate(self.heads) if place not in self.kept]

    def shorten(self) -> Mapping[str, str]:
        """Names in the first column as short as need be: name → its short one."""
        if self.over <= 0 or not self.cells:
            return {}
        widest = max(cell_len(row[0]) for row in self.cells)
        short = api.aliases([row[0] for row in self.cells], max(widest - self.over, SHORTEST))
        for row in self.cells:
            row[0] = short[row[0]]
        return short

    def fold(self, place: int) -> None:
        """A column of sentences in several lines, where that makes room enough."""
        wide = max((_width(row[place]) for row in self.cells), default=0) - max(self.over, 0)
        if self.over > 0 and wide >= PROSE:
            whole = [row[place] for row in self.cells]
            for row in self.cells:
                row[place] = "\n".join(terminal.folded(row[place], wide, 0, "( +|(?<=/))"))
            if self.over > 0:
                for row, text in zip(self.cells, whole, strict=True):
                    row[place] = text

    def print(self, right: Sequence[int]) -> None:
        """On stdout: as columns, or as blocks of a first cell and what is behind it."""
        if self.over > 0:
            for first, *others in self.cells:
                below = zip(self.heads[1:], others, strict=True)
                words = (_unfolded(f"{head} {text}") for head, text in below if text)
                if first:  # a row without one goes on with what is above
                    terminal.echo(" ".join(first.split("\n")))
                terminal.echo(f"  {'; '.join(words)}")
            return
        grid = Table(header_style="bold", box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        for place in self.kept:
            grid.add_column(escape(self.heads[place]), justify="right" if place in right else "left", no_wrap=True)
        for row in self.cells:
            grid.add_row(*(escape(row[place]) for place in self.kept))
        Console(highlight=False, width=room()).print(grid)


def _title(text: str) -> None:
    for line in terminal.folded(shown(text), room()) if text else ():
        Console(highlight=False, width=room()).print(Text(line, style="bold"), soft_wrap=True)


def room() -> int:
    """The columns that there are."""
    return terminal.width(sys.stdout) or UNWATCHED


def _width(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _unfolded(text: str) -> str:
    """On one line, a word that was broken in two whole again."""
    return " ".join(text.replace("-\n", "").split())


def facts(lines: Mapping[str, str]) -> None:
    """Words, each behind what it is about."""
    indent = max(map(len, lines)) + GAP
    for name, words in lines.items():
        terminal.echo(f"{name:<{indent}}{words}", hanging=indent)


def candidates(title: str, lines: Mapping[str, str], short: Mapping[str, str]) -> None:
    """What names of a table stand for, a line each, and what the short names of models in them do (`api.told`)."""
    if not lines:
        return
    indent = max(map(cell_len, map(shown, lines))) + GAP
    _title(title)
    for name, words in lines.items():
        terminal.echo(f"{name}{' ' * (indent - cell_len(shown(name)))}{words}", hanging=indent)
    legend(short)
    terminal.echo()


def legend(short: Mapping[str, str]) -> None:
    """Whose the short ones of some names are."""
    for name, alias in short.items():
        if alias != name:
            terminal.echo(f"{alias} is {name}")


def decision(found: "Decision") -> None:
    """What to do, in words, and the next command."""
    terminal.echo()
    facts({line.about: in_options(line.words) for line in found.lines})
    if found.next:
        terminal.echo("next, or to look closer:" if len(found.next) > 1 else "next:")
    for words in found.next:
        terminal.command(*words)
    terminal.echo("bench explain WORD says what a word means.")


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
