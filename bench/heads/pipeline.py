"""What a trained head is: standardise → project → fuse → layers (affine with ReLU between, or neighbours) → softmax."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from bench.errors import BenchError
from bench.fusion import FUSIONS, Operator
from bench.registry import Registry

MEBIBYTE = 1 << 20


class DivergedError(BenchError):
    """Training ended in values that are not finite."""


class NotFiniteError(BenchError):
    """Features hold NaN or infinity."""


class Scaling(NamedTuple):
    """Standardisation of one source, float32 [d] each: (x − mean) · scale. A constant column has scale 0."""

    mean: Tensor
    scale: Tensor

    def apply(self, rows: Tensor) -> Tensor:
        """Standardised `rows`, in a new tensor."""
        return (rows - self.mean).mul_(self.scale)


class Affine(NamedTuple):
    """x ↦ x · weightᵀ + bias, with weight [out, in] and bias [out], as in `torch.nn.Linear`."""

    weight: Tensor
    bias: Tensor

    def apply(self, rows: Tensor) -> Tensor:
        """The transformed `rows`."""
        return torch.nn.functional.linear(rows, self.weight, self.bias)

    @property
    def values(self) -> int:
        """How many numbers a row takes while it passes through."""
        return self.bias.numel()


class Nearest(NamedTuple):
    """x ↦ the logarithms of (votes of the k nearest of m kept rows + prior) / (k + 1), float32.

    Attributes:
        mean: With `scale`, float32 [d]: how x is standardised before it is compared.
        scale: As in `Scaling`.
        rows: Kept rows, standardised, float32 [m, d].
        votes: What each of them says of each output, float32 [m, out].
        prior: One vote more, shared by the outputs, float32 [out]; 0 leaves an output without votes at −inf.
        k: How many vote, int64 [].
    """

    mean: Tensor
    scale: Tensor
    rows: Tensor
    votes: Tensor
    prior: Tensor
    k: Tensor

    def apply(self, rows: Tensor) -> Tensor:
        """The logarithms of the shares of some `rows`, [len(rows), out]."""
        half = self.rows.square().sum(1) / 2
        distances = torch.addmm(half, (rows - self.mean) * self.scale, self.rows.T, alpha=-1)
        k = int(self.k)
        near, places = distances.topk(k, largest=False, sorted=False)
        shares = (self.votes[places].sum(1) + self.prior) / (k + 1)
        # rows always vote, also for what is nowhere
        return shares.log().masked_fill(~near.isfinite().all(1, keepdim=True), torch.nan)

    @property
    def values(self) -> int:
        """How many numbers a row takes while it passes through."""
        return len(self.rows) + (1 + int(self.k)) * self.votes.shape[1]


Layer = Affine | Nearest
Entry = TypeVar("Entry", Scaling, Affine, Nearest)


@dataclass(frozen=True)
class Pipeline:
    """A trained head on sources that are fused by their features, or on one source.

    Attributes:
        scalings: One per source, from the training rows.
        projections: One per source, or none where the operator does not align.
        operator: What fuses the sources; None for a single one.
        layers: Affine layers, or one of neighbours; the last one's outputs are the classes' logits. A class that the
            training rows lack may have −inf: probability 0.
    """

    scalings: tuple[Scaling, ...]
    projections: tuple[Affine, ...]
    operator: Operator | None
    layers: tuple[Layer, ...]

    def fused(self, features: Sequence[Tensor], rows: Tensor) -> Tensor:
        """The fused features [len(rows), d] of some rows of the sources' matrices."""
        return self._joined(x[rows] for x in features)

    def logits(self, features: Sequence[Tensor], rows: Tensor) -> Tensor:
        """The outputs of the last layer, float32 [len(rows), outputs]: in classification the classes' logits."""
        return self.outputs(x[rows] for x in features)

    def outputs(self, sources: Iterable[Tensor]) -> Tensor:
        """The same of sources that are whole, [rows, d] each."""
        x = self._joined(sources)
        for depth, layer in enumerate(self.layers):
            x = layer.apply(torch.relu(x) if depth else x)
        return x

    def _joined(self, rows: Iterable[Tensor]) -> Tensor:
        sources = [scaling.apply(x) for scaling, x in zip(self.scalings, rows, strict=True)]
        if self.projections:
            sources = [projection.apply(x) for projection, x in zip(self.projections, sources, strict=True)]
        return sources[0] if self.operator is None else self.operator.fuse(sources)


@dataclass(frozen=True)
class Link:
    """How the outputs of the last layer become scores.

    Attributes:
        scores: From outputs [rows, outputs] to scores of the same shape.
        logs: From outputs to the scores' natural logarithms; None where scores are no probabilities.
    """

    scores: Callable[[Tensor], Tensor]
    logs: Callable[[Tensor], Tensor] | None


LINKS: Registry[Link] = Registry("link")
LINKS.add("softmax", Link(lambda outputs: outputs.softmax(-1), lambda outputs: outputs.log_softmax(-1)))
LINKS.add("sigmoid", Link(torch.sigmoid, torch.nn.functional.logsigmoid))
LINKS.add("identity", Link(lambda outputs: outputs, None))


class Prediction(NamedTuple):
    """Of some rows, float32 [rows, outputs] each: a head's scores, and what of them is kept.

    Under ``softmax`` these are class probabilities and their natural logarithms, which are exact where a probability is
    too small for its type, or is rounded to one. Where scores are no probabilities both are the scores.
    """

    probabilities: np.ndarray
    logs: np.ndarray

    @classmethod
    def of(cls, outputs: Tensor, link: Link = LINKS["softmax"]) -> "Prediction":
        """From the outputs of the last layer."""
        scores = link.scores(outputs).cpu().numpy()
        return cls(scores, scores if link.logs is None else link.logs(outputs).cpu().numpy())


@dataclass(frozen=True)
class FittedHead:
    """A trained candidate: all that is needed to predict from its sources, and to be saved.

    Attributes:
        fusion: The operator's name, or ``"none"``.
        parts: One pipeline; under late fusion one per source.
        report: How training went, by part (for the logistic head: C, iterations, converged, gradient).
        link: How outputs become scores, by its name in `LINKS`; that of the task.
    """

    fusion: str
    parts: tuple[Pipeline, ...]
    report: tuple[Mapping[str, float], ...] = field(default=(), compare=False)
    link: str = "softmax"

    @property
    def converged(self) -> bool:
        """Whether every part that has a criterion met it."""
        return all(part.get("converged", True) for part in self.report)

    def predict(
        self, features: Sequence[Tensor], rows: np.ndarray, *, memory_bytes: int = 256 * MEBIBYTE
    ) -> np.ndarray:
        """Class probabilities of some rows, float32 [len(rows), classes], as `prediction` has them."""
        return self.prediction(features, rows, memory_bytes=memory_bytes).probabilities

    def prediction(
        self, features: Sequence[Tensor], rows: np.ndarray, *, memory_bytes: int = 256 * MEBIBYTE
    ) -> Prediction:
        """Class probabilities of some rows and their logarithms.

        Args:
            features: One matrix [n, d_i] per source.
            rows: Indices into them.
            memory_bytes: About how much workspace may be used; rows are taken in chunks.

        Raises:
            BenchError: A probability is not finite.
        """
        width = 4 * sum(x.shape[1] for x in features) + sum(
            layer.values for part in self.parts for layer in (*part.projections, *part.layers)
        )
        size = max(1, memory_bytes // (4 * width))
        index = torch.from_numpy(np.ascontiguousarray(rows)).to(features[0].device)
        with torch.inference_mode():
            chunks = [self._predicted(features, chunk) for chunk in index.split(size)]
        found = Prediction(*(np.concatenate(each) for each in zip(*chunks, strict=True)))
        if not np.isfinite(found.probabilities).all():
            raise DivergedError(
                "A head predicts values that are not finite: its features hold NaN or infinity, or its training "
                "diverged. Check the embeddings (bench store verify), or lower the learning rate."
            )
        return found

    def distances(self, features: Sequence[Tensor]) -> np.ndarray:
        """How unlike the training rows each row is, float32 [rows]: the root mean square of its standardised columns.

        It is about 1 in the mean over the training rows.
        """
        scalings = [scaling for part in self.parts for scaling in part.scalings]
        with torch.inference_mode():
            squares = [scaling.apply(x).square_().sum(1) for scaling, x in zip(scalings, features, strict=True)]
            columns = sum(int((scaling.scale > 0).sum()) for scaling in scalings)
            found: np.ndarray = (torch.stack(squares).sum(0) / max(1, columns)).sqrt().cpu().numpy()
        return found

    def _predicted(self, features: Sequence[Tensor], rows: Tensor) -> Prediction:
        link = LINKS[self.link]
        if len(self.parts) == 1:
            return Prediction.of(self.parts[0].logits(features, rows), link)
        each = [link.scores(part.logits([x], rows)) for part, x in zip(self.parts, features, strict=True)]
        fused = FUSIONS[self.fusion].fuse(each)
        return Prediction(fused.cpu().numpy(), (fused if link.logs is None else fused.log()).cpu().numpy())

    def state(self) -> dict[str, Tensor]:
        """Its numbers by name, on the CPU: ``{part}.{scaling|projection|layer|nearest}.{position}.{field}``."""
        values: dict[str, Tensor] = {}
        for number, part in enumerate(self.parts):
            _enter(values, f"{number}.scaling", part.scalings)
            _enter(values, f"{number}.projection", part.projections)
            _enter(values, f"{number}.layer", [layer for layer in part.layers if isinstance(layer, Affine)])
            _enter(values, f"{number}.nearest", [layer for layer in part.layers if isinstance(layer, Nearest)])
        return values

    @classmethod
    def from_state(cls, fusion: str, state: Mapping[str, Tensor], link: str = "softmax") -> "FittedHead":
        """The head whose `state` this is; `fusion` is its candidate's, `link` its task's."""
        operator = None if fusion == "none" or FUSIONS[fusion].late else FUSIONS[fusion]
        parts: list[Pipeline] = []
        while scalings := _collect(Scaling, state, f"{len(parts)}.scaling"):
            projections = _collect(Affine, state, f"{len(parts)}.projection")
            affine = _collect(Affine, state, f"{len(parts)}.layer")
            nearest = _collect(Nearest, state, f"{len(parts)}.nearest")
            parts.append(Pipeline(scalings, projections, operator, (*affine, *nearest)))
        return cls(fusion, tuple(parts), link=link)


def _enter(state: dict[str, Tensor], prefix: str, entries: Sequence[Scaling | Layer]) -> None:
    for position, entry in enumerate(entries):
        for name, value in zip(entry._fields, entry, strict=True):
            state[f"{prefix}.{position}.{name}"] = value.cpu().contiguous()


def _collect(kind: type[Entry], state: Mapping[str, Tensor], prefix: str) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    while (start := f"{prefix}.{len(entries)}") + f".{kind._fields[0]}" in state:
        entries.append(kind(*(state[f"{start}.{name}"] for name in kind._fields)))
    return tuple(entries)


def standardisation(read: Callable[[Tensor], Tensor], rows: Tensor, *, values: int = 1 << 22) -> Scaling:
    """The mean and the reciprocal standard deviation of some rows' columns, accumulated in float64.

    A column whose spread is below float32's resolution at its mean counts as constant.

    Args:
        read: Gives the matrix [len(chunk), d] of a chunk of rows.
        rows: Indices of the rows.
        values: About how many numbers to read at a time.

    Raises:
        NotFiniteError: A column holds NaN or infinity in those rows.
    """
    chunks = rows.split(max(1, values // read(rows[:1]).shape[1]))
    # what is one chunk is read once
    kept = [read(chunk).double() for chunk in chunks] if len(chunks) == 1 else None
    mean = torch.stack([each.sum(0) for each in kept or (read(chunk).double() for chunk in chunks)]).sum(0) / len(rows)
    squares = torch.stack(
        [(each - mean).square_().sum(0) for each in kept or (read(chunk).double() for chunk in chunks)]
    ).sum(0)
    deviation = (squares / len(rows)).sqrt()
    if not torch.isfinite(deviation).all():
        raise NotFiniteError("Training features hold NaN or infinity. Check the embeddings (bench store verify).")
    constant = deviation <= torch.finfo(torch.float32).eps * mean.abs()
    return Scaling(mean.float(), torch.where(constant, 0, 1 / deviation).float())


def standardisations(features: Sequence[Tensor], rows: Tensor) -> tuple[Scaling, ...]:
    """Every source's `standardisation` on the same rows."""
    return tuple(standardisation(x.__getitem__, rows) for x in features)
