"""Small random bodies of every architecture, and what transformers itself makes of a text: shared by backend tests."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

from bench.home import store_home
from bench.models import resolve as models
from bench.models.resolve import ResolvedModel


def resolve(name: str, **options: Any) -> ResolvedModel:
    """The model `name`, with the store that the test's environment names."""
    return models.resolve(name, store_home(), **options)


BODIES = {
    "LlamaConfig": {"num_key_value_heads": 2},
    "MistralConfig": {"num_key_value_heads": 2, "sliding_window": 5},
    "Qwen2Config": {"num_key_value_heads": 2},
    "Qwen3Config": {"num_key_value_heads": 2, "head_dim": 8},
    "Phi3Config": {"num_key_value_heads": 2, "sliding_window": 7},
    "Gemma3TextConfig": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 4, "num_hidden_layers": 7},
    "BertConfig": {},
    "RobertaConfig": {"pad_token_id": 1, "type_vocab_size": 1},
    "XLMRobertaConfig": {"pad_token_id": 1},
}

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
GEMMA3_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 7,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "sliding_window": 4,
    "query_pre_attn_scalar": 8,
    "vocab_size": 200,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
# As many layers as the text tower, so that only its name tells the two apart.
SIGLIP = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 7,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}

COMMIT = "0123456789abcdef0123456789abcdef01234567"

# The seven rows in small: transformers' class that the hub's checkpoint holds, its config, and the padding side.
# conftest's `small_row` saves each in the layout of the hub's checkpoint.
SEVEN: dict[str, tuple[str, dict[str, Any], str]] = {
    "llama-3.2-3b": (
        "LlamaForCausalLM",
        {"num_key_value_heads": 2, "tie_word_embeddings": True, "rope_parameters": LLAMA3_ROPE},
        "right",
    ),
    "qwen3-8b": ("Qwen3ForCausalLM", {"num_key_value_heads": 2, "head_dim": 16}, "right"),
    "gemma-3-12b-it": (
        "Gemma3ForConditionalGeneration",
        {"text_config": GEMMA3_TEXT, "vision_config": SIGLIP, "mm_tokens_per_image": 4},
        "left",
    ),
    "phi-4": ("Phi3ForCausalLM", {"num_key_value_heads": 2, "sliding_window": None}, "right"),
    "e5-large-v2": ("BertModel", {}, "right"),
    "nv-embed-v2": ("MistralModel", {"num_key_value_heads": 2, "sliding_window": None}, "right"),
    "qwen3-embedding-8b": ("Qwen3Model", {"num_key_value_heads": 2, "head_dim": 16}, "left"),
}


def in_cache(cache: Path, repo: str, folder: Path) -> Path:
    """Lay `folder` out as the hub's cache does."""
    home = cache / f"models--{repo.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(folder, home / "snapshots" / COMMIT))


def extract(opened: Any, texts: Sequence[str], layers: Sequence[int] | None = None) -> torch.Tensor:
    """[texts, layers, poolings, width] in the order of `texts`."""
    encoded = opened.encode(texts)
    layers = range(opened.model.layers + 1) if layers is None else layers
    parts = list(opened.hidden_states(encoded, range(len(texts)), layers))
    rows = torch.cat([torch.from_numpy(part.rows) for part in parts])
    assert sorted(rows.tolist()) == list(range(len(texts)))
    return torch.cat([part.states for part in parts])[rows.argsort()]


def reference(model: ResolvedModel, texts: Sequence[str], side: str, max_length: int = 512) -> torch.Tensor:
    """The same from transformers' own `output_hidden_states` over one padded batch."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.folder, padding_side=side)
    plain = bidirectional_mistral(model) if "Bidirectional" in model.architecture else causal_or_encoder(model)
    batch = tokenizer(list(texts), padding=True, truncation=True, max_length=max_length, return_tensors="pt")
    mask = batch["attention_mask"]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    if "Roberta" in model.architecture:
        positions = torch.where(mask.bool(), positions + plain.config.pad_token_id + 1, plain.config.pad_token_id)
    seen = mask
    if "Bidirectional" in model.architecture:
        # Written out for every pair of tokens, so that nothing depends on how transformers is told about it.
        seen = torch.zeros(len(mask), 1, mask.shape[1], mask.shape[1]).masked_fill(~mask.bool()[:, None, None], -1e9)
    with torch.inference_mode():
        states = plain(batch["input_ids"], attention_mask=seen, position_ids=positions, output_hidden_states=True)
    pooled = []
    for hidden in states.hidden_states:
        rows = []
        for text, keep in zip(hidden, mask.bool(), strict=True):
            real = text[keep]
            rows.append(
                torch.stack([{"mean": real.mean(0), "last": real[-1], "first": real[0]}[p] for p in model.poolings])
            )
        pooled.append(torch.stack(rows))
    return torch.stack(pooled, dim=1)


def causal_or_encoder(model: ResolvedModel) -> transformers.PreTrainedModel:
    """Whatever transformers makes of the folder."""
    return transformers.AutoModel.from_pretrained(model.folder, dtype=torch.float32).eval()


def bidirectional_mistral(model: ResolvedModel) -> transformers.PreTrainedModel:
    """The body of a checkpoint in NV-Embed-v2's layout, put together tensor by tensor."""
    text = transformers.PreTrainedConfig.get_config_dict(model.folder)[0]["text_config"]
    del text["model_type"]
    plain = transformers.MistralModel(transformers.MistralConfig(**text, attn_implementation="eager")).eval()
    tensors = load_file(model.folder / "model.safetensors")
    prefix = "embedding_model."
    plain.load_state_dict({name.removeprefix(prefix): each for name, each in tensors.items() if prefix in name})
    return plain


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The worst relative error of a pooled vector."""
    return float(((found - expected).norm(dim=-1) / expected.norm(dim=-1)).max())
