"""Candidates scored by ridge regression: hundreds a minute, every fold of every repetition out of one factorisation.

It is for choosing what is worth a real evaluation. What it says of a row comes from a regression that did not see the
row, but three things were decided with all rows: how columns are standardised (which reads no label), how much a class
weighs, and the penalty, which is the best by leaving out single rows or groups. The head `ridge` decides all of them
within the training rows, and is what reported scores come from.

The sources' products are kept, and those of a concatenation are put together from them. Where the rows are fewer than
the columns that is the sum of the sources' [n, n]; otherwise, and above `LARGEST_DUAL` rows, the columns' products, a
block a pair of sources. There a source of more than `COLUMNS` columns is projected to so many.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.fusion import FUSIONS, Operator, common_width
from bench.heads.closed import PENALTIES, best_fit
from bench.heads.grams import CHUNK, Centred, Grams, products
from bench.heads.pipeline import standardisation
from bench.heads.projections import orthonormal
from bench.heads.regression import LeastSquares, Products, Read, fewer_rows
from bench.heads.weights import class_weights
from bench.specs import Candidate, ClassWeight, Source, fingerprint

LARGEST_DUAL = 2048
"""Rows beyond which rows are not multiplied with one another."""
COLUMNS = 640
"""Of a source, beyond `LARGEST_DUAL` rows: three of them take a second or two a candidate."""
LARGEST_DOUBLE = 512
"""Rows up to which the arithmetic is float64, and scores are exact to 1e-8. Beyond, they are to 1e-4 or so."""


@dataclass(frozen=True, eq=False)
class Screened:
    """What screening says of a candidate.

    Attributes:
        scores: Of each row out of fold, float64 [repetitions, n, classes]: estimates of the classes' shares that need
            be no probabilities (they add up to 1, and may leave 0 … 1). The largest is the predicted class. NaN for
            rows that no fold predicts.
        penalty: The multiple of `LeastSquares.unit` that was chosen; under late fusion its sources' geometric mean.
        error: Its weighted mean squared error over left-out rows; under late fusion the mean of its sources'.
    """

    scores: np.ndarray
    penalty: float
    error: float


class Screening:
    """Scores candidates on the same rows and folds.

    Args:
        read: From a source to the float32 features [n, d] of the training rows. It is called again and again, and
            ought to be fast.
        labels: Class indices, int64 [n].
        classes: Length of the label list.
        folds: Each row's fold in each repetition, int64 [repetitions, n]; −1 for a row that is never predicted.
        groups: Rows of one number are left out together where the penalty is chosen, int64 [n]; None: each by itself.
        class_weight: How classes weigh, see `bench.specs.ClassWeight`.
        penalties: What is tried, as multiples of `LeastSquares.unit`.
        memory_bytes: Of products that are kept, and about of the workspace beside them.
    """

    def __init__(
        self,
        read: Callable[[Source], Tensor],
        labels: np.ndarray,
        classes: int,
        folds: np.ndarray,
        *,
        groups: np.ndarray | None = None,
        class_weight: ClassWeight = "sqrt",
        penalties: Sequence[float] = PENALTIES,
        memory_bytes: int = 1 << 30,
    ) -> None:
        targets = torch.from_numpy(np.ascontiguousarray(labels))
        self._count, self._penalties, self._memory_bytes = len(labels), tuple(penalties), memory_bytes
        self._dtype = torch.float64 if self._count <= LARGEST_DOUBLE else torch.float32
        self._targets = torch.nn.functional.one_hot(targets, classes).to(self._dtype)
        self._weights = class_weights(targets, class_weight)
        together = groups is not None and 1 < len(np.unique(groups)) < len(groups)
        self._groups = torch.from_numpy(np.ascontiguousarray(groups)) if together else None
        self._folds = torch.from_numpy(np.ascontiguousarray(folds))
        self._kept: dict[Source, Screened] = {}
        self._grams = Grams(
            read,
            self._weights,
            dtype=self._dtype,
            columns=COLUMNS if self._count > LARGEST_DUAL else None,
            memory_bytes=memory_bytes,
        )

    def score(self, candidate: Candidate) -> Screened:
        """The candidate's scores, whatever its head is.

        Projections of an aligned operator are one random draw for all folds, by the fingerprint of sources, operator
        and width; the fused features are standardised again. Late fusion is the mean of its sources' scores.

        Raises:
            BenchError: features are not finite, or do not go with the operator.
        """
        with torch.no_grad():
            sources = candidate.sources
            if candidate.fusion in {"none", "concat"}:
                return self._concatenated(sources)
            operator = FUSIONS[candidate.fusion]
            if operator.late:
                each = list(map(self._alone, sources))
                return Screened(
                    np.mean([one.scores for one in each], axis=0),
                    float(np.exp(np.mean([np.log(one.penalty) for one in each]))),
                    float(np.mean([one.error for one in each])),
                )
            named = candidate.model_dump(mode="json", include={"sources", "fusion", "width"})
            return self._fused(operator, sources, candidate.width, int(fingerprint(named, length=8), 16))

    def _alone(self, source: Source) -> Screened:
        """A single source's, kept as far as there is room: sets that are fused late share their sources."""
        if (found := self._kept.get(source)) is None:
            found = self._concatenated([source])
            if (len(self._kept) + 1) * found.scores.nbytes <= self._memory_bytes // 4:
                self._kept[source] = found
        return found

    def _concatenated(self, sources: Sequence[Source]) -> Screened:
        def rows(at: Tensor | slice) -> Tensor:
            return torch.cat([self._grams.rows(source)(at) for source in sources], 1)

        if self._dual(sum(map(self._grams.width, sources))):
            return self._chosen(Products(self._grams.gram(sources), of_rows=True), rows)
        return self._chosen(Products(self._grams.columns(sources), of_rows=False), rows)

    def _fused(self, operator: Operator, sources: Sequence[Source], width: int | None, seed: int) -> Screened:
        parts = [self._grams.standardised(source) for source in sources]
        first = [part(torch.zeros(1, dtype=torch.int64)) for part in parts]
        projections = orthonormal(operator, common_width(operator, [x.shape[1] for x in first], width), first, seed)

        def fuse(chunk: Tensor | slice) -> Tensor:
            rows = [part(chunk) for part in parts]
            if projections:
                rows = [projection.apply(x) for projection, x in zip(projections, rows, strict=True)]
            return operator.fuse(rows)

        every = torch.arange(self._count)
        little = self._count * sum(part.shape[1] for part in first) * 4 <= self._memory_bytes
        fused = fuse(every).__getitem__ if little else fuse
        again = standardisation(fused, every)
        rows = Centred.of(lambda chunk: again.apply(fused(chunk)), self._weights, self._dtype)
        if self._dual(rows.width):
            matrix = torch.cat([rows(chunk) for chunk in rows.chunks()])
            return self._chosen(Products(matrix @ matrix.T, of_rows=True), rows)
        return self._chosen(Products(products(rows, rows), of_rows=False), rows)

    def _dual(self, width: int) -> bool:
        return self._count <= LARGEST_DUAL and fewer_rows(self._count, width)

    def _chosen(self, products: Products, rows: Read) -> Screened:
        """The best penalty by leaving out single rows or groups, and what it says out of fold."""
        if not products.of_rows and self._count * len(products.matrix) * self._dtype.itemsize <= self._memory_bytes:
            rows = torch.cat([rows(chunk) for chunk in torch.arange(self._count).split(CHUNK)]).__getitem__
        problem = LeastSquares(
            products, rows, self._targets, self._weights, self._dtype, self._memory_bytes, self._groups
        )
        place, fit = best_fit(problem, [penalty * problem.unit for penalty in self._penalties])
        scores = fit.out_of_fold(self._folds)
        return Screened(scores.double().numpy(), self._penalties[place], fit.error)
