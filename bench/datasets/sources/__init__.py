"""Where rows come from, one module a source, each a function from a request to `Fetched`."""

from dataclasses import dataclass

from bench.datasets.columns import Rows
from bench.datasets.dataset import Provenance


class UnavailableError(Exception):
    """This source cannot give the data set here; the reason, as a clause. The next source is tried."""


@dataclass(frozen=True)
class Fetched:
    """Rows as a source holds them; `test` is None where it has a training side only."""

    train: Rows
    test: Rows | None
    provenance: Provenance
    notes: tuple[str, ...] = ()
