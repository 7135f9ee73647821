"""Tables on stdout that can be read at any width: where columns do not fit, a row is a block; nothing is cut."""

import sys
import textwrap
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
from bench.escaping import shown

if TYPE_CHECKING:
    from bench.cascade import Cascade
    from bench.specs import Candidate

__all__ = ["candidates", "facts", "number", "progress", "size", "table"]

UNWATCHED = 120
"""Columns of a table that goes to a file or another program."""
GAP = 2
PROSE = 24
"""The least columns in which sentences are set beside others."""


def table(
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    right: Sequence[int] = (),
    prose: int | None = None,
) -> None:
    """A table on stdout, a line a row where that fits.

    Args:
        title: Above it.
        header: Words above the columns; of several lines, where they are wider than what stands below them.
        rows: Cells; None is an empty one.
        right: The columns that hold numbers.
        prose: A column of sentences, which may be set in several lines beside the others.
    """
    cells = [["" if cell is None else shown(str(cell)) for cell in row] for row in rows]
    heads = [shown(name) for name in header]
    widths = [max(_width(text) for text in column) for column in zip(heads, *cells, strict=True)]
    room = (_room()) - GAP * (len(widths) - 1)
    console = Console(highlight=False, width=_room())
    if title:
        for line in terminal.folded(shown(title), _room()):
            console.print(Text(line, style="bold"), soft_wrap=True)
    if sum(widths) > room and prose is not None and sum(widths) - widths[prose] + PROSE <= room:
        for row in cells:
            row[prose] = "\n".join(textwrap.wrap(row[prose], room - sum(widths) + widths[prose]))
        widths = [max(_width(text) for text in column) for column in zip(heads, *cells, strict=True)]
    if sum(widths) <= room:
        grid = Table(header_style="bold", box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        for index, name in enumerate(heads):
            grid.add_column(escape(name), justify="right" if index in right else "left", no_wrap=True)
        for row in cells:
            grid.add_row(*map(escape, row))
        console.print(grid)
    else:
        _blocks(heads, cells)
    terminal.echo()


def _room() -> int:
    return terminal.width(sys.stdout) or UNWATCHED


def _width(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _blocks(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """A row as a block: its first cell, below it the others with their headings."""
    for first, *others in cells:
        terminal.echo(" ".join(first.split("\n")))
        below = (
            f"{' '.join(head.split())} {' '.join(text.split())}".strip()
            for head, text in zip(heads[1:], others, strict=True)
            if text
        )
        terminal.echo("  " + "; ".join(below))


def facts(lines: Mapping[str, str]) -> None:
    """Words, each behind what it is about."""
    indent = max(map(len, lines)) + GAP
    for name, words in lines.items():
        terminal.echo(f"{name:<{indent}}{words}", hanging=indent)


def candidates(named: Mapping[str, "Candidate | Cascade | str"]) -> None:
    """What names of a table stand for, a line each; models have names as long as there is room for."""
    if not named:
        return
    indent = max(map(cell_len, named)) + GAP
    subjects = [each for each in named.values() if not isinstance(each, str)]
    words, short = api.described(subjects, (_room()) - indent)
    found = iter(words)
    for name, each in named.items():
        text = each if isinstance(each, str) else next(found)
        terminal.echo(f"{shown(name)}{' ' * (indent - cell_len(shown(name)))}{text}", hanging=indent)
    for model, alias in short.items():
        if alias != model:
            terminal.echo(f"{alias} is {model}")
    terminal.echo()


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
