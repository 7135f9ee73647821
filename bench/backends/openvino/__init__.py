"""Hidden states by OpenVINO on a processor: the body converted to a graph that returns every layer's pooled states.

What can be said without loading anything; `backend` beside this file computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from bench.backends.architectures import ARCHITECTURES, was_mended
from bench.backends.openvino.runtime import PRECISION, library
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.backends.openvino.backend import OpenVINOBackend
    from bench.backends.settings import ResolvedSettings
    from bench.models.resolve import ResolvedModel
    from bench.specs import ExtractionSettings

# To be raised when what is traced, or how it is compiled, changes a value.
KERNELS = 1
SETTINGS: frozenset[str] = frozenset()
INSTEAD: Mapping[str, str] = {}


def unavailable() -> str | None:
    """Why the backend cannot be used here; None where it can."""
    return None if find_spec("openvino") else "OpenVINO is not installed: python -m pip install 'bench[openvino]'."


def supports(architecture: str) -> bool:
    """The classes that the tests compare with transformers, which `auto` takes this backend for.

    Others often convert too, and are shown at every start to compute what the body they were made from computes.
    """
    return architecture in ARCHITECTURES


def resolve_settings(settings: ExtractionSettings) -> ExtractionSettings:
    """`settings` with the processor as their device.

    Raises:
        BenchError: OpenVINO is not installed, or the processor lacks the dtype.
    """
    if reason := unavailable():
        raise BenchError(reason)
    if settings.device not in {"auto", "cpu"}:
        raise BenchError(
            f"The openvino backend runs on the processor, not on '{settings.device}': use `device='cpu'`, or "
            "`backend='transformers'`."
        )
    if settings.dtype not in PRECISION:
        raise BenchError(
            f"The openvino backend cannot compute in {settings.dtype}: use `dtype='float32'`, or bfloat16 where the "
            "processor has it."
        )
    if settings.dtype == "bfloat16" and "BF16" not in library().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise BenchError("This processor has no bfloat16 arithmetic that OpenVINO can use: use `dtype='float32'`.")
    return settings.model_copy(update={"device": "cpu"})


def identity(model: ResolvedModel, settings: ResolvedSettings) -> dict[str, Any]:
    """Everything besides the model's own identity that changes a value; loads no weights."""
    from bench.backends.tokenizer import token_identity

    return {
        "backend": "openvino",
        "openvino": version("openvino"),
        # They make the graph.
        "torch": version("torch"),
        "transformers": version("transformers"),
        "device": settings.device,
        "dtype": settings.dtype,
        **token_identity(model, settings),
        "norm": "final norm on the last layer",
        "kernels": KERNELS + was_mended(model),
    }


def goes_on(model: ResolvedModel, settings: ResolvedSettings) -> bool:  # noqa: ARG001 - as the protocol
    """The graph runs as a whole."""
    return False


def open(  # noqa: A001 - as the protocol
    model: ResolvedModel, settings: ResolvedSettings, deepest: int | None = None
) -> OpenVINOBackend:
    """Load `model` up to its layer `deepest` and convert it, which takes seconds.

    Raises:
        BenchError: the body cannot be converted, or its graph computes something else.
    """
    from bench.backends.openvino.backend import OpenVINOBackend

    return OpenVINOBackend(model, settings, deepest)
