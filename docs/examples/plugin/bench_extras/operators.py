"""A fusion operator."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.fusion import fusion


@fusion("strongest", commutative=True)
def strongest(sources: Sequence[Tensor]) -> Tensor:
    """In each dimension the value of the projected source that is largest in size."""
    stacked = torch.stack(list(sources))
    chosen = stacked.abs().argmax(dim=0, keepdim=True)
    return stacked.gather(0, chosen).squeeze(0)
