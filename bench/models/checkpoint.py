"""The text body within a folder of model files: its configuration in transformers' own classes, and its tensors.

A checkpoint may hold more than a text body: a vision tower beside it, a language-model head or a pooling layer above.
Here alone is known how such checkpoints are laid out, so that a backend loads the body and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.models.digests import weight_files
from bench.models.headers import tensor_headers

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# What the names of the body's tensors begin with where the checkpoint holds other models too.
PREFIXES = ("language_model.model.", "model.language_model.", "embedding_model.")
# Repositories whose code is not needed, because what it computes up to the last hidden state is known here.
KNOWN_WITHOUT_CODE = frozenset({"nvembed"})
ORIGINAL = "take the weights that they were made of"
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


def quantization(config: PreTrainedConfig) -> str | None:
    """How the body's weights are quantised, by transformers' name; None where they are not.

    Raises:
        BenchError: it is no way that this transformers knows, which would take codes for values; a clause.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as METHODS

    said = getattr(config, "quantization_config", None)
    if said is None:
        return None
    method = said.get("quant_method") if isinstance(said, Mapping) else getattr(said, "quant_method", None)
    bits = isinstance(said, Mapping) and (said.get("load_in_8bit") or said.get("load_in_4bit"))
    if method not in METHODS and not bits:
        raise BenchError(f"its weights are quantised by {method!r}, which this transformers does not know: {ORIGINAL}")
    return str(method or "bitsandbytes")


def check_layers(folder: Path, layers: int) -> None:
    """Raise BenchError, a clause, where there are fewer tensors than layers: such a body would take long to build."""
    if layers > (count := len(tensor_shapes(folder))):
        raise BenchError(f"its config.json says {layers} layers, and its weights are {count} tensors: fetch both again")


def parameters(folder: Path) -> int:
    """The values that loading the text body takes, counted from the headers of the safetensors files."""
    shapes = tensor_shapes(folder)
    prefix = _prefix_of(shapes)
    total = 0
    for name, shape in shapes.items():
        if name.startswith(prefix) and not name.startswith(LANGUAGE_MODEL_HEADS):
            total += math.prod(shape)
    return total


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name → shape of every tensor of the checkpoint, from the files' headers."""
    return {name: tensor.shape for path in weight_files(folder) for name, tensor in tensor_headers(path).items()}


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
