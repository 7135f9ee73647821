"""Rows that a person has in memory, kept as a file, so that a study of them can be opened again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.files import atomic

if TYPE_CHECKING:
    import pandas as pd


def is_frame(value: Any) -> bool:
    """Whether that is a pandas DataFrame; pandas is not loaded for it."""
    return type(value).__name__ == "DataFrame" and type(value).__module__.partition(".")[0] == "pandas"


def kept(frame: pd.DataFrame, folder: Path) -> str:
    """The path of a Parquet file in `folder` that holds the rows of a frame; equal frames have one file.

    The file can be read by its owner alone, since it holds whatever the frame does. The index is left out.

    Raises:
        BenchError: a column's name is no text, there are no rows, or values have no form in Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if odd := [name for name in frame.columns if not isinstance(name, str)]:
        raise BenchError(f"The frame has a column {odd[0]!r}, whose name is no text: rename it.")
    if not len(frame):
        raise BenchError("The frame has no rows.")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise BenchError(f"The frame cannot be kept as Parquet: {' '.join(str(error).split())}.") from error
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    path = folder / f"frame-{hashlib.sha256(content).hexdigest()[:12]}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_bytes(content)
        path.chmod(0o600)
    return str(path)
