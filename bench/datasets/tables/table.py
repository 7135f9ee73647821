"""What is read of a file."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.errors import BenchError, counted, nearest

SHOWN = 20
"""Bad places that a message lists."""

Quoting = Literal["double", "none"]


@dataclass(frozen=True)
class Hints:
    """What the user says of a file; None is found out. `delimiter` is one character, `quoting` of csv and tsv files.

    With `no_texts`, no message may quote what may be a text: values, and also names, which are texts where a file has
    no header.
    """

    delimiter: str | None = None
    encoding: str | None = None
    quoting: Quoting | None = None
    no_texts: bool = False


NO_HINTS = Hints()


@dataclass(frozen=True, eq=False)
class Table:
    """The wanted columns of one file.

    Attributes:
        file: The file's name, for messages.
        sha256: Of the file's bytes, in hex; empty of a part of a file.
        names: All columns that the file has, in its order.
        columns: Name → values, one a row, as the file's format types them (strings in CSV).
        class_names: Name → names of the integer classes, where the file states them.
        lines: The line on which each row begins, or None where the format has no lines.
        first: The place of the first row in its file, where this is a part of it.
        notes: What was found out about the file and is not the usual, a sentence each.
    """

    file: str
    sha256: str
    names: tuple[str, ...]
    columns: dict[str, list[Any]] = field(repr=False)
    class_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lines: Sequence[int] | None = None
    first: int = 0
    notes: tuple[str, ...] = ()

    def place(self, index: int) -> str:
        """Where a row stands in its file: ``line 7``, or ``row 7`` where the format has no lines."""
        return f"row {self.first + index + 1}" if self.lines is None else f"line {self.lines[index]}"

    def where(self, index: int) -> str:
        """The place of a row, for messages."""
        return f"{self.file}, {self.place(index)}"


def near(name: str, names: Sequence[str], no_texts: bool) -> str:
    """A clause that leads from a name that a file lacks to those that it has."""
    if no_texts:
        return f"its {counted(len(names), 'column')} may be texts, and are not named (`no_texts`)."
    # a header is as hostile as any text: what is not printable is shown escaped
    return nearest(name, [repr(known)[1:-1] for known in names[:20]])


def refuse_all(file: str, problems: Sequence[tuple[str, str]], remedy: str = "") -> None:
    """Raise BenchError where there are `problems` (place, what is wrong): one in a sentence, several as a list."""
    if not problems:
        return
    if len(problems) == 1:
        place, what = problems[0]
        raise BenchError(f"{file}, {place}: {what}.{remedy}")
    listed = "".join(f"\n  {place}: {what}" for place, what in problems[:SHOWN])
    more = f"\n  and {len(problems) - SHOWN:,} more" if len(problems) > SHOWN else ""
    raise BenchError(f"{file}: {len(problems):,} rows cannot be used.{remedy}{listed}{more}")
