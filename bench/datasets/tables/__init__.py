"""Files of rows: CSV and TSV in any dialect, JSON, Parquet, spreadsheets, with errors that name every bad line."""

from bench.datasets.tables.parts import TableParts, read_parts
from bench.datasets.tables.read import FORMATS, read_table, refusal, suffix_of
from bench.datasets.tables.table import Hints, Table

__all__ = ["FORMATS", "Hints", "Table", "TableParts", "read_parts", "read_table", "refusal", "suffix_of"]
