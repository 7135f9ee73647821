"""An open model under another form of its input: the same weights, and other texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from bench.backends.tokenizer import Tokenizer

if TYPE_CHECKING:
    from bench.backends.base import Backend, Encoded
    from bench.models.resolve import ResolvedModel


def under(opened: Backend, model: ResolvedModel) -> Backend:
    """`opened`, which goes on to hold the weights and alone frees them, reading rows as `model` does."""
    return cast("Backend", _Under(opened, model))


class _Under:
    def __init__(self, opened: Backend, model: ResolvedModel) -> None:
        self.model = model
        self._opened = opened
        self._tokenizer = Tokenizer(model, opened.settings)

    def encode(self, texts: Sequence[str]) -> Encoded:
        return self._tokenizer.encode(texts)

    def close(self) -> None:
        """Nothing: the weights are another's."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)
