"""Perceptrons of many jobs, trained at once: batched products, one flat vector of parameters, fused Adam.

What costs time in training many small heads is memory traffic and the calls around the products, so:

- heads advance together, as many as keep Adam's state within `TOGETHER_BYTES`;
- the weights of all layers of all heads are one vector, and so are their gradients: Adam is one fused call;
- `_Product` writes a layer's gradient straight to where Adam reads it, and none is computed for the features;
- the loss is never computed: its gradient at the logits, softmax minus one-hot, is where the backward pass begins.

The loss is the mean of cross-entropies, each times its row's weight by class (`MLP.class_weight`). Of several labels a
row it is the sum of each label's own, and the gradient is the logistic function minus 0 or 1.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.heads.batches import Batches, padded
from bench.heads.kinds import Job, Problem
from bench.heads.parameters import TOGETHER_BYTES, Parameters, Shape, draw, state_bytes
from bench.heads.pipeline import Affine, Pipeline, Scaling, standardisations

# A weight of a scalar mix is the softmax of this many times its parameter: in the paper's 120 steps of 1e-4 a bare
# parameter would not get anywhere.
MIX_RATE = 100.0
HELD_OUT = 1024
"""Held-out rows that are read at a time, at least."""


def side_by_side(problem: Problem, jobs: Sequence[Job]) -> Iterator[list[int]]:
    """Positions of jobs whose batches have equal shapes, as many at a time as may advance together."""
    size = problem.settings.batch_size
    alike: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for number, job in enumerate(jobs):
        full = (len(job.train) - 1) // size
        alike[full, padded(len(job.train) - full * size)].append(number)
    together = at_once(problem)
    for numbers in alike.values():
        for start in range(0, len(numbers), together):
            yield numbers[start : start + together]


class Perceptrons:
    """The heads of some jobs, which begin as `torch.nn.Linear` does and go on by epochs.

    Args:
        problem: What the jobs are part of.
        jobs: Jobs that are `side_by_side`.
        weights: Of the problem's rows, for each job: [n] of numbers that are 1 on average over its training rows.
    """

    def __init__(self, problem: Problem, jobs: Sequence[Job], weights: Sequence[Tensor]) -> None:
        rows = [problem.rows(job) for job in jobs]
        self._problem, self._weights, self._several = problem, weights, problem.labels.ndim > 1
        self._scalings: Sequence[tuple[Scaling, ...]] = [standardisations(problem.features, each) for each in rows]
        self._generators = [torch.Generator().manual_seed(job.seed) for job in jobs]
        parameters, self._layers, self._mix = _initialise(problem, self._generators)
        self._batches = self._rows(rows, problem.settings.batch_size)
        self._adam = torch.optim.Adam([parameters], fused=True)

    def epoch(self, learning_rate: float) -> None:
        """See all training rows once."""
        self._adam.param_groups[0]["lr"] = learning_rate
        for batch in self._batches.epoch(self._generators):
            logits = _logits(self._problem, self._layers, self._mix, batch.inputs)
            with torch.no_grad():
                if self._several:
                    gradient = logits.sigmoid().sub_(batch.labels).mul_(batch.weights)
                else:
                    gradient = logits.softmax(-1)
                    minus = gradient.new_full(batch.labels.shape, -1)
                    gradient.scatter_add_(-1, batch.labels, minus).mul_(batch.weights)
            torch.autograd.backward(logits, gradient)
            self._adam.step()

    def held_out(self, rows: Sequence[Tensor]) -> Batches:
        """Rows that each head does not train on, as its training rows are standardised."""
        return self._rows(rows, max(self._problem.settings.batch_size, HELD_OUT))

    def losses(self, rows: Batches) -> Tensor:
        """The sum of weighted cross-entropies of held-out rows, float64 [heads]."""
        total = torch.zeros(len(self._generators), dtype=torch.float64, device=self._problem.device)
        with torch.no_grad():
            # sums know no order, so that any generators do
            for batch in rows.epoch([torch.Generator() for _ in self._generators]):
                logits = _logits(self._problem, self._layers, self._mix, batch.inputs)
                if self._several:
                    logs = torch.nn.functional.logsigmoid(logits * (2 * batch.labels - 1)).sum(-1, keepdim=True)
                else:
                    logs = logits.log_softmax(-1).gather(-1, batch.labels)
                sums = (logs * batch.weights).sum((1, 2), dtype=torch.float64)
                total -= sums * (batch.weights > 0).sum((1, 2))
        return total

    def pipelines(self) -> list[Pipeline]:
        """The heads as they are now."""
        scalings = self._scalings if self._mix is None else _weighted(self._scalings, self._mix)
        found = []
        for number, each in enumerate(scalings):
            affine = [
                Affine(layer.weight[number].detach().clone(), layer.bias[number].detach().clone())
                for layer in self._layers
            ]
            found.append(Pipeline(each, tuple(affine[:-2]), self._problem.operator, tuple(affine[-2:])))
        return found

    def _rows(self, rows: Sequence[Tensor], size: int) -> Batches:
        problem = self._problem
        return Batches(
            problem.features,
            problem.labels,
            rows,
            self._scalings,
            join=None if problem.width or self._mix else problem.operator,
            size=size,
            dtype=torch.bfloat16 if problem.precision == "fast" else torch.float32,
            room=problem.memory_bytes - len(rows) * _head_bytes(problem),
            weights=[each[chosen] for each, chosen in zip(self._weights, rows, strict=True)],
        )


def _weighted(scalings: Sequence[Sequence[Scaling]], mix: "_Mix") -> list[tuple[Scaling, ...]]:
    """The learned weights as part of each source's scaling, so that a trained pipeline needs nothing new."""
    with torch.no_grad():
        shares = mix.shares
    return [
        tuple(Scaling(mean, scale * share) for (mean, scale), share in zip(each, row, strict=True))
        for each, row in zip(scalings, shares, strict=True)
    ]


def _logits(problem: Problem, layers: "Sequence[_Layer]", mix: "_Mix | None", inputs: list[Tensor]) -> Tensor:
    *projections, hidden, output = layers
    fused = inputs[0] if mix is None else mix(inputs)
    if projections:
        assert problem.operator is not None
        fused = problem.operator.fuse([project(x) for project, x in zip(projections, inputs, strict=True)])
    return output(torch.relu_(hidden(fused)))


def _shapes(problem: Problem) -> list[Shape]:
    """(out, in) of every affine layer: projections, hidden, output."""
    widths = [x.shape[1] for x in problem.features]
    operator, hidden = problem.operator, problem.settings.hidden
    fused = sum(widths)
    projections: list[Shape] = []
    if operator is not None and problem.width:
        projections, fused = [(operator.parts * problem.width, width) for width in widths], problem.width
    elif operator is not None and (operator.weighted or operator.compared):
        fused = max(1, operator.compared) * widths[0]
    return [*projections, (hidden, fused), (problem.classes, hidden)]


def _head_bytes(problem: Problem) -> int:
    """About the bytes that one head takes at work: its state, a batch, and what the backward pass needs of it."""
    batch = padded(min(problem.settings.batch_size, max(len(job.train) for job in problem.jobs)))
    values = 3 * sum(x.shape[1] for x in problem.features) + 4 * (problem.settings.hidden + problem.classes)
    if problem.width:
        # The Hamilton product keeps most: a dozen quarters a step, and what holds the rows to their limit.
        values += 12 * len(problem.features) * problem.width
    workspace: int = 4 * batch * values
    return state_bytes(_shapes(problem)) + workspace


def at_once(problem: Problem) -> int:
    """How many heads advance together."""
    return max(1, min(TOGETHER_BYTES // state_bytes(_shapes(problem)), problem.memory_bytes // _head_bytes(problem)))


@dataclass(frozen=True, eq=False)
class _Layer:
    """One affine layer of every head, as views into the flat parameters and gradients; weight is [heads, out, in]."""

    weight: Tensor
    bias: Tensor
    weight_gradient: Tensor
    bias_gradient: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Float32 [heads, rows, out] of x [heads, rows, in]."""
        return _Product.apply(x, self.weight, self)  # type: ignore[no-any-return]


class _Product(torch.autograd.Function):
    """x · weightᵀ + bias, whose backward pass fills the layer's own gradient buffers."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, layer: _Layer) -> Tensor:
        ctx.save_for_backward(x)
        ctx.layer = layer
        return torch.bmm(x, weight.to(x.dtype).mT).float().add_(layer.bias.unsqueeze(1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None]:
        (x,), layer, (gradient,) = ctx.saved_tensors, ctx.layer, gradients
        torch.sum(gradient, 1, out=layer.bias_gradient)
        if x.dtype == torch.float32:
            torch.bmm(gradient.mT, x, out=layer.weight_gradient)
        else:
            layer.weight_gradient.copy_(torch.bmm(gradient.to(x.dtype).mT, x))
        return torch.bmm(gradient, layer.weight) if ctx.needs_input_grad[0] else None, None, None


@dataclass(frozen=True, eq=False)
class _Mix:
    """One weight a source of every head, as views into the flat parameters and gradients, [heads, sources]."""

    numbers: Tensor
    gradient: Tensor

    @property
    def shares(self) -> Tensor:
        """The weights, which sum to one over the sources."""
        return (MIX_RATE * self.numbers).softmax(-1)

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """Float32 [heads, rows, d] of as many inputs [heads, rows, d] as there are sources."""
        return _WeightedSum.apply(self.numbers, self, *inputs)  # type: ignore[no-any-return]


class _WeightedSum(torch.autograd.Function):
    """Σ share · input, whose backward pass fills the mix's own gradient buffer."""

    @staticmethod
    def forward(ctx: Any, numbers: Tensor, mix: _Mix, *inputs: Tensor) -> Tensor:  # noqa: ARG004 - asks for a gradient
        ctx.mix, ctx.inputs, ctx.shares = mix, inputs, mix.shares
        total = torch.zeros_like(inputs[0], dtype=torch.float32)
        for share, x in zip(ctx.shares.unbind(1), inputs, strict=True):
            total.add_(x * share[:, None, None])
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, ...]:
        (gradient,), shares = gradients, ctx.shares
        slopes = torch.stack([(gradient * x).sum((1, 2)) for x in ctx.inputs], 1)
        ctx.mix.gradient.copy_(MIX_RATE * shares * (slopes - (shares * slopes).sum(1, keepdim=True)))
        return (None,) * (2 + len(ctx.inputs))


def _initialise(problem: Problem, generators: Sequence[torch.Generator]) -> tuple[Tensor, list[_Layer], _Mix | None]:
    """The flat parameters (with their gradient) and the layers in them, each head drawn as `torch.nn.Linear` does.

    A mix begins with equal weights.
    """
    shapes, heads = _shapes(problem), len(generators)
    drawn = [draw(shapes, generator) for generator in generators]
    starts = [torch.stack(values) for layer in zip(*drawn, strict=True) for values in zip(*layer, strict=True)]
    mixed = problem.operator is not None and problem.operator.weighted
    if mixed:
        starts.append(torch.zeros(heads, len(problem.features)))
    parameters = Parameters.of(starts, problem.device)
    numbers, gradients = parameters.parts, parameters.gradients
    layers = [
        _Layer(numbers[i].requires_grad_(), numbers[i + 1], gradients[i], gradients[i + 1])
        for i in range(0, 2 * len(shapes), 2)
    ]
    mix = _Mix(numbers[-1].requires_grad_(), gradients[-1]) if mixed else None
    return parameters.vector, layers, mix
