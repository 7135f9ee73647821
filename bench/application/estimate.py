"""Hours and money of an application, from rates that were measured and from none that were not."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.packaging.pipeline import PackagedPipeline

ROWS = 1_000_000_000


@dataclass(frozen=True)
class Rate:
    """Texts a second of one worker, and where that was measured; None where it was not."""

    where: str
    texts_per_second: float | None


@dataclass(frozen=True)
class Estimate:
    """What `rows` texts would take of `workers`: `hours` by the clock, and `cost` at a price of a worker's hour."""

    rate: Rate
    rows: int
    workers: int
    hours: float | None
    cost: float | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def rates_of(pipeline: PackagedPipeline, given: float | None = None) -> list[Rate]:
    """The rate that is given; else the package's own, which its export measured in batches on that one machine."""
    if given is not None:
        return [Rate("as given", given)]
    latency = pipeline.latency
    found = [Rate("where it was exported", None if latency is None else 1000 / latency.measured_ms)]
    on_gpu = any(model.settings.device.startswith("cuda") for model in pipeline.models)
    return found if on_gpu or not pipeline.models else [*found, Rate("a GPU", None)]


def estimated(rates: Sequence[Rate], rows: int, workers: int, price: float | None) -> list[Estimate]:
    """Hours by each rate: workers share nothing and wait for nobody, so that they are rows over rate times workers."""
    found = []
    for rate in rates:
        hours = None if rate.texts_per_second is None else rows / (rate.texts_per_second * workers) / 3600
        cost = None if hours is None or price is None else hours * workers * price
        found.append(Estimate(rate, rows, workers, hours, cost))
    return found
