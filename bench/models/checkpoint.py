"""The text body within a folder of model files: its configuration in transformers' own classes, and its tensors.

A checkpoint may hold more than a text body: a vision tower beside it, a language-model head or a pooling layer above.
Here alone is known how such checkpoints are laid out, so that a backend loads the body and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.models.digests import weight_files

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# What the names of the body's tensors begin with where the checkpoint holds other models too.
PREFIXES = ("language_model.model.", "model.language_model.", "embedding_model.")
# Repositories whose code is not needed, because what it computes up to the last hidden state is known here.
KNOWN_WITHOUT_CODE = frozenset({"nvembed"})
LANGUAGE_MODEL_HEADS = ("lm_head.", "language_model.lm_head.")


@dataclass(frozen=True)
class TextBody:
    """A body that transformers' own classes compute.

    `architecture` is its class, without a head; `prefix` what its tensors' names begin with in the checkpoint, empty
    where the checkpoint holds no other model.
    """

    config: PreTrainedConfig
    architecture: str
    prefix: str

    @property
    def key_mapping(self) -> dict[str, str] | None:
        """The prefix as transformers' `from_pretrained` takes a renaming; None where nothing is renamed."""
        return {"^" + self.prefix.replace(".", r"\."): ""} if self.prefix else None


def text_body(folder: Path, config: Mapping[str, Any], *, code: bool = False) -> TextBody:
    """The text body of the model in `folder`, whose config.json is `config`; `code` lets the repository's own run.

    Raises:
        ValueError, KeyError: transformers does not know the model's type.
    """
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    if config.get("model_type") == "nvembed":
        return TextBody(_bidirectional_mistral(config), "BidirectionalMistralModel", _prefix(folder))
    whole = AutoConfig.from_pretrained(folder, trust_remote_code=code)
    text = whole.get_text_config()
    mapped = MODEL_MAPPING_NAMES.get(text.model_type)
    if isinstance(mapped, str):
        return TextBody(text, mapped, _prefix(folder) if text is not whole else "")
    return TextBody(text, str((text.architectures or whole.architectures)[0]), "")


def parameters(folder: Path) -> int:
    """The values that loading the text body takes, counted from the headers of the safetensors files."""
    shapes = tensor_shapes(folder)
    prefix = _prefix_of(shapes)
    total = 0
    for name, shape in shapes.items():
        if name.startswith(prefix) and not name.startswith(LANGUAGE_MODEL_HEADS):
            size = 1
            for extent in shape:
                size *= extent
            total += size
    return total


def tensor_shapes(folder: Path) -> dict[str, list[int]]:
    """Name → shape of every tensor of the checkpoint, from the files' headers (safetensors' format page)."""
    shapes: dict[str, list[int]] = {}
    for path in weight_files(folder):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        shapes |= {name: tensor["shape"] for name, tensor in header.items() if name != "__metadata__"}
    return shapes


def _prefix(folder: Path) -> str:
    return _prefix_of(tensor_shapes(folder))


def _prefix_of(names: Mapping[str, Any]) -> str:
    return next((prefix for prefix in PREFIXES if any(name.startswith(prefix) for name in names)), "")


def _bidirectional_mistral(config: Mapping[str, Any]) -> PreTrainedConfig:
    """NV-Embed's body: a Mistral in which every token sees every other, however far away.

    So its repository's modeling_nvembed.py, which hands its layers nothing but the padding mask. The latent attention
    that it puts on top pools the last hidden state into an embedding, and is no part of the hidden states.
    """
    from transformers import MistralConfig

    text = dict(config["text_config"]) | {"model_type": "mistral", "is_causal": False, "sliding_window": None}
    return MistralConfig.from_dict(text)
