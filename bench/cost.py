"""What a model costs: milliseconds a text up to each layer, and memory; and what a classifier of texts costs.

Measured once before a study's trials, in the study's own settings, and frozen with it; a candidate's cost is then
arithmetic.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bench.backends.memory import PeakMemory
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError, nearest
from bench.measures import LATENCY, prices
from bench.specs import AnyCandidate, Candidate, Spec, TextCandidate

if TYPE_CHECKING:
    from bench.backends.base import Backend

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
    with PeakMemory() as memory:
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


class TextCost(Spec):
    """What a text classifier costs on a sample of `texts` texts: milliseconds a text in batches, and one by one.

    As for `ModelCost`, over `repeats` passes; it stands among models' costs as a model of one layer (see `text_key`).
    """

    classifier: str
    texts: int
    repeats: int
    layer_ms: Annotated[tuple[float, ...], Field(min_length=1, max_length=1)]
    p50_ms: float
    p95_ms: float
    peak_memory_gb: float
    layers_estimated: bool = False


def text_key(candidate: TextCandidate) -> str:
    """By which a text classifier's cost stands among those of models; no model has such a name."""
    which = "" if candidate.teacher is None else f" {candidate.fingerprint()}"
    return f"text classifier: {candidate.classifier}{which}"


def measure_text(
    classifier: str,
    answer: Callable[[Sequence[str]], object],
    gigabytes: float,
    texts: Sequence[str],
    seed: int,
    *,
    sample: int = 32,
    repeats: int = 5,
) -> TextCost:
    """Time what answers texts, on the sample that `measure` takes of the same `texts`, in well under a second."""
    import numpy as np

    drawn = _stratified(texts, sample, seed)
    answer(drawn)
    passes, singles = [], []
    for _ in range(repeats):
        passes.append(_timed(answer, drawn))
        singles += [_timed(answer, [text]) for text in drawn]
    return TextCost(
        classifier=classifier,
        texts=len(drawn),
        repeats=repeats,
        layer_ms=(1000 * statistics.median(passes) / len(drawn),),
        p50_ms=1000 * float(np.quantile(singles, 0.5)),
        p95_ms=1000 * float(np.quantile(singles, 0.95)),
        peak_memory_gb=gigabytes,
    )


def _timed(answer: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    started = time.perf_counter()
    answer(texts)
    return time.perf_counter() - started


Costs = Mapping[str, ModelCost | TextCost]
"""By a model's name, or a text classifier's `text_key`."""


def costs_of(costs: Costs, candidate: AnyCandidate) -> dict[str, float]:
    """What `candidate` costs, by the names of the measures that are costs (see `bench.measures`)."""
    return prices(_uses(costs, [candidate]))


def latency_ms(costs: Costs, candidate: Candidate) -> float:
    """Milliseconds a text of `candidate`: each distinct model up to the deepest layer that is used of it, summed."""
    return costs_of(costs, candidate)["latency_ms"]


def single_ms(costs: Costs, candidate: AnyCandidate) -> float:
    """Milliseconds of a text that comes by itself: of each model the median, by its share of the layers' time."""
    return sum(cost.p50_ms * cost.layer_ms[layer] / cost.layer_ms[-1] for cost, layer in _uses(costs, [candidate]))


def costs_of_cascade(
    costs: Costs, stages: Sequence[AnyCandidate], reached: Sequence[float], resumable: Collection[str]
) -> dict[str, float]:
    """What a cascade costs a text in the mean, by measure.

    The first stage is paid for every text, a further one for the share of them that comes to it (`reached`, of each
    stage but the first), and of it only what no stage before has computed. A deeper layer of a model that has run
    costs what is between where its passes can go on (`resumable` names such models), and a whole pass elsewhere. What
    is no time (memory) is that of all stages together.
    """
    found = prices(_uses(costs, stages))
    deepest: dict[str, int] = {}
    milliseconds = 0.0
    for stage, share in zip(stages, (1.0, *reached), strict=True):
        for model, layer in _deepest([stage]).items():
            ms, done = _cost(costs, model).layer_ms, deepest.get(model)
            if done is not None and layer <= done:
                continue
            milliseconds += share * (ms[layer] - (ms[done] if done is not None and model in resumable else 0.0))
            deepest[model] = layer
    return found | {LATENCY.name: milliseconds}


def starts_again(stages: Sequence[AnyCandidate], resumable: Collection[str]) -> bool:
    """Whether a stage of a cascade needs a deeper layer of a model that has run, and whose passes cannot go on.

    `layer_ms` does not price that: an engine may compute all layers whichever is asked for, or compile anew where the
    depth changes.
    """
    deepest: dict[str, int] = {}
    for stage in stages:
        for model, layer in _deepest([stage]).items():
            if model not in resumable and layer > deepest.get(model, layer):
                return True
            deepest[model] = max(layer, deepest.get(model, layer))
    return False


def latency_estimated(costs: Costs, candidate: AnyCandidate) -> bool:
    """Whether `latency_ms` holds a share that was not measured: a backend timed a model's whole pass alone."""
    return any(cost.layers_estimated and layer < len(cost.layer_ms) - 1 for cost, layer in _uses(costs, [candidate]))


def memory_gb(costs: Costs, candidate: Candidate) -> float:
    """GiB that `candidate` takes with all its distinct models loaded: the sum of their peaks."""
    return costs_of(costs, candidate)["memory_gb"]


def _uses(costs: Costs, stages: Iterable[AnyCandidate]) -> list[tuple[ModelCost | TextCost, int]]:
    return [(_cost(costs, model), layer) for model, layer in _deepest(stages).items()]


def _deepest(stages: Iterable[AnyCandidate]) -> dict[str, int]:
    """The deepest layer that is used of each distinct model; a text classifier has one."""
    deepest: dict[str, int] = {}
    for stage in stages:
        if isinstance(stage, TextCandidate):
            deepest[text_key(stage)] = 0
        for source in stage.sources:
            deepest[source.model] = max(source.layer, deepest.get(source.model, 0))
    return deepest


def _cost(costs: Costs, model: str) -> ModelCost | TextCost:
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
