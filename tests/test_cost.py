from collections.abc import Sequence

import pytest

from bench.backends import base
from bench.cost import ModelCost, latency_ms, measure, memory_gb
from bench.errors import BenchError
from bench.models.resolve import ResolvedModel
from bench.specs import Candidate, ExtractionSettings, Source


def cost(model: str, *layer_ms: float, memory: float = 1.0) -> ModelCost:
    return ModelCost(
        model=model,
        settings=ExtractionSettings(),
        texts=1,
        tokens=1,
        repeats=1,
        layer_ms=layer_ms,
        p50_ms=1,
        p95_ms=1,
        tokens_per_second=1,
        load_seconds=1,
        peak_memory_gb=memory,
    )


COSTS = {"a": cost("a", 1, 2, 4), "b": cost("b", 10, 20, memory=0.5)}


def candidate(*sources: tuple[str, int]) -> Candidate:
    return Candidate(
        sources=tuple(Source(model=model, layer=layer, pooling="mean") for model, layer in sources),
        fusion="concat" if len(sources) > 1 else "none",
    )


def test_a_candidate_costs_each_model_once_up_to_its_deepest_layer() -> None:
    assert latency_ms(COSTS, candidate(("a", 1))) == 2
    assert latency_ms(COSTS, candidate(("a", 2), ("a", 0))) == 4
    assert latency_ms(COSTS, candidate(("a", 2), ("a", 0), ("b", 0))) == 14
    assert memory_gb(COSTS, candidate(("a", 2), ("a", 0), ("b", 0))) == 1.5
    with pytest.raises(BenchError, match="model 'c' was not measured"):
        latency_ms(COSTS, candidate(("c", 0)))


def test_a_real_model_is_measured_layer_by_layer(minilm: ResolvedModel, texts: Sequence[str]) -> None:
    opened = base.backend("transformers").open(minilm, ExtractionSettings(device="cpu"))
    found = measure(opened, list(texts) * 4, seed=0, sample=12, repeats=2, seconds=600)
    assert found.texts == 12
    assert len(found.layer_ms) == minilm.layers + 1
    assert list(found.layer_ms) == sorted(found.layer_ms)
    assert 0 < found.layer_ms[0] < found.layer_ms[-1]
    assert 0 < found.p50_ms <= found.p95_ms
    assert found.peak_memory_gb >= opened.weights_gb > 0.08
    assert ModelCost.model_validate_json(found.model_dump_json()) == found


def test_a_slow_model_is_timed_on_fewer_texts(minilm: ResolvedModel, texts: Sequence[str]) -> None:
    opened = base.backend("transformers").open(minilm, ExtractionSettings(device="cpu"))
    assert measure(opened, list(texts), seed=0, repeats=1, seconds=1e-9).texts == 4
    with pytest.raises(BenchError, match="no texts"):
        measure(opened, [], seed=0)
