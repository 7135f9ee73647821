"""Pooling of token states into one vector a text, by mask alone.

A batch may be padded on either side or packed without padding: both are rows of hidden states of which some hold
real tokens, and `Tokens` says which. One function per pooling then serves both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Tokens:
    """Where the tokens of b texts lie among N rows of hidden states.

    `index` [T] holds the rows of real tokens, text by text and in order; `offsets` [b] where each text starts in
    it; `lengths` [b] how many tokens it has. All int64, and no length is 0.
    """

    index: Tensor
    offsets: Tensor
    lengths: Tensor

    @classmethod
    def packed(cls, lengths: Sequence[int]) -> Tokens:
        """Texts laid end to end without padding, N = T."""
        import torch

        sizes = torch.tensor(lengths, dtype=torch.int64)
        return cls(torch.arange(int(sizes.sum())), sizes.cumsum(0) - sizes, sizes)

    @classmethod
    def masked(cls, mask: Tensor) -> Tokens:
        """A batch of b texts padded to t tokens, N = b·t, with a mask [b, t] that is non-zero at real tokens."""
        sizes = mask.bool().sum(dim=1)
        return cls(mask.flatten().nonzero().squeeze(1), sizes.cumsum(0) - sizes, sizes)

    def to(self, device: torch.device | str) -> Tokens:
        """The same tokens on another device."""
        return Tokens(self.index.to(device), self.offsets.to(device), self.lengths.to(device))


@dataclass(frozen=True)
class Pooling:
    """One way to pool: `function(hidden [N, w], tokens)` → [b, w] float32, accumulated in float32.

    `constant_if_causal`: with causal attention the result does not depend on the text, so it is left out there.
    """

    function: Callable[[Tensor, Tokens], Tensor]
    constant_if_causal: bool = False


POOLINGS: Registry[Pooling] = Registry("pooling", pluggable=True)


def pooling(
    name: str, *, constant_if_causal: bool = False
) -> Callable[[Callable[[Tensor, Tokens], Tensor]], Callable[[Tensor, Tokens], Tensor]]:
    """Register the decorated function as the pooling `name`."""

    def register(function: Callable[[Tensor, Tokens], Tensor]) -> Callable[[Tensor, Tokens], Tensor]:
        POOLINGS.add(name, Pooling(function, constant_if_causal), function)
        return function

    return register


@pooling("mean")
def mean(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The mean over a text's tokens."""
    from torch.nn.functional import embedding_bag

    return embedding_bag(tokens.index, hidden.float(), tokens.offsets, mode="mean")


@pooling("last")
def last(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The last token, the only one that has seen the whole text under causal attention."""
    return hidden[tokens.index[tokens.offsets + tokens.lengths - 1]].float()


@pooling("first", constant_if_causal=True)
def first(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The first token, ``[CLS]`` in BERT's family."""
    return hidden[tokens.index[tokens.offsets]].float()


def poolings(*, causal: bool) -> tuple[str, ...]:
    """The names of the poolings that mean something under causal, or bidirectional, attention."""
    return tuple(name for name, entry in POOLINGS.items() if not (causal and entry.constant_if_causal))


def pool(hidden: Tensor, tokens: Tokens, names: Sequence[str]) -> Tensor:
    """`hidden` [..., w], whose leading dimensions are N rows in all → [b, len(names), w] float32."""
    import torch

    rows = hidden.reshape(-1, hidden.shape[-1])
    return torch.stack([POOLINGS[name].function(rows, tokens) for name in names], dim=1)
