"""How fast backends are beside transformers, as far as it was measured; what was not counts as no faster.

`docs/speed.md` has the tables and the commands that print them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bench.backends.settings import ResolvedSettings

REFERENCE = "transformers"
TIE = 1.05
"""Who is not so many times as fast is as fast: what was measured twice differed by as much."""
SPEEDS: Mapping[tuple[str, str], Mapping[float, Mapping[str, float]]] = {
    ("cpu", "float32"): {
        10.6e6: {"openvino": 1.02, "vllm": 0.96},
        119e6: {"openvino": 0.84, "vllm": 0.79},
    },
    ("cpu", "bfloat16"): {
        10.6e6: {"openvino": 1.07, "vllm": 0.90},
        119e6: {"openvino": 0.90, "vllm": 0.95},
    },
    # On an H200, before vLLM's states left its engine through shared memory, which took over half of its time.
    ("cuda", "bfloat16"): {
        302e6: {"vllm": 0.20},
        805e6: {"vllm": 0.43},
    },
}
"""Kind of device and dtype → weights in a model's blocks → backend → its speed as a multiple of transformers'."""


class Sized(Protocol):
    """What is known of a model before its weights are read."""

    @property
    def architecture(self) -> str: ...  # noqa: D102 - transformers' class
    @property
    def layers(self) -> int: ...  # noqa: D102
    @property
    def width(self) -> int: ...  # noqa: D102


def fastest(device: str, dtype: str, models: Sequence[Sized]) -> dict[str, float]:
    """Who is faster than transformers with all of `models`, the fastest first, and how many times."""
    measured = SPEEDS.get((device.partition(":")[0], dtype), {})
    sizes = [12.0 * model.layers * model.width**2 for model in models]  # about the weights of its blocks
    seen = [measured[min(measured, key=lambda known: abs(log(known / size)))] for size in sizes if measured]
    found = {
        name: sum(sizes) / sum(size / speeds[name] for size, speeds in zip(sizes, seen, strict=True))
        for name in dict.fromkeys(name for speeds in seen for name in speeds)
        if all(name in speeds for speeds in seen)
    }
    return {name: times for name, times in sorted(found.items(), key=lambda item: -item[1]) if times >= TIE}


def reason(settings: ResolvedSettings, models: Sequence[Sized]) -> str:
    """Why the backend was chosen, as a clause."""
    if settings.backend == REFERENCE:
        return "since none that is installed and runs these models was measured to be faster"
    times = fastest(settings.device, settings.dtype, models)[settings.backend]
    return f"which was measured to be {times:.2f} × as fast as {REFERENCE} with models of this size"
