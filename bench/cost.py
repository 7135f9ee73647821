"""What a model costs: milliseconds a text up to each layer, and memory.

Measured once before a study's trials, in the study's own settings, and frozen with it; a candidate's cost is then
arithmetic.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.backends.memory import give_back_freed_memory
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError, nearest
from bench.measures import LATENCY, prices
from bench.specs import Candidate, Source, Spec

if TYPE_CHECKING:
    from bench.backends.base import Backend

GIB = 2**30
# At least this many texts are timed one by one, however slow the model.
FEWEST_SINGLES = 4
# While this process waits: long enough to see who else computes.
GLANCE_SECONDS = 0.3


class ModelCost(Spec):
    """One model's cost on a sample of `texts` texts, which is the same for every model of a study.

    `layer_ms[i]` is the milliseconds that a text takes in batches up to and including layer i, tokenisation included
    (the median over `repeats` passes of the whole sample); `p50_ms` and `p95_ms` are those of texts that come one by
    one, all layers, over `singles` texts of the sample, `repeats` times each.
    `layers_estimated`: the backend measures the whole pass alone, and the layers before the last are shares of it.
    `peak_memory_gb` is in GiB, weights included: device memory on CUDA, resident memory elsewhere.
    `busy` is the share of the processors that others used just before: times of a busy machine are too high.
    """

    model: str
    settings: ResolvedSettings
    texts: int
    tokens: int
    repeats: int
    singles: int
    layer_ms: Annotated[tuple[float, ...], Field(min_length=1)]
    p50_ms: float
    p95_ms: float
    tokens_per_second: float
    load_seconds: float
    peak_memory_gb: float
    layers_estimated: bool = False
    busy: float = 0.0


def measure(
    backend: Backend, texts: Sequence[str], seed: int, *, sample: int = 32, repeats: int = 3, seconds: float = 10.0
) -> ModelCost:
    """Time `backend` on a seeded sample of `texts`, stratified by length, in about `seconds`.

    The sample depends on `texts`, `seed` and `sample` only, so that models are compared on the same texts. A slow
    model makes fewer than `repeats` passes, at least one, and fewer texts are timed one by one. Passes and single
    texts alternate, so that a disturbance hits both.

    Raises:
        BenchError: there are no texts.
    """
    import numpy as np
    import psutil

    if not texts:
        raise BenchError("There are no texts to measure the cost on.")
    busy = psutil.cpu_percent(interval=GLANCE_SECONDS) / 100
    drawn = _stratified(texts, sample, seed)
    rows = range(len(drawn))
    with _PeakMemory() as memory:
        each = _warm_up(backend, _stratified(drawn, FEWEST_SINGLES, seed))
        repeats = max(1, min(repeats, int(seconds / (each * (len(drawn) + FEWEST_SINGLES)))))
        alone = _stratified(drawn, max(FEWEST_SINGLES, int(seconds / (each * repeats)) - len(drawn)), seed)
        passes: list[list[float]] = []
        singles: list[float] = []
        for _ in range(repeats):
            started = time.perf_counter()
            encoded = backend.encode(drawn)
            tokenising = time.perf_counter() - started
            times = backend.time_layers(encoded, rows)
            passes.append([tokenising + passed for passed in times.seconds])
            singles += [_single(backend, text) for text in alone]
    layers = [statistics.median(column) for column in zip(*passes, strict=True)]
    tokens = int(encoded.lengths.sum())
    return ModelCost(
        model=backend.model.name,
        settings=backend.settings,
        texts=len(drawn),
        tokens=tokens,
        repeats=repeats,
        singles=len(alone),
        layer_ms=tuple(1000 * value / len(drawn) for value in layers),
        p50_ms=1000 * float(np.quantile(singles, 0.5)),
        p95_ms=1000 * float(np.quantile(singles, 0.95)),
        tokens_per_second=tokens / layers[-1],
        load_seconds=backend.load_seconds,
        peak_memory_gb=memory.device_gb or backend.weights_gb + memory.grown_gb,
        layers_estimated=times.estimated,
        busy=busy,
    )


def costs_of(costs: Mapping[str, ModelCost], candidate: Candidate) -> dict[str, float]:
    """What `candidate` costs, by the names of the measures that are costs (see `bench.measures`)."""
    return prices(_uses(costs, candidate.sources))


def latency_ms(costs: Mapping[str, ModelCost], candidate: Candidate) -> float:
    """Milliseconds a text of `candidate`: each distinct model up to the deepest layer that is used of it, summed."""
    return costs_of(costs, candidate)["latency_ms"]


def single_ms(costs: Mapping[str, ModelCost], candidate: Candidate) -> float:
    """Milliseconds of a text that comes by itself: of each model the median, by its share of the layers' time."""
    return sum(
        cost.p50_ms * cost.layer_ms[layer] / cost.layer_ms[-1] for cost, layer in _uses(costs, candidate.sources)
    )


def costs_of_cascade(
    costs: Mapping[str, ModelCost], stages: Sequence[Candidate], reached: Sequence[float], resumable: Collection[str]
) -> dict[str, float]:
    """What a cascade costs a text in the mean, by measure.

    The first stage is paid for every text, a further one for the share of them that comes to it (`reached`, of each
    stage but the first), and of it only what no stage before has computed. A deeper layer of a model that has run
    costs what is between where its passes can go on (`resumable` names such models), and a whole pass elsewhere. What
    is no time (memory) is that of all stages together.
    """
    found = prices(_uses(costs, [source for stage in stages for source in stage.sources]))
    deepest: dict[str, int] = {}
    milliseconds = 0.0
    for stage, share in zip(stages, (1.0, *reached), strict=True):
        for model, layer in _deepest(stage.sources).items():
            ms, done = _cost(costs, model).layer_ms, deepest.get(model)
            if done is not None and layer <= done:
                continue
            milliseconds += share * (ms[layer] - (ms[done] if done is not None and model in resumable else 0.0))
            deepest[model] = layer
    return found | {LATENCY.name: milliseconds}


def starts_again(stages: Sequence[Candidate], resumable: Collection[str]) -> bool:
    """Whether a stage of a cascade needs a deeper layer of a model that has run, and whose passes cannot go on.

    `layer_ms` does not price that: an engine may compute all layers whichever is asked for, or compile anew where the
    depth changes.
    """
    deepest: dict[str, int] = {}
    for stage in stages:
        for model, layer in _deepest(stage.sources).items():
            if model not in resumable and layer > deepest.get(model, layer):
                return True
            deepest[model] = max(layer, deepest.get(model, layer))
    return False


def latency_estimated(costs: Mapping[str, ModelCost], candidate: Candidate) -> bool:
    """Whether `latency_ms` holds a share that was not measured: a backend timed a model's whole pass alone."""
    return any(
        cost.layers_estimated and layer < len(cost.layer_ms) - 1 for cost, layer in _uses(costs, candidate.sources)
    )


def memory_gb(costs: Mapping[str, ModelCost], candidate: Candidate) -> float:
    """GiB that `candidate` takes with all its distinct models loaded: the sum of their peaks."""
    return costs_of(costs, candidate)["memory_gb"]


def _uses(costs: Mapping[str, ModelCost], sources: Iterable[Source]) -> list[tuple[ModelCost, int]]:
    return [(_cost(costs, model), layer) for model, layer in _deepest(sources).items()]


def _deepest(sources: Iterable[Source]) -> dict[str, int]:
    """The deepest layer that is used of each distinct model."""
    deepest: dict[str, int] = {}
    for source in sources:
        deepest[source.model] = max(source.layer, deepest.get(source.model, 0))
    return deepest


def _cost(costs: Mapping[str, ModelCost], model: str) -> ModelCost:
    if model not in costs:
        raise BenchError(f"The cost of model '{model}' was not measured: {nearest(model, costs)}")
    return costs[model]


def _single(backend: Backend, text: str) -> float:
    started = time.perf_counter()
    backend.time_layers(backend.encode([text]), [0])
    return time.perf_counter() - started


def _stratified(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """One text drawn from each of `count` equal bins of `texts` by length in characters; all, where there are fewer."""
    import numpy as np

    generator = np.random.default_rng(seed)
    by_length = np.argsort([len(text) for text in texts], kind="stable")
    return [texts[generator.choice(rows)] for rows in np.array_split(by_length, min(count, len(texts)))]


def _warm_up(backend: Backend, texts: Sequence[str]) -> float:
    """Seconds that a text takes alone, which a text in a batch hardly exceeds."""
    for text in texts:
        _single(backend, text)
    return statistics.mean(_single(backend, text) for text in texts)


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
        give_back_freed_memory()
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
        # A backend may compute in processes of its own, which were started when it was opened.
        processes = [process, *process.children(recursive=True)]

        def resident() -> int:
            return sum(each.memory_info().rss for each in processes if each.is_running())

        start = resident()
        while not self._stop.wait(self.interval_seconds):
            self.grown_gb = max(self.grown_gb, (resident() - start) / GIB)
