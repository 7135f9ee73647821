"""The texts of a file, in order: a column of a table, or a text a line."""

from pathlib import Path

from bench.datasets.tables import read_table, suffix_of
from bench.datasets.tables.encoding import content, decoded
from bench.errors import BenchError, nearest


def read_texts(path: Path, column: str | None = None) -> list[str]:
    """The texts of `path`: a column (``text`` unless named) of csv, tsv, jsonl, json or Parquet, else a text a line.

    Raises:
        BenchError: the file cannot be read, is not UTF-8, lacks the column, or a row has no text; it names the row.
    """
    return _lines(path, column) if suffix_of(path.name) is None else _column(path, column or "text")


def _column(path: Path, column: str) -> list[str]:
    table = read_table(path, {column})
    if column not in table.names:
        raise BenchError(
            f"{table.file} has no column '{column}' ({nearest(column, table.names)}): choose one with `text_column`."
        )
    for row, text in enumerate(table.columns[column]):
        if text is not None and not isinstance(text, str):
            raise BenchError(
                f"{table.where(row)}: column '{column}' holds {type(text).__name__}, not text; choose the column with "
                "`text_column`."
            )
        if text is None or not text or text.isspace():
            raise BenchError(f"{table.where(row)}: the text is empty: leave the row out.")
    return table.columns[column]


def _lines(path: Path, column: str | None) -> list[str]:
    if column is not None:
        raise BenchError(f"{path.name} has a text a line and no columns: leave out `text_column`.")
    # Only a line feed ends a text: str.splitlines would also cut at characters that texts may hold.
    texts = [line.removesuffix("\r") for line in decoded(content(path), path.name)[0].removesuffix("\n").split("\n")]
    for number, text in enumerate(texts, 1):
        if not text or text.isspace():
            raise BenchError(f"{path.name}, line {number}: the text is empty: leave the line out.")
    return texts
