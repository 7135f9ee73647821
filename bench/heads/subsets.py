"""The paper's head on concatenations of many subsets of the same sources, trained side by side.

All subsets see the same rows in the same order under one seed, so that a batch is gathered and standardised once for
all of them, and a subset's features are column blocks of it, which products read in place: nothing is joined. Each
head starts from the numbers that `bench.heads.fit` would draw for its seed. Where one batch holds all rows the two
train the same head, up to rounding; else the order of batches is another draw of the same distribution.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.errors import BenchError
from bench.heads.kinds import Job
from bench.heads.parameters import TOGETHER_BYTES, Parameters, Shape, draw, state_bytes
from bench.heads.pipeline import DivergedError, Prediction, standardisations
from bench.heads.weights import class_weights
from bench.products import fast_exact_products
from bench.specs import MLP, TUNED

Subset = tuple[int, ...]


def predict_subsets(
    features: Sequence[Tensor], subsets: Sequence[Subset], labels: np.ndarray, classes: int, job: Job, settings: MLP
) -> list[Prediction]:
    """Train one head for each subset of the sources, and predict.

    Args:
        features: One float32 matrix [n, d_i] per source, on one device.
        subsets: Positions of sources, ascending.
        labels: Class indices, int64 [n]; only those of training rows are read.
        classes: Length of the label list.
        job: Training rows, rows to predict, and the seed.
        settings: The head.

    Returns:
        What each subset's head says of `job.predict`.

    Raises:
        BenchError: Training features are not finite, training diverged, or the learning rate is to be tuned.
    """
    device = features[0].device
    train, predict = (torch.from_numpy(np.ascontiguousarray(rows)).to(device) for rows in (job.train, job.predict))
    scalings = standardisations(features, train)
    known, unknown = (
        torch.cat([scaling.apply(x[rows]) for scaling, x in zip(scalings, features, strict=True)], 1)
        for rows in (train, predict)
    )
    targets = torch.from_numpy(np.ascontiguousarray(labels[job.train])).to(device)
    ends = np.cumsum([x.shape[1] for x in features])
    columns = [(int(end) - x.shape[1], int(end)) for end, x in zip(ends, features, strict=True)]
    found: list[Prediction] = []
    with fast_exact_products(device), torch.no_grad():
        for chosen in _chunks(subsets, columns, classes, settings):
            heads = _train(known, targets, [_blocks(subset, columns) for subset in chosen], classes, job.seed, settings)
            found += [Prediction.of(head.logits(unknown)[1]) for head in heads]
    if not all(np.isfinite(each.probabilities).all() for each in found):
        raise DivergedError("Training a head on a subset of the models diverged: lower the learning rate.")
    return found


def _chunks(
    subsets: Sequence[Subset], columns: Sequence[tuple[int, int]], classes: int, settings: MLP
) -> Iterator[list[Subset]]:
    """Subsets that advance together: as many as keep Adam's state in bounds."""
    chunk: list[Subset] = []
    used = 0
    for subset in subsets:
        width = sum(columns[source][1] - columns[source][0] for source in subset)
        state = state_bytes(_shapes(width, classes, settings))
        if chunk and used + state > TOGETHER_BYTES:
            yield chunk
            chunk, used = [], 0
        chunk.append(subset)
        used += state
    yield chunk


def _blocks(subset: Subset, columns: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The subset's columns as few contiguous blocks."""
    blocks: list[tuple[int, int]] = []
    for source in subset:
        start, end = columns[source]
        if blocks and blocks[-1][1] == start:
            start = blocks.pop()[0]
        blocks.append((start, end))
    return blocks


@dataclass(frozen=True, eq=False)
class _Head:
    """One head's numbers and gradients, as views into flat vectors: weight [in, hidden], output [hidden, classes]."""

    blocks: list[tuple[int, int]]
    weight: Tensor
    bias: Tensor
    output: Tensor
    shift: Tensor
    gradients: tuple[Tensor, Tensor, Tensor, Tensor]

    def logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden values after ReLU [rows, hidden], and logits [rows, classes]."""
        hidden, start = self.bias.expand(len(x), -1).contiguous(), 0
        for low, high in self.blocks:
            hidden.addmm_(x[:, low:high], self.weight[start : start + high - low])
            start += high - low
        hidden.relu_()
        return hidden, torch.addmm(self.shift, hidden, self.output)

    def backward(self, x: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Fill the gradients of the mean cross-entropy of rows with `weights` [rows, 1]."""
        hidden, logits = self.logits(x)
        slope = logits.softmax(-1)
        slope.scatter_add_(1, targets, slope.new_full(targets.shape, -1)).mul_(weights / len(x))
        weight, bias, output, shift = self.gradients
        torch.mm(hidden.T, slope, out=output)
        torch.sum(slope, 0, out=shift)
        inner = (slope @ self.output.T).mul_(hidden > 0)
        torch.sum(inner, 0, out=bias)
        start = 0
        for low, high in self.blocks:
            torch.mm(x[:, low:high].T, inner, out=weight[start : start + high - low])
            start += high - low


def _train(
    x: Tensor, targets: Tensor, blocks: Sequence[list[tuple[int, int]]], classes: int, seed: int, settings: MLP
) -> list[_Head]:
    if settings.learning_rate == TUNED:
        raise BenchError("Heads on subsets are trained under one learning rate: give a number, it cannot be tuned.")
    parameters, heads = _initialise(blocks, classes, seed, settings, x.device)
    adam = torch.optim.Adam([parameters], lr=settings.learning_rate, fused=True)
    labels, order = targets.unsqueeze(1), torch.Generator().manual_seed(seed)
    weights = class_weights(targets, settings.class_weight).float().unsqueeze(1)
    for _ in range(settings.epochs):
        for rows in _epoch(len(x), settings.batch_size, order):
            # the order of rows within a single batch changes nothing but rounding, so it is not drawn
            batch, *wanted = (x, labels, weights) if rows is None else (x[rows], labels[rows], weights[rows])
            for head in heads:
                head.backward(batch, *wanted)
            adam.step()
    return heads


def _epoch(rows: int, size: int, generator: torch.Generator) -> Iterator[Tensor | None]:
    if rows <= size:
        yield None
    else:
        yield from torch.randperm(rows, generator=generator).split(size)


def _shapes(width: int, classes: int, settings: MLP) -> list[Shape]:
    """(out, in) of the hidden layer and of the output."""
    return [(settings.hidden, width), (classes, settings.hidden)]


def _initialise(
    blocks: Sequence[list[tuple[int, int]]], classes: int, seed: int, settings: MLP, device: torch.device
) -> tuple[Tensor, list[_Head]]:
    """The flat parameters (with their gradient) and the heads in them, each drawn as `torch.nn.Linear` does."""
    starts: list[Tensor] = []
    for each in blocks:
        shapes = _shapes(sum(high - low for low, high in each), classes, settings)
        for weight, bias in draw(shapes, torch.Generator().manual_seed(seed)):
            starts += [weight.T, bias]
    parameters = Parameters.of(starts, device)
    numbers, gradients = parameters.parts, parameters.gradients
    heads = []
    for number, each in enumerate(blocks):
        weight, bias, output, shift = numbers[4 * number : 4 * number + 4]
        slopes = gradients[4 * number : 4 * number + 4]
        heads.append(_Head(each, weight, bias, output, shift, slopes))  # type: ignore[arg-type]
    return parameters.vector, heads
