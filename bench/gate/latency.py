"""Time as a ratio to a fixed piece of work that is timed in turn with it, in the same process.

Seconds say more about the machine and its neighbours than about the code; the ratio takes the speed of the processor
and most of what else runs on it out of the comparison. It still differs between kinds of processor.
"""

import statistics
import time
from collections.abc import Sequence

import numpy as np
import torch

from bench.backends.base import Backend

SAMPLE = 32
ROUNDS = 7
FEWEST_ROUNDS = 3
SECONDS = 20.0


class Reference:
    """Linear layers, a normalisation and an activation of a transformer block's shape, on random numbers."""

    tokens, width, blocks = 256, 768, 3

    def __init__(self, device: str, dtype: str) -> None:
        kind = "mps" if device == "mps" else "cuda" if torch.cuda.is_available() and device != "cpu" else "cpu"
        # processors have no fast half precision
        precision = torch.float32 if kind == "cpu" and dtype == "float16" else getattr(torch, dtype)
        generator = torch.Generator().manual_seed(0)
        shapes = ((self.tokens, self.width), (self.width, 4 * self.width), (4 * self.width, self.width))
        self._states, self._up, self._down = (
            torch.randn(shape, generator=generator).to(kind, precision) / shape[1] ** 0.5 for shape in shapes
        )

    def seconds(self) -> float:
        """How long one run takes."""
        started = time.perf_counter()
        states = self._states
        with torch.inference_mode():
            for _ in range(self.blocks):
                normed = torch.nn.functional.layer_norm(states, (self.width,))
                states = states + torch.nn.functional.gelu(normed @ self._up) @ self._down
            states.float().sum().item()  # waits for the device
        return time.perf_counter() - started


def relative_latency(backend: Backend, texts: Sequence[str], layers: Sequence[int]) -> float:
    """Median ratio of the time that up to 32 texts, spread over the lengths, take up to the deepest of `layers`.

    Model and reference are timed in turn, each pass of the model between two of the reference.
    """
    by_length = np.argsort([len(text) for text in texts], kind="stable")
    places = np.unique(np.linspace(0, len(texts) - 1, min(SAMPLE, len(texts))).round().astype(int))
    encoded = backend.encode([texts[row] for row in by_length[places]])
    reference = Reference(backend.settings.device, backend.settings.dtype)

    def model_seconds() -> float:
        started = time.perf_counter()
        for _ in backend.hidden_states(encoded, range(len(encoded)), layers):
            pass
        return time.perf_counter() - started

    model_seconds(), reference.seconds()  # the first runs load kernels
    ratios: list[float] = []
    begun, before = time.perf_counter(), reference.seconds()
    while len(ratios) < FEWEST_ROUNDS or (len(ratios) < ROUNDS and time.perf_counter() - begun < SECONDS):
        model, after = model_seconds(), reference.seconds()
        ratios.append(2 * model / (before + after))
        before = after
    return statistics.median(ratios)
