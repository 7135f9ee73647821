"""The matrices that heads train on, mapped from the store."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Literal

from bench.errors import BenchError
from bench.evaluation.inputs import Derived, Input, Stored, derive
from bench.pooling import parts
from bench.store import Shelf, slot

if TYPE_CHECKING:
    import torch

MEMORY = 1 << 30
Which = Literal["train", "test"]
Keys = Mapping[str | None, Sequence[bytes]]


class Features:
    """Training and test features of a data set, one matrix an input; the last used are kept up to `memory` bytes.

    Args:
        train: The store's keys of the training texts, in data-set order, by view (see `bench.evaluation.rows`).
        test: Those of the test texts; empty where none will be asked for.
        shelf: From the fingerprint of an extraction to its shelf.
        heal: Called with that fingerprint when a stored file turns out damaged; it must extract what is missing.
        memory: Of matrices that are kept, in bytes.
    """

    def __init__(
        self,
        train: Keys,
        test: Keys,
        shelf: Callable[[str], Shelf],
        heal: Callable[[str], None] | None = None,
        memory: int = MEMORY,
    ) -> None:
        self._keys: dict[Which, Keys] = {"train": train, "test": test}
        self._shelf = shelf
        self._heal = heal
        self._memory = memory
        self._kept: OrderedDict[tuple[Input, Which], torch.Tensor] = OrderedDict()
        self._lock = RLock()

    def train(self, matrix: Input) -> "torch.Tensor":
        """Features of the training rows: float32 [rows, width], in data-set order."""
        return self._matrix(matrix, "train")

    def test(self, matrix: Input) -> "torch.Tensor":
        """Features of the test rows: float32 [rows, width], in data-set order."""
        return self._matrix(matrix, "test")

    def of_train(self, rows: Sequence[int]) -> "Features":
        """Features of some training rows as if there were no others: nothing else is read, or derived from."""
        some = {view: [keys[row] for row in rows] for view, keys in self._keys["train"].items()}
        return Features(some, {}, self._shelf, self._heal, self._memory)

    def _matrix(self, matrix: Input, which: Which) -> "torch.Tensor":
        with self._lock:
            return self._found(matrix, which)

    def _found(self, matrix: Input, which: Which) -> "torch.Tensor":
        key = (matrix, which)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = self._compute(matrix, which) if isinstance(matrix, Derived) else self._read(matrix, which)
        self._kept[key] = found
        used = sum(tensor.nbytes for tensor in self._kept.values())
        while used > self._memory and len(self._kept) > 1:
            used -= self._kept.popitem(last=False)[1].nbytes
        return found

    def _compute(self, how: Derived, which: Which) -> "torch.Tensor":
        import torch

        train = torch.cat([self.train(each) for each in how.of], 1)
        test = torch.cat([self.test(each) for each in how.of], 1) if which == "test" else None
        found = derive(how, train, test)
        return found[0] if found[1] is None else found[1]

    def _read(self, matrix: Stored, which: Which) -> "torch.Tensor":
        """Rows of the store, or the mean of several where the pooling is one of what is stored."""
        found = [self._rows(matrix, layer, pooling, which) for layer, pooling in parts(matrix.layer, matrix.pooling)]
        return found[0] if len(found) == 1 else sum(found[1:], found[0]) / len(found)

    def _rows(self, matrix: Stored, layer: int, pooling: str, which: Which) -> "torch.Tensor":
        shelf, name = self._shelf(matrix.shelf), slot(layer, pooling)
        keys = self._keys[which][matrix.view]
        try:
            if (heal := self._heal) is None:
                return shelf.matrix(keys, name)
            return shelf.healed(keys, name, lambda: heal(matrix.shelf))
        except KeyError:
            raise BenchError(f"The store lacks hidden states of {shelf.model}: extract them first.") from None
