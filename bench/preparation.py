"""What comes before any candidate: the store is filled, and each model timed, with one in memory at a time."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.cost import ModelCost, measure
from bench.executors.base import Executor
from bench.extraction import all_devices, extract, first_of
from bench.material import Material
from bench.progress import Progress
from bench.proof import open_model

BUSY = 0.2
"""Share of the processors in others' use beyond which times are not to be trusted."""


@dataclass
class Clock:
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of the block to a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def extract_and_measure(
    material: Material,
    seed: int,
    known: Mapping[str, ModelCost],
    keep: Callable[[dict[str, ModelCost]], None],
    progress: Progress,
    clock: Clock,
    executor: Executor | None = None,
) -> dict[str, ModelCost]:
    """Fill the store and time each model, one after the other, so that only one is in memory at a time.

    `known` costs are taken as they are; `keep` is called with all of them whenever one is added. The workers of an
    `executor` extract, where there is one; models are timed in this process.
    """
    material.check(progress)
    costs = dict(known)
    shared = executor is not None or len(all_devices(material.settings)) > 1
    for need in material.needs:
        name = need.model.name
        if shared:
            with clock.phase("extract"):
                material.fill(need, progress, executor)
        if name in costs and (shared or not need.missing):
            continue
        with clock.phase("extract"):
            progress.say(f"load {name}")
            backend = open_model(need.model, first_of(need.settings), material.store.home, progress)
        try:
            if name not in costs:
                with clock.phase("cost"):
                    costs[name] = measure(backend, material.dataset.train.texts, seed=seed)
                if costs[name].busy > BUSY:
                    progress.warn(
                        f"other programs used {costs[name].busy:.0%} of the processors when {name} was timed; "
                        "its milliseconds are too high."
                    )
                keep(costs)
            if not shared:
                with clock.phase("extract"):
                    extract(need, material.texts, progress, backend=backend)
        finally:
            backend.close()
    return costs
