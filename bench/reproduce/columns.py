"""Rows of a study's tables, and the columns of them that people are shown."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

Row = dict[str, Any]
"""Column name → text, number, truth value, or None where it is unknown."""


class Kind(Enum):
    """What a column holds, which decides how its cells are written and aligned, and how a figure draws it."""

    TEXT = "text"
    FLAG = "flag"
    COUNT = "count"
    SCORE = "score"
    """An accuracy or an F1, or their spread, between 0 and 1."""
    POINTS = "points"
    """A difference between scores, in hundredths."""
    NUMBER = "number"
    """Anything else that is measured, in the unit that the heading names."""

    @property
    def right(self) -> bool:
        """Whether cells stand at the right, digit under digit."""
        return self is not Kind.TEXT

    def write(self, value: Any) -> str:
        """A known value as a cell of a terminal."""
        if self in {Kind.TEXT, Kind.COUNT}:
            return str(value)
        if self is Kind.FLAG:
            return "yes" if value else ""
        return "–" if math.isnan(value) else f"{value:.{4 if self is Kind.SCORE else 2}f}"


@dataclass(frozen=True)
class Column:
    """A column of rows by its name there, with the words and the kind of what it holds.

    Attributes:
        name: The key in a row.
        heading: Words for people, units included; a table breaks them where they do.
        kind: Of its values.
        required: Whether every model has it: the row of a model that cannot be had then says so in this place.
        spare: Whether a narrow screen may go without it: how often it was run, and what else is no finding.
    """

    name: str
    heading: str
    kind: Kind = Kind.TEXT
    required: bool = False
    spare: bool = False

    def write(self, row: Row) -> str:
        """The cell of a row; what is unknown is left blank."""
        value = row.get(self.name)
        if value is not None:
            return self.kind.write(value)
        return "missing" if self.required and row.get("kind") == "missing" and self.name not in row else ""


def joined(models: Sequence[str]) -> str:
    """Models that are fused, in one cell."""
    return " + ".join(models)


def column_order(rows: Sequence[Row]) -> list[str]:
    """The names of all columns of `rows`, in the order of first use."""
    return list(dict.fromkeys(name for row in rows for name in row))
