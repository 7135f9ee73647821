"""Pooling of token states into one vector a text, by mask alone.

A batch may be padded on either side or packed without padding: both are rows of hidden states of which some hold
real tokens, and `Tokens` says which. One function per pooling then serves both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
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

    def select(self, texts: Sequence[int]) -> Tokens:
        """The tokens of some of the texts, in the order given."""
        import torch

        chosen = torch.tensor(texts, dtype=torch.int64, device=self.lengths.device)
        return self._cut(self.offsets[chosen], self.lengths[chosen])

    def within(self, spans: Tensor) -> Tokens:
        """Of each text the tokens from one place up to another, [b, 2]; of each at least one."""
        begins, ends = spans.unbind(1)
        return self._cut(self.offsets + begins, ends - begins)

    def _cut(self, starts: Tensor, sizes: Tensor) -> Tokens:
        """Texts of these sizes that start at these places of `index`."""
        import torch

        offsets = sizes.cumsum(0) - sizes
        places = torch.arange(int(sizes.sum()), device=sizes.device)
        return Tokens(self.index[places + (starts - offsets).repeat_interleave(sizes)], offsets, sizes)

    def to(self, device: torch.device | str) -> Tokens:
        """The same tokens on another device."""
        return Tokens(self.index.to(device), self.offsets.to(device), self.lengths.to(device))


Pool = Callable[["Tensor", Tokens], "Tensor"]


@dataclass(frozen=True)
class Pooling:
    """One way to pool: `function(hidden [N, w], tokens)` → [b, w] float32, accumulated in float32.

    `constant_if_causal`: with causal attention the result does not depend on the text, so it is left out there.
    `usual`: extracted whoever asks; the others, where a space asks for them. One without a `function` is not extracted:
    it is the mean of what is stored under the poolings `of`, over the last `layers` up to the one that is named.
    """

    function: Pool | None
    constant_if_causal: bool = False
    usual: bool = True
    of: tuple[str, ...] = ()
    layers: int = 1


POOLINGS: Registry[Pooling] = Registry("pooling", pluggable=True)


def pooling(name: str, *, constant_if_causal: bool = False, usual: bool = True) -> Callable[[Pool], Pool]:
    """Register the decorated function as the pooling `name`."""

    def register(function: Pool) -> Pool:
        POOLINGS.add(name, Pooling(function, constant_if_causal, usual), function)
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


@pooling("max", usual=False)
def largest(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The largest value of each column over a text's tokens."""
    import torch

    return torch.segment_reduce(hidden[tokens.index].float(), "max", lengths=tokens.lengths)


LAST = 4
"""Tokens of ``last-4``."""


@pooling("last-4", usual=False)
def last_few(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The mean of the last four tokens, or of all where there are fewer."""
    import torch

    return mean(hidden, tokens.within(torch.stack([(tokens.lengths - LAST).clamp(min=0), tokens.lengths], 1)))


@pooling("weighted", usual=False)
def weighted(hidden: Tensor, tokens: Tokens) -> Tensor:
    """The mean over a text's tokens by position, the i-th i times (SGPT, Muennighoff 2022, section 3.1).

    Under causal attention a later token has seen more of the text.
    """
    import torch
    from torch.nn.functional import embedding_bag

    places = torch.arange(len(tokens.index), device=tokens.index.device) + 1
    ranks = (places - tokens.offsets.repeat_interleave(tokens.lengths)).float()
    total = (tokens.lengths * (tokens.lengths + 1) / 2).repeat_interleave(tokens.lengths)
    return embedding_bag(
        tokens.index, hidden.float(), tokens.offsets, mode="sum", per_sample_weights=ranks / total.float()
    )


POOLINGS.add("first-last", Pooling(None, constant_if_causal=True, usual=False, of=("first", "last")))
POOLINGS.add("mean-4-layers", Pooling(None, usual=False, of=("mean",), layers=4))


def parts(layer: int, name: str) -> list[tuple[int, str]]:
    """The layers and poolings that are stored, of which a source is the mean; one, where it is stored itself."""
    entry = POOLINGS[name] if name in POOLINGS else Pooling(None)
    layers = range(max(0, layer - entry.layers + 1), layer + 1)
    return [(each, of) for each in layers for of in entry.of] or [(layer, name)]


def plainest(layer: int, name: str) -> str:
    """The name of a pooling at a layer by what it is there: a mean of one stored pooling is that one."""
    found = parts(layer, name)
    return found[0][1] if len(found) == 1 else name


def poolings(*, causal: bool, asked: Iterable[str] = ()) -> tuple[str, ...]:
    """The names of the poolings to extract under causal, or bidirectional, attention.

    Those are the usual ones that mean something there, and what those that are `asked` for are made of.
    """
    made = {of for name in asked if name in POOLINGS for of in POOLINGS[name].of or (name,)}
    return tuple(
        name
        for name, entry in POOLINGS.items()
        if entry.function and (entry.usual or name in made) and not (causal and entry.constant_if_causal)
    )


def offered(name: str, extracted: Collection[str]) -> bool:
    """Whether a source may have that pooling, of a model of which these are extracted."""
    return all(of in extracted for of in (POOLINGS[name].of if name in POOLINGS else ()) or (name,))


def pool(hidden: Tensor, tokens: Tokens, names: Sequence[str]) -> Tensor:
    """`hidden` [..., w], whose leading dimensions are N rows in all → [b, len(names), w] float32."""
    import torch

    rows = hidden.reshape(-1, hidden.shape[-1])
    functions = [POOLINGS[name].function for name in names]
    return torch.stack([function(rows, tokens) for function in functions if function is not None], dim=1)
