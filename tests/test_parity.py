import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from bodies import resolve

from bench.backends import base
from bench.backends.parity import TEXTS, agreements, compare, to_compare
from bench.backends.settings import ResolvedSettings
from bench.cli.main import cli
from bench.errors import BenchError
from bench.models.resolve import ResolvedModel
from bench.specs import ExtractionSettings


def states(texts: int = 12, layers: int = 3, width: int = 40) -> torch.Tensor:
    return torch.randn(texts, layers, 2, width, generator=torch.Generator().manual_seed(0))


def test_equal_states_agree_and_a_wrong_layer_shows() -> None:
    expected = states()
    assert all(each.error == 0 and each.cosine == pytest.approx(1) for each in agreements(expected, expected, "ab"))
    found = expected.clone()
    found[3, 1, 0] = expected[4, 1, 0]
    wrong = [(each.layer, each.pooling) for each in agreements(expected, found, "ab") if each.error > 1e-6]
    assert wrong == [(1, "a")]


def test_a_massive_activation_does_not_hide_that_the_rest_is_wrong() -> None:
    expected = states()
    expected[..., 7] += 30_000
    found = expected.clone()
    found[..., :7] = states(width=7) * -1
    found[..., 8:] *= -1
    raw = torch.cosine_similarity(expected, found, dim=-1)
    assert raw.min() > 0.999999
    assert all(
        each.error < 1e-3 and each.cosine is not None and each.cosine < 0.5
        for each in agreements(expected, found, "ab")
    )


def test_constant_features_are_left_out() -> None:
    expected = states()
    expected[:, 0] = expected[:1, 0]
    found = expected * (1 + 1e-7 * states())
    layers = {each.layer: each.cosine for each in agreements(expected, found, "ab")}
    assert layers[0] is None
    assert layers[1] == pytest.approx(1)


def test_one_model_is_open_at_a_time(
    tiny: Callable[..., Path], in_model_store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = resolve(str(tiny("BertConfig")))
    events: list[str] = []
    transformers = base.backend("transformers")

    @dataclass
    class Watched:
        name: str
        inner: Any

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def close(self) -> None:
            events.append(f"close {self.name}")

    class Module:
        def __init__(self, name: str) -> None:
            self.name = name

        def open(self, model: ResolvedModel, settings: ResolvedSettings) -> Watched:
            events.append(f"open {self.name}")
            return Watched(self.name, transformers.open(model, settings))

    monkeypatch.setattr("bench.backends.parity.backend", Module)
    monkeypatch.setattr("bench.backends.parity.resolve", lambda asked: ResolvedSettings(**asked.model_dump()))
    (found,) = compare(model, ExtractionSettings(device="cpu"), ["transformers", "vllm"])
    assert events == ["open transformers", "close transformers", "open vllm", "close vllm"]
    assert (found.reference, found.backend, found.texts) == ("transformers", "vllm", len(TEXTS))
    assert found.worst_error == 0
    assert len(found.agreements) == (model.layers + 1) * len(model.poolings)


def test_which_backends_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {name for name in base.BACKENDS if base.backend(name).unavailable() is None}
    for name in base.BACKENDS:
        if name not in installed:
            with pytest.raises(BenchError, match=f"'{name}' cannot be compared: .* is not installed"):
                to_compare("BertModel", ["transformers", name])
    with pytest.raises(BenchError, match="did you mean 'openvino'"):
        to_compare("BertModel", ["transformers", "opnvino"])
    with pytest.raises(BenchError, match="takes two backends, and transformers is alone"):
        to_compare("BertModel", ["transformers"])
    with pytest.raises(BenchError, match="alone here for a SomethingElse"):
        to_compare("SomethingElse")
    if "openvino" in installed:
        assert to_compare("BertModel", ["openvino", "transformers"]) == ["transformers", "openvino"]
        monkeypatch.setattr(base.backend("openvino"), "find_spec", lambda _: None)
    if "vllm" not in installed:
        with pytest.raises(BenchError, match=r"alone here for a BertModel.*pip install 'bench\[openvino\]'"):
            to_compare("BertModel")


@pytest.mark.slow
def test_the_command_compares_openvino_with_transformers(
    minilm: ResolvedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino")
    words = ["doctor", "--parity", minilm.name, "--backends", "transformers,openvino"]
    cli.main([*words, "--json"], standalone_mode=False)
    (found,) = json.loads(capsys.readouterr().out)["parities"]
    assert (found["reference"], found["backend"], found["dtype"]) == ("transformers", "openvino", "float32")
    assert len(found["layers"]) == 3 * (minilm.layers + 1)
    assert found["worst_error"] < 1e-4
    assert found["worst_cosine"] > 0.999
    # BERT's first token is the same for every text before the first block.
    assert [each["cosine"] for each in found["layers"] if (each["layer"], each["pooling"]) == (0, "first")] == [None]
    cli.main(words, standalone_mode=False)
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("mean error", "first cosine", "Largest relative error"))
