"""Model folders as people have them: cloned without Git LFS, torn, edited, with an adapter beside the weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bodies import in_cache, resolve
from conftest import edit_config
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from bench.backends import resolution
from bench.backends.opening import check_openable
from bench.errors import BenchError
from bench.models.availability import availability
from bench.specs import ExtractionSettings

INPUTS = Path(__file__).with_name("inputs") / "18"
SETTINGS = ExtractionSettings(device="cpu", backend="transformers", max_length=32)
TEXTS = ["oil prices rose", "a"]


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))


@pytest.fixture
def model(tiny: Callable[..., Path], tmp_path: Path) -> Path:
    """A sound model, to be harmed."""
    return Path(shutil.copytree(tiny("BertConfig"), tmp_path / "model"))


def check(folder: Path, texts: list[str] = TEXTS, **options: Any) -> None:
    """What a dry run does with a model."""
    found = resolve(str(folder), **options)
    check_openable(found, resolution.resolve(SETTINGS), texts)


def test_a_sound_model_is_found_sound_without_reading_its_weights(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(model)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"])
def test_a_pointer_of_git_lfs_is_called_so(model: Path, name: str) -> None:
    shutil.copy(INPUTS / "lfs-pointer", model / name)
    with pytest.raises(BenchError, match=f"{name} is a Git LFS pointer.* git lfs pull"):
        check(model)
    assert "Git LFS" in availability(str(model)).reason


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_torn_weights_are_called_so(model: Path, share: float) -> None:
    weights = model / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BenchError, match=r"model.safetensors is (empty|torn or altered).*: fetch it again"):
        check(model)
    assert "fetch it again" in availability(str(model)).reason


@pytest.mark.parametrize("index", json.loads((INPUTS / "indexes.json").read_text()), ids=lambda each: each["says"][:30])
def test_a_broken_index_of_shards_is_said(model: Path, index: dict[str, str]) -> None:
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(index["content"])
    with pytest.raises(BenchError, match=index["says"]):
        check(model)
    assert index["says"] in availability(str(model)).reason


def test_a_shard_that_lacks_what_the_index_says_is_said(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    first, *others = sorted(tensors)
    save_file({name: tensors[name] for name in others}, model / "model-1.safetensors", {"format": "pt"})
    (model / "model.safetensors").unlink()
    weight_map = dict.fromkeys(tensors, "model-1.safetensors")
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    with pytest.raises(BenchError, match=f"lacks 1 of the weights.*{first}"):
        check(model)


def test_the_weights_that_are_hashed_are_those_that_are_loaded(model: Path) -> None:
    """transformers takes one whole file before an index of shards."""
    alone = resolve(str(model)).identity
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": "model-1.safetensors"}}))
    save_file({"x": torch.zeros(1)}, model / "model-1.safetensors")
    assert resolve(str(model)).identity == alone
    check(model)


@pytest.mark.parametrize("config", json.loads((INPUTS / "configs.json").read_text()), ids=lambda each: str(each)[13:45])
def test_a_config_that_does_not_fit_is_said(model: Path, config: dict[str, Any]) -> None:
    edit_config(model, **config["changes"])
    with pytest.raises(BenchError, match=config["says"]):
        check(model)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "7", '"bert"', "\ufeff{}"])
def test_a_config_that_is_no_object_is_said(model: Path, content: str) -> None:
    (model / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(BenchError, match=r"config.json"):
        check(model)
    assert not availability(str(model)).ok


def test_weights_that_are_quantised_and_do_not_say_how_are_refused(model: Path) -> None:
    """A cast would take their codes for values."""
    tensors = load_file(model / "model.safetensors")
    name = "encoder.layer.0.attention.self.query.weight"
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    with pytest.raises(BenchError, match=rf"{name} in model.safetensors is of F8_E4M3"):
        check(model)


def test_an_adapter_beside_the_weights_is_refused(model: Path, hub_cache: Path) -> None:
    shutil.copy(INPUTS / "adapter_config.json", model)
    with pytest.raises(BenchError, match=r"adapter lies beside its weights \(adapter_config.json\).*merge it"):
        check(model)
    in_cache(hub_cache, "owner/name", model)
    assert "adapter" in availability("owner/name").reason
    (model / "config.json").unlink()
    with pytest.raises(BenchError, match=r"no config.json, only an adapter: merge it"):
        check(model)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "tokenizer.json").write_text("{"),
        lambda folder: (folder / "tokenizer.json").write_text('{"version": "1.0"}'),
        lambda folder: ((folder / "tokenizer.json").unlink(), (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n")),
    ],
    ids=["torn", "empty", "slow only"],
)
def test_a_tokenizer_that_cannot_be_used_is_said(model: Path, harm: Callable[[Path], object]) -> None:
    harm(model)
    with pytest.raises(BenchError, match="no fast tokenizer"):
        check(model)


def test_a_text_with_a_token_beyond_the_embedding_is_refused(tiny: Callable[..., Path], tmp_path: Path) -> None:
    """Tokenizers of a well-known family have a token for images, which its text models never see: only texts count."""
    known = len(AutoTokenizer.from_pretrained(tiny("BertConfig")))
    model = Path(shutil.copytree(tiny("BertConfig", vocab_size=known), tmp_path / "model"))
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_tokens(["film42"])
    tokenizer.save_pretrained(model)
    check(model)
    with pytest.raises(BenchError, match=f"Text 1 .*'film42'.*tokenizer has {known + 1} tokens, the model {known}"):
        check(model, ["oil", "film42 rose"])
