"""What a notebook shows of a result: a table and a sentence, and never all that the result holds, such as texts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class Shown:
    """A result that shows itself as a table with words below it; see `to_frame` for all of its numbers."""

    @property
    def shown_words(self) -> str:
        """What stands below the table: the verdict."""
        return ""

    def to_frame(self) -> pd.DataFrame:
        """All of it as a DataFrame."""
        raise NotImplementedError

    def shown_frame(self) -> pd.DataFrame:
        """The columns that a person reads."""
        return self.to_frame()

    def __repr__(self) -> str:
        table = self.shown_frame().to_string(na_rep="–", float_format="{:.4g}".format, max_colwidth=60)
        return "\n\n".join(part for part in (table, self.shown_words) if part)

    def _repr_html_(self) -> str:
        """The same for a notebook; whatever names hold is escaped."""
        table = self.shown_frame().to_html(na_rep="–", float_format="{:.4g}".format, border=0)
        words = "".join(f"<p>{escape(line)}</p>" for line in self.shown_words.split("\n") if line)
        return f"<div>{table}{words}</div>"
