"""Parquet, with the names of classes as the hub's library writes them."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from bench.datasets.tables.table import Hints, Table
from bench.errors import BenchError

if TYPE_CHECKING:
    import pyarrow as pa


def read(raw: bytes, file: str, digest: str, wanted: Collection[str], hints: Hints) -> Table:  # noqa: ARG001 - a Reader
    """The wanted columns.

    Raises:
        BenchError: It is no readable Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = pq.ParquetFile(pa.BufferReader(raw))
        schema = source.schema_arrow
        columns = {name: source.read([name])[name].to_pylist() for name in wanted if name in schema.names}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{file} is no readable Parquet file: {error}.") from None
    return Table(file, digest, tuple(schema.names), columns, _class_names(schema))


def _class_names(schema: "pa.Schema") -> dict[str, tuple[str, ...]]:
    """Names of integer classes as the hub's library writes them into a Parquet schema."""
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    from datasets import ClassLabel, Features

    try:
        features = Features.from_arrow_schema(schema)
    except (KeyError, TypeError, ValueError):
        return {}  # written by something else under that name: the labels are then what the column holds
    return {name: tuple(each.names) for name, each in features.items() if isinstance(each, ClassLabel)}
