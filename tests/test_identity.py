"""The keys under which the stores of users lie: they may not change, and each belongs to a group."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.backends import base, tokenizer
from bench.backends.settings import ResolvedSettings
from bench.extraction import identity
from bench.gate.baseline import ModelFacts
from bench.identity import GROUPS, PINNED, KeyGroup, group_of, only
from bench.models.resolve import resolve
from bench.store import Store

FILES = {"weights": "0" * 64, "tokenizer": "1" * 64, "config": "2" * 64}
TOKENS = {"tokenizers": "0.23.3", "max_length": 64, "truncation": "right", "special_tokens": True, "prompt": ""}
LAST = {"norm": "final norm on the last layer", "kernels": 1, "storage_dtype": "float32"}
MADE_WITH = {"torch": "2.13.0", "transformers": "5.19.0", "device": "cpu", "dtype": "float32"}
# Backend → what it said of itself at commit ae98f55, and the fingerprint under which its rows are stored since.
KNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "transformers": (
        MADE_WITH | {"quantization": "none", "attention": "bench_packed", "linear": "onednn-packed"},
        "2ab1cbc88fd428fe",
    ),
    "openvino": ({"openvino": "2026.0"} | MADE_WITH, "543aa4919cfa16bf"),
    "vllm": (
        {"vllm": "0.32.0"} | MADE_WITH | {"quantization": "none", "attention": "CPU_ATTN", "tensor_parallel": 1},
        "48b719f51209e689",
    ),
}
VERSIONS = {"openvino", "tokenizers", "torch", "transformers", "vllm"}


def known(name: str) -> dict[str, Any]:
    return {"model": "bert", **FILES, "backend": name, **KNOWN[name][0], **TOKENS, **LAST}


@pytest.mark.parametrize("name", KNOWN)
def test_a_shelf_is_found_under_the_fingerprint_that_it_always_had(name: str, tmp_path: Path) -> None:
    shelf = Store(tmp_path).shelf(known(name))
    assert shelf.fingerprint == KNOWN[name][1]
    assert Store(tmp_path).shelf(known(name) | {"model": "another name"}).fingerprint == shelf.fingerprint


@pytest.mark.parametrize("name", KNOWN)
def test_a_backend_says_what_it_always_said_and_each_key_has_a_group(
    name: str, tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, model_store: Path, in_model_store: None
) -> None:
    for module in (base.backend(name), tokenizer):
        # a backend need not be installed to be asked
        monkeypatch.setattr(module, "version", lambda _: "1.0", raising=False)
    model = resolve(str(tiny("BertConfig")), model_store)
    found = identity(model, ResolvedSettings(backend=name, device="cpu", max_length=64))
    expected = known(name)
    assert found.keys() == expected.keys() <= GROUPS.keys()
    # what the machine and its software decide, and what the body's own files are
    free = VERSIONS | {"model", "linear", *FILES}
    assert {key: found[key] for key in found.keys() - free} == {key: expected[key] for key in expected.keys() - free}


def test_every_key_is_in_one_part() -> None:
    whole = known("transformers")
    parts = [only(whole, group) for group in KeyGroup]
    assert sorted(key for each in parts for key in each) == sorted(whole)
    assert group_of("what a plugin's backend adds") is KeyGroup.ENVIRONMENT


def test_an_older_baseline_s_keys_are_sorted_as_now() -> None:
    whole = known("transformers")
    then = {key: whole[key] for key in ("backend", "norm", "torch", "device")}
    facts = {"texts": 1, "tokens": 1, "truncated": 0, "latency": 1.0, "places": {}, "values": {}}
    old = ModelFacts.model_validate({"identity": FILES, "environment": then, **facts})
    assert old.identity == {**FILES, "backend": "transformers", "norm": whole["norm"]}
    assert old.environment == {"torch": "2.13.0", "device": "cpu"}
    assert set(old.identity) == {key for key in {**FILES, **then} if group_of(key) in PINNED}
