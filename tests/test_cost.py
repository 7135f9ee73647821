import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
import pytest
from costs import made_up

from bench.backends import base
from bench.backends.resolution import resolve as resolve_settings
from bench.cost import ModelCost, _stratified, latency_ms, measure, memory_gb
from bench.errors import BenchError
from bench.models.resolve import ResolvedModel
from bench.specs import Candidate, ExtractionSettings, Source

COSTS = {"a": made_up("a", 1, 2, 4), "b": made_up("b", 10, 20, memory=0.5)}


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
    opened = base.backend("transformers").open(minilm, resolve_settings(ExtractionSettings(device="cpu")))
    found = measure(opened, list(texts) * 4, seed=0, sample=12, repeats=2, seconds=600)
    assert (found.texts, found.repeats, found.singles) == (12, 2, 12)
    assert len(found.layer_ms) == minilm.layers + 1
    assert list(found.layer_ms) == sorted(found.layer_ms)
    assert 0 < found.layer_ms[0] < found.layer_ms[-1]
    assert 0 < found.p50_ms <= found.p95_ms
    assert found.peak_memory_gb >= opened.weights_gb > 0.08
    assert ModelCost.model_validate_json(found.model_dump_json()) == found


def test_a_slow_model_is_timed_on_the_same_texts_less_often(minilm: ResolvedModel, texts: Sequence[str]) -> None:
    opened = base.backend("transformers").open(minilm, resolve_settings(ExtractionSettings(device="cpu")))
    many = list(texts) * 4
    fast, slow = (measure(opened, many, seed=0, sample=12, repeats=2, seconds=seconds) for seconds in (600, 1e-9))
    assert (slow.texts, slow.tokens) == (fast.texts, fast.tokens)
    assert (slow.repeats, slow.singles) == (1, 4)
    few = measure(opened, many[:3], seed=0, repeats=1, seconds=1e-9)
    assert (few.texts, few.singles) == (3, 3)
    with pytest.raises(BenchError, match="no texts"):
        measure(opened, [], seed=0)


def test_the_sample_is_as_long_as_the_texts_whatever_the_seed() -> None:
    lengths = np.random.default_rng(0).lognormal(5, 1, 5000).astype(int) + 1
    texts = [f"{index:05d}".ljust(length, "x") for index, length in enumerate(lengths)]
    mean = np.mean([len(text) for text in texts])
    samples = [_stratified(texts, 32, seed) for seed in range(20)]
    assert all(len(set(sample)) == 32 for sample in samples)
    assert len({tuple(sample) for sample in samples}) == 20
    assert samples[7] == _stratified(texts, 32, 7)
    # the mean of 32 plain draws has a standard error of 23 % here
    assert np.mean([abs(np.mean([len(text) for text in sample]) / mean - 1) for sample in samples]) < 0.1
    assert _stratified(texts[:5], 32, 0) == sorted(texts[:5], key=len)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is kept by glibc's malloc alone")
def test_a_model_is_not_smaller_for_coming_after_another(minilm: ResolvedModel, texts: Sequence[str]) -> None:
    """Its activations would fit into what was freed before, and resident memory would not grow."""
    opened = base.backend("transformers").open(
        minilm, resolve_settings(ExtractionSettings(device="cpu", max_length=128))
    )
    long = [text * 20 for text in texts]
    peaks = [measure(opened, long, seed=0, sample=12, repeats=1, seconds=600).peak_memory_gb for _ in range(3)]
    assert min(peaks) > opened.weights_gb + 0.01


def test_a_busy_machine_is_noticed(minilm: ResolvedModel, texts: Sequence[str]) -> None:
    opened = base.backend("transformers").open(minilm, resolve_settings(ExtractionSettings(device="cpu")))
    quiet = measure(opened, texts, seed=0, repeats=1, seconds=1e-9).busy
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        time.sleep(0.2)
        crowded = measure(opened, texts, seed=0, repeats=1, seconds=1e-9).busy
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert 0 <= quiet <= 1
    assert crowded > 0.8
