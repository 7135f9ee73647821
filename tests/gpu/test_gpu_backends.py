"""The backends on CUDA: their contract, how exact they are in each dtype, and how fast.

Written to be run on a machine with a GPU; elsewhere every test says why it is skipped:

    BENCH_TEST_REPORT=gpu.json python -m pytest tests/gpu
"""

import time
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from bodies import extract, reference
from contracts.backends import BackendContract, figures

from bench.backends import base
from bench.backends.parity import agreements
from bench.backends.resolution import resolve as resolve_settings
from bench.models.resolve import ResolvedModel
from bench.specs import ExtractionSettings

__all__ = ["figures"]
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")

ON_CUDA = ("transformers", "vllm")
# dtype → the largest relative error and the smallest cosine of standardised features, worst text, layer and pooling
# but the first token's, whose states hardly depend on the text in the lowest layers.
# In float16 a feature of 1e-7, which MiniLM's last layer has, is lost, and with it any cosine.
EXACT = {"float32": (1e-3, 0.9999), "float16": (1e-2, -1.0), "bfloat16": (0.1, 0.99)}
# SmolLM2's activations lie beyond float16.
REAL = [
    (model, dtype) for model in ("minilm", "smollm2") for dtype in EXACT if (model, dtype) != ("smollm2", "float16")
]


class TestContractOnCuda(BackendContract):
    device = "cuda"
    names = ON_CUDA


@pytest.fixture(params=ON_CUDA)
def name(request: pytest.FixtureRequest) -> str:
    if reason := base.backend(request.param).unavailable():
        pytest.skip(reason)
    return str(request.param)


@pytest.mark.slow
@pytest.mark.parametrize(("body", "dtype"), REAL)
def test_a_real_model_is_as_exact_as_its_dtype_and_its_speed_is_written_down(
    name: str,
    body: str,
    dtype: str,
    texts: Sequence[str],
    figures: list[dict[str, Any]],
    request: pytest.FixtureRequest,
) -> None:
    model: ResolvedModel = request.getfixturevalue(body)
    settings = resolve_settings(ExtractionSettings(backend=name, device="cuda", dtype=dtype, max_length=128))
    opened = base.backend(name).open(model, settings)
    try:
        found = extract(opened, texts)
        many = [*texts] * 300
        tokens = int(opened.encode(many).lengths.sum())
        extract(opened, many)
        started = time.perf_counter()
        extract(opened, many)
        speed = tokens / (time.perf_counter() - started)
    finally:
        opened.close()
    told = agreements(reference(model, texts, "right", max_length=128), found, model.poolings)
    worst = max(each.error for each in told)
    cosine = min(each.cosine for each in told if each.cosine is not None and each.pooling != "first")
    figures.append(
        {
            "check": "real model",
            "backend": name,
            "body": model.name,
            "device": "cuda",
            "dtype": dtype,
            "error": worst,
            "cosine": cosine,
            "tokens_per_second": speed,
        }
    )
    bound, least = EXACT[dtype]
    assert worst < bound
    assert cosine > least
