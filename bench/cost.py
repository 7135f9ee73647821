"""What a model costs: milliseconds a text up to each layer, and memory.

Measured once before a study's trials, in the study's own settings, and frozen with it; a candidate's cost is then
arithmetic.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.errors import BenchError, nearest
from bench.specs import Candidate, ExtractionSettings, Spec

if TYPE_CHECKING:
    from bench.backends.base import Backend

GIB = 2**30
# At least this many texts are timed, however slow the model.
FEWEST_TEXTS = 4


class ModelCost(Spec):
    """One model's cost on one sample of texts.

    `layer_ms[i]` is the milliseconds that a text takes in batches up to and including layer i, tokenisation included
    (the median over `repeats` passes); `p50_ms` and `p95_ms` are those of texts that come one by one, all layers.
    `peak_memory_gb` is in GiB, weights included: device memory on CUDA, resident memory elsewhere.
    """

    model: str
    settings: ExtractionSettings
    texts: int
    tokens: int
    repeats: int
    layer_ms: Annotated[tuple[float, ...], Field(min_length=2)]
    p50_ms: float
    p95_ms: float
    tokens_per_second: float
    load_seconds: float
    peak_memory_gb: float


def measure(
    backend: Backend, texts: Sequence[str], seed: int, *, sample: int = 64, repeats: int = 3, seconds: float = 10.0
) -> ModelCost:
    """Time `backend` on a seeded sample of `texts`, in about `seconds`.

    Batched passes and single texts alternate, so that a disturbance hits both. A model too slow for the whole sample
    is timed on the first part of it.

    Raises:
        BenchError: there are no texts.
    """
    import numpy as np

    if not texts:
        raise BenchError("There are no texts to measure the cost on.")
    chosen = np.random.default_rng(seed).permutation(len(texts))[:sample]
    drawn = [texts[index] for index in chosen]
    with _PeakMemory() as memory:
        drawn = drawn[: _affordable(backend, drawn, repeats, seconds)]
        rows = range(len(drawn))
        passes: list[list[float]] = []
        singles: list[float] = []
        for _ in range(repeats):
            started = time.perf_counter()
            encoded = backend.encode(drawn)
            tokenising = time.perf_counter() - started
            passes.append([tokenising + passed for passed in backend.time_layers(encoded, rows)])
            singles += [_single(backend, text) for text in drawn]
    layers = [statistics.median(column) for column in zip(*passes, strict=True)]
    tokens = int(encoded.lengths.sum())
    return ModelCost(
        model=backend.model.name,
        settings=backend.settings,
        texts=len(drawn),
        tokens=tokens,
        repeats=repeats,
        layer_ms=tuple(1000 * value / len(drawn) for value in layers),
        p50_ms=1000 * float(np.quantile(singles, 0.5)),
        p95_ms=1000 * float(np.quantile(singles, 0.95)),
        tokens_per_second=tokens / layers[-1],
        load_seconds=backend.load_seconds,
        peak_memory_gb=memory.device_gb or backend.weights_gb + memory.grown_gb,
    )


def latency_ms(costs: Mapping[str, ModelCost], candidate: Candidate) -> float:
    """Milliseconds a text of `candidate`: each distinct model up to the deepest layer that is used of it, summed."""
    deepest: dict[str, int] = {}
    for source in candidate.sources:
        deepest[source.model] = max(source.layer, deepest.get(source.model, 0))
    return sum(_cost(costs, model).layer_ms[layer] for model, layer in deepest.items())


def memory_gb(costs: Mapping[str, ModelCost], candidate: Candidate) -> float:
    """GiB that `candidate` takes with all its distinct models loaded: the sum of their peaks."""
    return sum(_cost(costs, model).peak_memory_gb for model in candidate.models)


def _cost(costs: Mapping[str, ModelCost], model: str) -> ModelCost:
    if model not in costs:
        raise BenchError(f"The cost of model '{model}' was not measured: {nearest(model, costs)}")
    return costs[model]


def _single(backend: Backend, text: str) -> float:
    started = time.perf_counter()
    backend.time_layers(backend.encode([text]), [0])
    return time.perf_counter() - started


def _affordable(backend: Backend, texts: Sequence[str], repeats: int, seconds: float) -> int:
    """How many of `texts` can be timed within `seconds`; warms the model up on the way."""
    first = texts[:FEWEST_TEXTS]
    for text in first:
        _single(backend, text)
    each = statistics.median(_single(backend, text) for text in first)
    # A text is passed once in a batch, which is no slower, and once alone.
    return max(len(first), min(len(texts), int(seconds / (2 * repeats * each))))


class _PeakMemory:
    """The peak of memory within a ``with`` block: `device_gb` on CUDA, else `grown_gb` of resident memory."""

    interval_seconds = 0.005

    def __init__(self) -> None:
        self.grown_gb = 0.0
        self.device_gb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> _PeakMemory:
        import torch

        if torch.cuda.is_available():
            for device in range(torch.cuda.device_count()):
                torch.cuda.reset_peak_memory_stats(device)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        import torch

        self._stop.set()
        self._thread.join()
        if torch.cuda.is_available():
            devices = range(torch.cuda.device_count())
            self.device_gb = sum(torch.cuda.max_memory_allocated(device) for device in devices) / GIB

    def _sample(self) -> None:
        import psutil

        process = psutil.Process()
        start = process.memory_info().rss
        while not self._stop.wait(self.interval_seconds):
            self.grown_gb = max(self.grown_gb, (process.memory_info().rss - start) / GIB)
