"""The matrices that heads train on, mapped from the store."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from bench.specs import Source
from bench.store import Shelf, slot, text_key

if TYPE_CHECKING:
    import torch

MEMORY = 1 << 30


class Features:
    """Training and test features of a data set, one matrix a source; the last used are kept up to `memory` bytes.

    `heal` is called with a model's name when a stored file turns out damaged; it must extract what is missing.
    """

    def __init__(
        self,
        train: Sequence[str],
        test: Sequence[str],
        shelves: Mapping[str, Shelf],
        heal: Callable[[str], None] | None = None,
        memory: int = MEMORY,
    ) -> None:
        self.shelves = shelves
        self._keys = {"train": [text_key(text) for text in train], "test": [text_key(text) for text in test]}
        self._heal = heal
        self._memory = memory
        self._kept: OrderedDict[tuple[Source, str], torch.Tensor] = OrderedDict()

    def identity(self, source: Source) -> str:
        """The fingerprint of the extraction that the source's features come from."""
        return self.shelves[source.model].fingerprint

    def rows(self, split: Literal["train", "test"]) -> str:
        """The fingerprint of a split's texts in their order; labels have no part in it."""
        return hashlib.sha256(b"".join(self._keys[split])).hexdigest()[:16]

    def train(self, source: Source) -> "torch.Tensor":
        """Features of the training rows: float32 [rows, width], in data-set order."""
        return self._matrix(source, "train")

    def test(self, source: Source) -> "torch.Tensor":
        """Features of the test rows: float32 [rows, width], in data-set order."""
        return self._matrix(source, "test")

    def _matrix(self, source: Source, split: str) -> "torch.Tensor":
        key = (source, split)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        matrix = self._kept[key] = self._read(source, split)
        used = sum(tensor.nbytes for tensor in self._kept.values())
        while used > self._memory and len(self._kept) > 1:
            used -= self._kept.popitem(last=False)[1].nbytes
        return matrix

    def _read(self, source: Source, split: str) -> "torch.Tensor":
        shelf, name = self.shelves[source.model], slot(source.layer, source.pooling)
        if (heal := self._heal) is None:
            return shelf.matrix(self._keys[split], name)
        return shelf.healed(self._keys[split], name, lambda: heal(source.model))
