"""A user's own file or files."""

from pathlib import Path

from bench.datasets.columns import Columns, rows_of
from bench.datasets.dataset import Provenance
from bench.datasets.sources import Fetched
from bench.datasets.tables import Hints, read_table


def fetch(train: Path, test: Path | None, columns: Columns, hints: Hints) -> Fetched:
    """The rows of a file, and of the test file where there is one."""
    table = read_table(train, columns.wanted, hints=hints)
    other = None if test is None else read_table(test, columns.wanted, hints=hints)
    files = {each.file: each.sha256 for each in (table, other) if each is not None}
    return Fetched(
        rows_of(table, "train", columns),
        None if other is None else rows_of(other, "test", columns),
        Provenance(kind="file", description=" and ".join(files), files=files),
    )
