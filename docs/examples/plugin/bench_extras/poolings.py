"""A pooling."""

import torch
from torch import Tensor

from bench.pooling import Tokens, pooling


@pooling("largest")
def largest(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The largest value of each dimension over a text's tokens."""
    return torch.segment_reduce(hidden[tokens.index].float(), "max", lengths=tokens.lengths, axis=0)
