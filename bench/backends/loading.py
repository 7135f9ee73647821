"""Loading the text body of a model: nothing beside it is read into memory, and nothing of it is made up."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import torch
import transformers
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from bench.backends.architectures import tested
from bench.backends.batches import out_of_memory
from bench.errors import BenchError, in_words
from bench.models import checkpoint, hub
from bench.models.quiet import quiet_transformers
from bench.models.resolve import ResolvedModel

LONGEST = 500
"""Characters of what transformers says: it may list every tensor."""


def load_body(
    model: ResolvedModel, dtype: torch.dtype, deepest: int, **options: Any
) -> tuple[PreTrainedModel, nn.ModuleList]:
    """The text body of `model` for inference, and its list of layers; nothing beside the body is read into memory.

    Of its layers, those up to `deepest` are loaded, at least one; all, where the body cannot be cut. Of a body that no
    test knows it is one more, since what a layer hands on may pass through something on its way to the next.
    `options` are those of transformers' `from_pretrained`: `attn_implementation`, `device_map`, `quantization_config`.

    Raises:
        BenchError: it does not fit into memory, a weight is missing or of another shape, or see `find_layers`.
    """
    if tested(model):
        return _load(model, dtype, max(1, deepest), options)
    if deepest + 1 < model.layers:
        # What such a body is made of may depend on how many layers it has.
        with suppress(BenchError):
            return _load(model, dtype, max(1, deepest + 1), options)
    return _load(model, dtype, model.layers, options)


def _load(
    model: ResolvedModel, dtype: torch.dtype, blocks: int, options: Mapping[str, Any]
) -> tuple[PreTrainedModel, nn.ModuleList]:
    count, method, given = model.layers, None, dict(options)
    if not model.remote_code:
        # The body's own class and configuration: a tower beside it is then neither built nor read.
        part = checkpoint.text_body(model.folder, hub.read_config(model.folder))
        count = _cut(part.config, blocks)
        given |= {"config": part.config, "key_mapping": part.key_mapping}
        method = checkpoint.quantization(part.config)
    try:
        with quiet_transformers():
            loaded, report = transformers.AutoModel.from_pretrained(
                model.folder,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=model.remote_code,
                output_loading_info=True,
                **given,
            )
    except Exception as error:  # what is wrong with a model's files shows in as many ways as there are models
        if out_of_memory(error):
            raise BenchError(
                f"Model '{model.name}' does not fit into memory: use a smaller dtype or quantisation."
            ) from error
        why = in_words(error)[:LONGEST]
        if method is not None:
            why = (
                f"its weights are quantised by {method}: {why}. If this machine cannot run that, {checkpoint.ORIGINAL}."
            )
        raise BenchError(f"Model '{model.name}' cannot be loaded: {why}") from error
    body, layers = find_layers(loaded.eval(), model, count)
    _check_complete(body, loaded, report["missing_keys"], model)
    return body, layers


def check_body(model: ResolvedModel, dtype: torch.dtype) -> None:
    """Raise BenchError where `load_body` would, but for memory: without reading a weight, within a second."""
    # on this device tensors have a shape and no values
    load_body(model, dtype, model.layers, device_map="meta")


def _cut(config: PreTrainedConfig, layers: int) -> int:
    """Let `config` describe the model's first `layers` blocks and no more; returns how many it then has."""
    whole: int = config.num_hidden_layers
    # Where the last blocks share the first ones' keys and values, they are counted from the end; which block of several
    # a layer shares depends on how many layers there are; and what an encoder is made with has no one name.
    if (
        layers >= whole
        or getattr(config, "num_kv_shared_layers", None)
        or getattr(config, "num_hidden_groups", 1) > 1
        or config.is_encoder_decoder
    ):
        return whole
    for name, value in config.to_dict().items():
        if isinstance(value, list | tuple) and len(value) == whole:
            # One entry a block: its kind of attention, say.
            setattr(config, name, value[:layers])
    try:
        config.num_hidden_layers = layers
    except NotImplementedError:  # where it follows from something else
        return whole
    return layers


def find_layers(
    model: nn.Module, resolved: ResolvedModel, count: int | None = None
) -> tuple[PreTrainedModel, nn.ModuleList]:
    """The innermost transformers model of the model's width around the one list of its blocks, and that list.

    `count` is how many blocks were loaded, where not all were. Where layers share blocks, the list holds these; of an
    encoder and a decoder, the encoder is taken.

    Lists within blocks (experts, say) and those of a tower of another width are passed over; a language-model head
    or an embedding model's pooler lies outside the innermost model.

    Raises:
        BenchError: there is not exactly one such list.
    """
    count = resolved.layers if count is None else count
    config = getattr(model, "config", None)
    count = getattr(config, "num_hidden_groups", count)
    encoder = getattr(config, "is_encoder_decoder", False)
    lists: dict[str, tuple[PreTrainedModel, nn.ModuleList]] = {}
    for path, module in model.named_modules():
        if not isinstance(module, nn.ModuleList) or len(module) != count:
            continue
        if encoder and "encoder" not in path.split("."):
            continue
        around = _innermost(model, path)
        inside = any(path.startswith(f"{outer}.") for outer in lists)
        if not inside and around is not None and around.config.get_text_config().hidden_size == resolved.width:
            lists[path] = around, module
    if len(lists) != 1:
        raise BenchError(
            f"Model '{resolved.name}' has {len(lists)} lists of {count} layers of width {resolved.width}, "
            f"where one is expected{': ' * bool(lists)}{', '.join(lists)}. Its layers cannot be told apart."
        )
    return next(iter(lists.values()))


def _innermost(model: nn.Module, path: str) -> PreTrainedModel | None:
    parts = path.split(".")
    for depth in range(len(parts) - 1, -1, -1):
        around = model.get_submodule(".".join(parts[:depth]))
        if isinstance(around, PreTrainedModel):
            return around
    return None


def _check_complete(
    body: PreTrainedModel, loaded: PreTrainedModel, missing: Collection[str], model: ResolvedModel
) -> None:
    """Raise where a weight of the body was not in the checkpoint: transformers would make one up."""
    path = next(name for name, module in loaded.named_modules() if module is body)
    prefix = f"{path}." if path else ""
    # A pooler reads the last hidden state and changes none.
    made_up = sorted(name for name in missing if name.startswith(prefix) and "pooler" not in name)
    if made_up:
        raise BenchError(
            f"The checkpoint of model '{model.name}' lacks {len(made_up)} of the weights of its {model.architecture}, "
            f"such as {made_up[0]}: it is incomplete, or laid out in a way that is not known."
        )
