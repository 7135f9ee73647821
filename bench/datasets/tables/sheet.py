"""Spreadsheets, read by pandas and openpyxl (the extra ``xlsx``)."""

import io
from collections.abc import Collection
from importlib.util import find_spec
from typing import Any

from bench.datasets.tables.table import Hints, Table
from bench.errors import BenchError


def read(raw: bytes, file: str, digest: str, wanted: Collection[str], hints: Hints) -> Table:  # noqa: ARG001 - a Reader
    """The wanted columns of the first sheet; its first row is the header, and rows are numbered as the sheet does.

    Raises:
        BenchError: openpyxl is not installed, or it is no readable workbook.
    """
    import pandas as pd

    if find_spec("openpyxl") is None:
        raise BenchError(
            f"{file}: spreadsheets need openpyxl (python -m pip install 'bench[xlsx]'); or save the sheet as csv."
        )
    try:
        with pd.ExcelFile(io.BytesIO(raw), engine="openpyxl") as book:
            names = [str(name) for name in book.sheet_names]
            frame = pd.read_excel(book, sheet_name=names[0], dtype=object, keep_default_na=False, na_values=[""])
    # openpyxl lets through what zip, XML and its own reader raise
    except Exception as error:  # noqa: BLE001
        raise BenchError(f"{file} is no readable workbook: {error}.") from None
    header = [str(name) for name in frame.columns]
    columns = {name: [_value(value) for value in frame[name].tolist()] for name in wanted if name in header}
    notes = (f"{file}: of {len(names)} sheets the first, '{names[0]}', is read.",) if len(names) > 1 else ()
    return Table(file, digest, tuple(header), columns, lines=range(2, len(frame) + 2), notes=notes)


def _value(value: Any) -> Any:
    """Blank cells are None, as in other formats."""
    return None if isinstance(value, float) and value != value else value
