"""Texts on their way through a model, which stop at a layer and go on later where more is wanted of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from bench.backends.base import TokenStates, backend
from bench.backends.batches import in_order

if TYPE_CHECKING:
    from torch import Tensor

    from bench.backends.base import Backend, Pooled, ResumableBackend


class Pass:
    """A pass of some texts through an open model, made in one or more stretches, each for fewer texts and deeper.

    Where the backend goes on from kept token states, no block runs twice for a text; elsewhere each stretch begins at
    the text. Token states of all texts of a stretch are held until the next one, so texts come in groups.
    """

    def __init__(self, opened: Backend, texts: Sequence[str]) -> None:
        self.encoded = opened.encode(texts)
        self._opened = opened
        self._goes_on = backend(opened.settings.backend).goes_on(opened.model, opened.settings)
        self._kept: TokenStates | None = None

    def states(
        self,
        rows: Sequence[int],
        layers: Sequence[int],
        take: Callable[[Tensor], Tensor] = lambda states: states,
        *,
        last: bool = True,
    ) -> Tensor:
        """What `take` makes of each batch's pooled states at `layers`, in the order of `rows` (see `in_order`).

        Args:
            rows: Of the texts; after the first stretch, some of those before.
            layers: None before the deepest of the stretch before.
            take: Sees [b, layers, poolings, width].
            last: Nothing will go on from here, so that no token states are kept.

        Raises:
            BenchError: see `Backend.hidden_states`.
        """
        if not self._goes_on:
            return in_order(self._opened.hidden_states(self.encoded, rows, layers), rows, take)
        opened = cast("ResumableBackend", self._opened)
        # behind the embeddings there is nothing to save
        keep = not last and max(layers) > 0
        batches = opened.hidden_states(self.encoded, rows, layers, self._kept, keep=keep)
        kept: list[TokenStates] = []
        found = in_order(_noting(batches, kept), rows, take)
        texts = {row: states for part in kept for row, states in part.texts.items()}
        self._kept = TokenStates(max(layers), texts) if keep else None
        return found


def _noting(batches: Iterator[Pooled], kept: list[TokenStates]) -> Iterator[Pooled]:
    for batch in batches:
        if batch.kept is not None:
            kept.append(batch.kept)
        yield batch
