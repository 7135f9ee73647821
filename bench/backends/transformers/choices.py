"""What the backend chooses for a model and its settings: the device of the inputs, and which kernels run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.backends.architectures import ARCHITECTURES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from bench.backends.settings import ResolvedSettings
    from bench.models.resolve import ResolvedModel

# accelerate's ways to spread one model over several graphics processors, as transformers' `device_map` takes them.
DEVICE_MAPS = frozenset({"balanced", "balanced_low_0", "sequential"})
# transformers' own; it would also fetch a kernel, which is code, from a repository of that name.
ATTENTIONS = ("eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3", "flash_attention_4")


def first_device(device: str) -> str:
    """Where inputs go: the device itself, or the first of those that a model is spread over."""
    return "cuda:0" if device in DEVICE_MAPS else device


def uses_packing(model: ResolvedModel, settings: ResolvedSettings) -> bool:
    """Whether texts run unpadded through bench's own kernels: on a processor, for the bodies these are tested with."""
    return settings.device == "cpu" and settings.attention is None and model.architecture in ARCHITECTURES


def changes_itself(body: nn.Module) -> bool:
    """Whether a pass may change what the next one finds: rotary positions that are scaled by the longest text."""
    return any(
        name in {"dynamic", "longrope"}
        for module in body.modules()
        for name in _names(getattr(module, "rope_type", None))
    )


def _names(rope: Any) -> Iterable[Any]:
    # one, or one a kind of layer
    return rope.values() if isinstance(rope, Mapping) else (rope,)


def packs_linears(settings: ResolvedSettings) -> bool:
    """Whether a body that runs through bench's own kernels has products of another library than PyTorch's.

    bfloat16's are packed too, and the same bit for bit.
    """
    from bench.backends.linear import packing_works

    return settings.dtype == "float32" and packing_works()
