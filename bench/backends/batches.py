"""Batches by token budget over length-sorted texts, the two forms in which a batch enters a model, and the way back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.backends.packed import runs
from bench.errors import BenchError
from bench.pooling import Tokens

if TYPE_CHECKING:
    from bench.backends.base import Encoded, Pooled

Result = TypeVar("Result")


@dataclass(frozen=True)
class Batch:
    """Keyword arguments for the model's forward, and where the texts' tokens lie in what it returns.

    `pooled` are those of them that are pooled.
    """

    inputs: dict[str, Any]
    tokens: Tokens
    pooled: Tokens

    def to(self, device: str) -> Batch:
        """The same batch on another device."""
        moved = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in self.inputs.items()}
        tokens = self.tokens.to(device)
        return Batch(moved, tokens, tokens if self.pooled is self.tokens else self.pooled.to(device))


def _batch(inputs: dict[str, Any], tokens: Tokens, encoded: Encoded, rows: NDArray[np.int64]) -> Batch:
    if encoded.spans is None:
        return Batch(inputs, tokens, tokens)
    return Batch(inputs, tokens, tokens.within(torch.from_numpy(encoded.spans[rows])))


@dataclass(frozen=True)
class Packed:
    """Texts laid end to end in one row; positions start again at `first_position` with each text."""

    first_position: int = 0

    def size(self, lengths: NDArray[np.int64]) -> int:
        """Tokens that a batch of texts of these `lengths` computes."""
        return int(lengths.sum())

    def collate(self, encoded: Encoded, rows: NDArray[np.int64]) -> Batch:
        """The rows' texts as one row of T tokens."""
        lengths = encoded.lengths[rows].tolist()
        ids = np.concatenate([encoded.text(row) for row in rows])
        positions = np.concatenate([np.arange(length) for length in lengths]) + self.first_position
        inputs = {
            "input_ids": torch.from_numpy(ids.astype(np.int64))[None],
            "position_ids": torch.from_numpy(positions)[None],
            "runs": runs(lengths),
        }
        return _batch(inputs, Tokens.packed(lengths), encoded, rows)


@dataclass(frozen=True)
class Padded:
    """Texts padded on the right to the longest.

    Causal models get no attention mask: no token sees the padding behind it, and kernels are faster without one.
    """

    padding: int
    causal: bool

    def size(self, lengths: NDArray[np.int64]) -> int:
        """Tokens that a batch of texts of these `lengths` computes, padding included."""
        return int(lengths.max(initial=0)) * len(lengths)

    def collate(self, encoded: Encoded, rows: NDArray[np.int64]) -> Batch:
        """The rows' texts as [b, t]."""
        lengths = torch.from_numpy(encoded.lengths[rows])
        mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]
        ids = torch.full(mask.shape, self.padding, dtype=torch.int64)
        ids[mask] = torch.from_numpy(np.concatenate([encoded.text(row) for row in rows]).astype(np.int64))
        inputs = {"input_ids": ids} if self.causal else {"input_ids": ids, "attention_mask": mask.long()}
        return _batch(inputs, Tokens.masked(mask), encoded, rows)


@dataclass(frozen=True)
class Level(Padded):
    """Texts of one length alone, so that nothing is padded: for bodies in which padding reaches a text."""

    def collate(self, encoded: Encoded, rows: NDArray[np.int64]) -> Batch:
        """The rows' texts, which have t tokens each, as [b, t]."""
        assert len(set(encoded.lengths[rows].tolist())) == 1
        return super().collate(encoded, rows)


def run_batches(
    encoded: Encoded,
    rows: Sequence[int],
    form: Packed | Padded,
    budget: int,
    run: Callable[[NDArray[np.int64]], Result],
    threads: ThreadPoolExecutor | None = None,
    together: int = 1,
) -> Iterator[tuple[NDArray[np.int64], Result]]:
    """Call `run` on batches of at most `budget` tokens, longest texts first, and yield each with its result.

    With `threads` so many batches are run `together`; they are yielded in the same order. When memory runs out the
    budget is halved for good and the same rows are tried again, one batch at a time. A text longer than the budget is a
    batch of its own.

    Raises:
        BenchError: a single text does not fit into memory.
    """
    todo = np.asarray(rows, dtype=np.int64)
    # Longest first, so that memory runs out at once or not at all; stable, so that batches do not depend on chance.
    todo = todo[np.argsort(-encoded.lengths[todo], kind="stable")]
    begun: deque[tuple[NDArray[np.int64], Future[Result]]] = deque()
    ahead = 0 if threads is None else together

    def begin(most: int) -> None:
        nonlocal todo
        while len(todo) and len(begun) < most:
            batch = todo[: _fitting(encoded.lengths[todo], form, budget)]
            todo = todo[len(batch) :]
            begun.append((batch, _ran(run, batch) if threads is None else threads.submit(run, batch)))

    while begun or len(todo):
        begin(1 + ahead)
        batch, future = begun.popleft()
        try:
            result = future.result()
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if len(batch) == 1 and not ahead:
                raise BenchError(
                    f"A single text of {encoded.lengths[batch[0]]:,} tokens (row {batch[0]}) does not fit into memory: "
                    "lower `max_length`, or use a smaller dtype, quantisation, or model."
                ) from error
        else:
            # what comes next is computed while this is taken in
            begin(ahead)
            yield batch, result
            continue
        # Outside the handler, where the traceback no longer holds on to the failed batch.
        del future
        todo = np.concatenate([batch, *(other for other, _ in begun), todo])
        wait([other for _, other in begun])
        begun.clear()
        budget, ahead = max(1, form.size(encoded.lengths[batch]) // 2), 0
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _ran(run: Callable[[NDArray[np.int64]], Result], batch: NDArray[np.int64]) -> Future[Result]:
    """What `run` came to, as a thread would tell it."""
    future: Future[Result] = Future()
    try:
        future.set_result(run(batch))
    except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
        future.set_exception(error)
    return future


def in_order(
    batches: Iterable[Pooled], rows: Sequence[int], take: Callable[[Tensor], Tensor] = lambda states: states
) -> Tensor:
    """What `take` makes of each batch's states, put where the rows stand in `rows`: [len(rows), …].

    `take` sees [b, layers, poolings, width] and gives [b, …], of one shape and dtype for all batches; of what it leaves
    out nothing is held.
    """
    places = {row: place for place, row in enumerate(rows)}
    whole: Tensor | None = None
    for batch in batches:
        part = take(batch.states)
        if whole is None:
            whole = torch.empty(len(places), *part.shape[1:], dtype=part.dtype)
        whole[[places[row] for row in batch.rows.tolist()]] = part
    return torch.empty(0) if whole is None else whole


def _fitting(lengths: NDArray[np.int64], form: Packed | Padded, budget: int) -> int:
    """How many of the first texts, whose lengths fall, stay within the budget and may be together; at least one."""
    if isinstance(form, Level):
        lengths = lengths[lengths == lengths[0]]
    sizes = lengths.cumsum() if isinstance(form, Packed) else lengths[0] * np.arange(1, len(lengths) + 1)
    return max(1, int(np.searchsorted(sizes, budget, side="right")))


def out_of_memory(error: Exception) -> bool:
    """Whether `error` says that a device's memory ran out."""
    # On processors PyTorch raises a plain RuntimeError, of which only the text tells.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
