"""OpenVINO itself, imported when it is used."""

import sys
from typing import Any

# Our name of a dtype → OpenVINO's, of those that it computes in on a processor.
PRECISION = {"float32": "f32", "bfloat16": "bf16"}


def library() -> Any:
    """The library, without its telemetry, which would report every import and conversion over the network."""
    # None makes the import fail, and the library falls back to a stub of its own.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
