"""The numbers of several heads side by side in one vector: how they start, where they lie, what they take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.heads.pipeline import Affine

Shape = tuple[int, int]
"""(out, in) of an affine layer, as in `torch.nn.Linear`."""

TOGETHER_BYTES = 128 << 20
"""As many heads advance together as keep their parameters and Adam's state within this."""


def state_bytes(shapes: Sequence[Shape]) -> int:
    """Bytes of one head's parameters, their gradient and Adam's two moments, for its layers' shapes."""
    return 16 * sum(out * (inner + 1) for out, inner in shapes)


def draw(shapes: Sequence[Shape], generator: torch.Generator) -> list[Affine]:
    """A layer a shape, in the order and from the distribution of `torch.nn.Linear`."""

    def uniform(inner: int, *size: int) -> Tensor:
        bound = 1 / math.sqrt(inner)
        return torch.empty(size).uniform_(-bound, bound, generator=generator)

    return [Affine(uniform(inner, out, inner), uniform(inner, out)) for out, inner in shapes]


@dataclass(frozen=True, eq=False)
class Parameters:
    """Parts of one flat vector and of its gradient, so that a step of Adam is one fused call.

    Attributes:
        vector: All numbers; its `grad` is allocated.
        parts: Views into it.
        gradients: Views into its gradient, in the same order and shapes.
    """

    vector: Tensor
    parts: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]

    @classmethod
    def of(cls, parts: Sequence[Tensor], device: torch.device) -> "Parameters":
        """Copies of `parts`, one behind the other on `device`."""
        sizes = [part.numel() for part in parts]
        # Whole vectors, so that no head's numbers lie in a tail that Adam's kernel computes by other instructions.
        padding = torch.zeros(-sum(sizes) % 64)
        vector = torch.cat([*(part.flatten() for part in parts), padding]).to(device)
        vector.grad = torch.zeros_like(vector)

        def views(flat: Tensor) -> tuple[Tensor, ...]:
            blocks = flat.split([*sizes, len(padding)])[:-1]
            return tuple(block.view(part.shape) for block, part in zip(blocks, parts, strict=True))

        return cls(vector, views(vector), views(vector.grad))
