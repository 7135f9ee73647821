"""Standardised training rows of several heads, a batch of each at a time."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bench.fusion import Operator
from bench.heads.pipeline import Scaling

ROW_MULTIPLE = 16


def padded(rows: int) -> int:
    """`rows` rounded up to a multiple of `ROW_MULTIPLE`.

    What is padded is a property of one job, never of those beside it, so that no job's products depend on another's.
    """
    return -(-rows // ROW_MULTIPLE) * ROW_MULTIPLE


class Minibatch(NamedTuple):
    """One step's rows for every head.

    Attributes:
        inputs: Per source (or one, where sources need no projection and are joined) [heads, rows, d].
        labels: [heads, rows, 1]; of several a row 0 or 1 of each, [heads, rows, labels].
        weights: [heads, rows, 1]; a row's weight / a head's number of rows, and 0 for padding.
    """

    inputs: list[Tensor]
    labels: Tensor
    weights: Tensor


class Batches:
    """The training rows of heads whose jobs take the same number of steps an epoch.

    While memory allows, each head's rows are standardised once and kept; else a batch is gathered from the shared
    features and standardised as it is needed.

    Args:
        features: One matrix [n, d_i] per source.
        labels: int64 [n]; of several a row, [n, labels].
        rows: Training rows per head.
        scalings: Per head, per source.
        join: The operator, where it fuses the standardised sources as they are (concatenation).
        size: Rows a batch, before padding. A head with no more rows than that sees them all in each step.
        dtype: Of the inputs.
        room: Bytes that kept rows may take.
        weights: Of each head's training rows, 1 on average.
    """

    def __init__(
        self,
        features: Sequence[Tensor],
        labels: Tensor,
        rows: Sequence[Tensor],
        scalings: Sequence[Sequence[Scaling]],
        *,
        join: Operator | None,
        size: int,
        dtype: torch.dtype,
        room: int,
        weights: Sequence[Tensor],
    ) -> None:
        self.features, self.scalings, self.join, self.size, self.dtype = features, scalings, join, size, dtype
        self.counts = [len(chosen) for chosen in rows]
        self.weights = [each.float().cpu() for each in weights]
        longest = padded(max(self.counts))
        # Padding repeats a head's own first row, with weight 0.
        self.rows = torch.stack([torch.cat([r, r[:1].expand(longest - len(r))]) for r in rows])
        self.labels = labels[self.rows]
        # Where each head's rows begin, when all kept rows are seen as one matrix.
        self.offsets = torch.arange(0, len(rows) * longest, longest, device=labels.device).unsqueeze(1)
        width = sum(x.shape[1] for x in features)
        needed = self.rows.numel() * width * dtype.itemsize * (1 if join is None else 2) + 8 * longest * width
        single = max(self.counts) <= size
        self.kept = self._standardised(self.rows) if needed <= room and not single else None
        self.whole = self._batch([torch.arange(count) for count in self.counts]) if single else None

    def epoch(self, generators: Sequence[torch.Generator]) -> Iterator[Minibatch]:
        """The batches of one epoch, in the order that each head's generator draws; the last one may be smaller."""
        if self.whole is not None:
            # The order of rows within a single batch changes nothing but rounding, so it is not drawn.
            yield self.whole
            return
        orders = [torch.randperm(n, generator=g) for n, g in zip(self.counts, generators, strict=True)]
        for start in range(0, max(self.counts), self.size):
            yield self._batch([order[start : start + self.size] for order in orders])

    def _batch(self, picks: Sequence[Tensor]) -> Minibatch:
        """The batch of given positions within each head's training rows."""
        positions = torch.zeros(len(picks), padded(max(map(len, picks))), dtype=torch.int64)
        weights = torch.zeros(*positions.shape, 1)
        for head, pick in enumerate(picks):
            positions[head, : len(pick)] = pick
            weights[head, : len(pick), 0] = self.weights[head][pick] / len(pick)
        positions = positions.to(self.features[0].device)
        if self.kept is None:
            inputs = self._standardised(self.rows.gather(1, positions))
        else:
            flat = (positions + self.offsets).flatten()
            inputs = [kept.flatten(0, 1).index_select(0, flat).unflatten(0, positions.shape) for kept in self.kept]
        labels = self.labels[torch.arange(len(picks), device=positions.device)[:, None], positions]
        labels = labels if self.labels.ndim > 2 else labels.unsqueeze(-1)
        return Minibatch(inputs, labels, weights.to(positions.device))

    def _standardised(self, rows: Tensor) -> list[Tensor]:
        """The inputs of given rows [heads, rows] of the features."""
        inputs = []
        for source, x in enumerate(self.features):
            matrix = x.new_empty(*rows.shape, x.shape[1], dtype=self.dtype)
            for head, chosen in enumerate(rows):
                matrix[head] = self.scalings[head][source].apply(x[chosen])
            inputs.append(matrix)
        return inputs if self.join is None else [self.join.fuse(inputs)]
