"""A study's rows in the paper's own shape: data sets side by side or below one another, as csv, Markdown and LaTeX."""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.escaping import csv_file, shown
from bench.reproduce.columns import Row
from bench.reproduce.study import PaperStudy
from bench.reproduce.writing import markdown

if TYPE_CHECKING:
    import pandas as pd

TEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": 2 * "-",
        "−": "$-$",
        "Δ": r"$\Delta$",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
)
"""What is no letter to LaTeX."""


class Cell(NamedTuple):
    """What stands in a place of the table; `under` is set smaller: the layer that it is of."""

    text: str = "–"
    under: str = ""

    @property
    def plain(self) -> str:
        """For files without small print."""
        return f"{self.text} ({self.under})" if self.under else self.text

    @property
    def tex(self) -> str:
        """For LaTeX."""
        small = f"$_{{{self.under.translate(TEX)}}}$" if self.under else ""
        return re.sub(r"^-(?=\d)", "$-$", self.text.translate(TEX)) + small


def score(value: float | None, layer: int | None = None) -> Cell:
    """An accuracy or an F1 to three digits, as the paper prints them."""
    return Cell() if value is None else Cell(f"{value:.3f}", "" if layer is None else str(layer))


def extremes(low: float | None, high: float | None) -> Cell:
    """From the lowest to the highest, or one number where they are the same."""
    if low is None or high is None:
        return Cell()
    ends = [f"{low:.3f}", f"{high:.3f}"]
    return Cell("–".join(dict.fromkeys(ends)))


class TableLine(NamedTuple):
    """A line of the table of one data set: what it is, and what stands in it."""

    about: tuple[str, ...]
    cells: tuple[Cell, ...]


class Over(Enum):
    """Where the data sets of a run stand in a table."""

    COLUMNS = "each has columns of its own"
    LINES = "each has lines of its own"
    ONCE = "nowhere: what several say alike stands once"


@dataclass(frozen=True)
class PaperTable:
    """How the paper lays a study out, or a section of it.

    Attributes:
        name: Of its files: ``table2``.
        about: Headings of what tells lines apart.
        columns: Headings of the cells.
        over: Where data sets stand.
        lines: From a study's rows on a data set to the lines.
    """

    name: str
    about: tuple[str, ...]
    columns: tuple[str, ...]
    over: Over
    lines: Callable[[Sequence[Row]], Iterable[TableLine]]

    def table(self, found: Mapping[str, Sequence[Row]]) -> "pd.DataFrame":
        """The table over data sets, from a study's rows on each; its values are of `Cell`."""
        import pandas as pd

        each = {dataset: list(self.lines(rows)) for dataset, rows in found.items()}
        if self.over is Over.COLUMNS:
            return self._beside(each)
        names, lines = list(self.about), [line for of in each.values() for line in of]
        if self.over is Over.LINES:
            names = ["data set", *names]
            lines = [TableLine((dataset, *about), cells) for dataset, of in each.items() for about, cells in of]
        lines = list(dict.fromkeys(lines))
        index = pd.MultiIndex.from_tuples([line.about for line in lines], names=names)
        return pd.DataFrame([line.cells for line in lines], index, pd.Index(self.columns), dtype=object)

    def _beside(self, each: Mapping[str, Sequence[TableLine]]) -> "pd.DataFrame":
        import pandas as pd

        about = list(dict.fromkeys(line.about for lines in each.values() for line in lines))
        places = {dataset: {line.about: line.cells for line in lines} for dataset, lines in each.items()}
        missing = (Cell(),) * len(self.columns)
        joined = [[cell for place in places.values() for cell in place.get(key, missing)] for key in about]
        columns = pd.MultiIndex.from_product([list(each), list(self.columns)])
        index = pd.MultiIndex.from_tuples(about, names=list(self.about))
        return pd.DataFrame(joined, index=index, columns=columns, dtype=object)

    def files(self, found: Mapping[str, Sequence[Row]]) -> dict[str, bytes]:
        """File name → content: the table as csv, Markdown, and LaTeX for the package booktabs."""
        table = self.table(found)
        if table.empty:
            return {}
        header = [*map(str, table.index.names)]
        header += [" ".join(key) if self.over is Over.COLUMNS else str(key) for key in table.columns]
        lines = [[*key, *(cell.plain for cell in line)] for key, line in zip(table.index, _cells(table), strict=True)]
        return {
            f"{self.name}.csv": csv_file(header, lines),
            f"{self.name}.md": (
                shown(markdown([dict(zip(header, line, strict=True)) for line in lines])) + "\n"
            ).encode(),
            f"{self.name}.tex": _latex(table).encode(),
        }


def _cells(table: "pd.DataFrame") -> list[list[Cell]]:
    return [[Cell(*cell) for cell in line] for line in table.to_numpy()]


def _tex(cell: Any) -> str:
    return Cell(*cell).tex


def _latex(table: "pd.DataFrame") -> str:
    words = table.index.nlevels * "l" + table.shape[1] * "r"
    named = table.rename_axis(index=[str(name).translate(TEX) for name in table.index.names])
    style = named.style.format(_tex)
    style = style.format_index(lambda word: str(word).translate(TEX), axis=0)
    style = style.format_index(lambda word: str(word).translate(TEX), axis=1)
    out = io.StringIO()
    out.write("% packages: booktabs, multirow\n")
    style.to_latex(out, hrules=True, column_format=words, multicol_align="c", multirow_align="t")
    return out.getvalue()


def laid_out(
    entry: PaperStudy, name: str, *, about: tuple[str, ...], columns: tuple[str, ...], over: Over = Over.COLUMNS
) -> Callable[[Callable[[Sequence[Row]], Iterable[TableLine]]], Callable[..., Iterable[TableLine]]]:
    """Enter a table that the paper makes of a study: the decorated function gives the lines of a data set."""

    def register(function: Callable[[Sequence[Row]], Iterable[TableLine]]) -> Callable[..., Iterable[TableLine]]:
        PAPER_TABLES.setdefault(entry.name, []).append(PaperTable(name, about, columns, over, function))
        return function

    return register


PAPER_TABLES: dict[str, list[PaperTable]] = {}
"""By the name of the study: the table, or its sections one below the other."""


def laid_out_files(name: str, found: Mapping[str, Sequence[Row]]) -> dict[str, bytes]:
    """File name → content of what the paper makes of a study, from its rows on each data set."""
    return {file: content for table in PAPER_TABLES.get(name, ()) for file, content in table.files(found).items()}


def baselines(rows: Sequence[Row], width: int) -> Iterable[TableLine]:
    """The text baselines, below what the paper has, where lines say `width` things."""
    for row in rows:
        if row.get("kind") == "baseline":
            about = ("",) * (width - 1) + (str(row["model"]),)
            yield TableLine(about, (score(row.get("accuracy_mean")), score(row.get("f1_mean"))))
