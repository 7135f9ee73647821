"""Small random bodies of every architecture, and what transformers itself makes of a text: shared by backend tests."""

from collections.abc import Sequence
from typing import Any

import torch
import transformers

from bench.models.resolve import ResolvedModel

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
    plain = transformers.AutoModel.from_pretrained(model.folder, dtype=torch.float32).eval()
    batch = tokenizer(list(texts), padding=True, truncation=True, max_length=max_length, return_tensors="pt")
    mask = batch["attention_mask"]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    if "Roberta" in model.architecture:
        positions = torch.where(mask.bool(), positions + plain.config.pad_token_id + 1, plain.config.pad_token_id)
    with torch.inference_mode():
        states = plain(batch["input_ids"], attention_mask=mask, position_ids=positions, output_hidden_states=True)
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


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The worst relative error of a pooled vector."""
    return float(((found - expected).norm(dim=-1) / expected.norm(dim=-1)).max())
