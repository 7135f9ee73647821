"""Hidden states by transformers: every layer under every pooling in one pass, pooled inside it.

What can be said without loading anything; `backend` beside this file computes.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bench.backends.architectures import fastest_attention, tested, was_mended
from bench.backends.transformers.choices import (
    ATTENTIONS,
    DEVICE_MAPS,
    first_device,
    packs_linears,
    uses_packing,
)
from bench.errors import BenchError, nearest

if TYPE_CHECKING:
    from bench.backends.settings import ResolvedSettings
    from bench.backends.transformers.backend import TransformersBackend
    from bench.models.resolve import ResolvedModel
    from bench.specs import ExtractionSettings

# To be raised when our own attention, packing or pooling code changes a value by more than its rounding, which the
# other texts of a batch and the kind of processor move too.
KERNELS = 1
SETTINGS = frozenset({"attention", "quantization"})
INSTEAD = {"tensor_parallel": "a model is spread over several GPUs with `device='balanced'`"}


def unavailable() -> None:
    """The backend can always be used."""
    return


def supports(architecture: str) -> bool:  # noqa: ARG001 - as the protocol
    """Every class that transformers' AutoModel loads."""
    return True


def resolve_settings(settings: ExtractionSettings) -> ExtractionSettings:
    """`settings` with a concrete device: ``"auto"`` becomes cuda, mps or cpu, in this order.

    Raises:
        BenchError: the device or the attention is none, the device is not there or cannot compute in the dtype, or
            quantisation cannot be had.
    """
    import torch

    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if settings.quantization != "none":
        if not find_spec("bitsandbytes"):
            raise BenchError(
                f"Quantisation to {settings.quantization} needs bitsandbytes: python -m pip install bitsandbytes"
            )
        if device == "cpu":
            raise BenchError(f"Quantisation to {settings.quantization} needs a graphics processor: leave it out.")
    if settings.attention not in (None, *ATTENTIONS):
        found = nearest(str(settings.attention), ATTENTIONS)
        raise BenchError(f"`attention` '{settings.attention}' is no kernel of transformers': {found}")
    try:
        torch.device(first_device(device))
    except RuntimeError as error:
        raise BenchError(
            f"There is no device '{device}': `device` takes cpu, cuda, cuda:N, mps, auto, or balanced (over all GPUs)."
        ) from error
    try:
        probe = torch.ones(2, 2, dtype=getattr(torch, settings.dtype), device=first_device(device))
        (probe @ probe).sum().item()
    # Builds without CUDA raise an AssertionError.
    except (RuntimeError, NotImplementedError, TypeError, AssertionError) as error:
        raise BenchError(
            f"Device '{device}' cannot compute in {settings.dtype} here ({str(error).splitlines()[0][:120]}): "
            "choose another `device` or `dtype`, or 'auto'."
        ) from error
    return settings.model_copy(update={"device": device})


def identity(model: ResolvedModel, settings: ResolvedSettings) -> dict[str, Any]:
    """Everything besides the model's own identity that changes a value; loads no weights."""
    import torch
    import transformers

    from bench.backends import packed
    from bench.backends.tokenizer import token_identity

    special = uses_packing(model, settings)
    return {
        "backend": "transformers",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": torch.device(first_device(settings.device)).type,
        "dtype": settings.dtype,
        "quantization": settings.quantization,
        "attention": packed.NAME if special else settings.attention or fastest_attention(model),
        "linear": "onednn-packed" if special and packs_linears(settings) else "torch",
        **token_identity(model, settings),
        "norm": "final norm on the last layer",
        "kernels": KERNELS + was_mended(model),
    }


def goes_on(model: ResolvedModel, settings: ResolvedSettings) -> bool:
    """Where the tests show that nothing but token states passes from one block to the next, on one device."""
    return tested(model) and settings.device not in DEVICE_MAPS


def open(  # noqa: A001 - as the protocol
    model: ResolvedModel, settings: ResolvedSettings, deepest: int | None = None
) -> TransformersBackend:
    """Load `model`, up to its layer `deepest` where one is given.

    Raises:
        BenchError: the weights do not fit, or the packed kernels disagree with plain ones.
    """
    from bench.backends.transformers.backend import TransformersBackend

    return TransformersBackend(model, settings, deepest)
