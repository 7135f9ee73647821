"""An open model under a form of its input: the same weights, other texts, and long ones in windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bench.backends.base import Pooled, TokenStates
from bench.backends.tokenizer import Tokenizer
from bench.backends.windows import combined, groups, windows_of

if TYPE_CHECKING:
    from bench.backends.base import Backend, Encoded, LayerTimes, ResumableBackend
    from bench.models.resolve import ResolvedModel

HELD_BYTES = 128 << 20
"""What the states of windows may take that wait for the others of their texts; one text may take more."""


def under(opened: Backend, model: ResolvedModel) -> Backend:
    """`opened`, which goes on to hold the weights and alone frees them, reading rows as `model` does."""
    return cast("Backend", _Under(opened.opened if isinstance(opened, _Under) else opened, model, owner=False))


def reading(opened: Backend, model: ResolvedModel) -> Backend:
    """`opened` itself, reading rows as `model` does, which may be in windows: what a model's backend does not know."""
    return cast("Backend", _Under(opened, model, owner=True)) if model.framing.long == "chunks" else opened


class _Under:
    def __init__(self, opened: Backend, model: ResolvedModel, *, owner: bool) -> None:
        self.model = model
        self.opened, self._owner = opened, owner
        self._tokenizer = Tokenizer(model, opened.settings)

    def encode(self, texts: Sequence[str]) -> Encoded:
        return self._tokenizer.encode(texts)

    def hidden_states(
        self,
        encoded: Encoded,
        rows: Sequence[int],
        layers: Sequence[int],
        start: TokenStates | None = None,
        *,
        keep: bool = False,
    ) -> Iterator[Pooled]:
        """As the protocols have it; kept token states are those of windows."""
        if encoded.windows is None:
            yield from self._batches(encoded, rows, layers, start, keep)
            return
        state = len(layers) * len(self.opened.poolings) * self.model.width * np.dtype(np.float32).itemsize
        for group in groups(encoded.windows, rows, HELD_BYTES // state):
            batches = self._batches(encoded.windows.each, windows_of(encoded.windows, group), layers, start, keep)
            yield combined(batches, encoded.windows, group, self.model.framing.combine)

    def time_layers(self, encoded: Encoded, rows: Sequence[int]) -> LayerTimes:
        if encoded.windows is None:
            return self.opened.time_layers(encoded, rows)
        return self.opened.time_layers(encoded.windows.each, windows_of(encoded.windows, rows))

    def close(self) -> None:
        """Free the weights, unless they are another's."""
        if self._owner:
            self.opened.close()

    def _batches(
        self, encoded: Encoded, rows: Sequence[int], layers: Sequence[int], start: TokenStates | None, keep: bool
    ) -> Iterator[Pooled]:
        if start is None and not keep:
            return self.opened.hidden_states(encoded, rows, layers)
        return cast("ResumableBackend", self.opened).hidden_states(encoded, rows, layers, start, keep=keep)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.opened, name)
