"""The paper's head, trained for all jobs at once: batched products, one flat vector of parameters, fused Adam.

What costs time in training many small heads is memory traffic and the calls around the products, so:

- heads advance together, as many as keep Adam's state within `TOGETHER_BYTES`;
- the weights of all layers of all heads are one vector, and so are their gradients: Adam is one fused call;
- `_Product` writes a layer's gradient straight to where Adam reads it, and none is computed for the features;
- the loss is never computed: its gradient at the logits, softmax minus one-hot, is where the backward pass begins.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.heads.batches import Batches, padded
from bench.heads.pipeline import Affine, Pipeline, standardisations
from bench.heads.training import Job, Problem, Trained, head
from bench.specs import MLP

TOGETHER_BYTES = 128 << 20


@head("mlp")
def train(problem: Problem) -> list[Trained]:
    """One hidden layer, Adam, a fixed number of epochs (the paper's head)."""
    batch_size = problem.settings.batch_size
    groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for number, job in enumerate(problem.jobs):
        full = (len(job.train) - 1) // batch_size
        groups[full, padded(len(job.train) - full * batch_size)].append(number)
    trained: dict[int, Trained] = {}
    for numbers in groups.values():
        size = _together(problem)
        for start in range(0, len(numbers), size):
            chosen = numbers[start : start + size]
            trained.update(zip(chosen, _train(problem, [problem.jobs[number] for number in chosen]), strict=True))
    return [trained[number] for number in range(len(problem.jobs))]


def _train(problem: Problem, jobs: Sequence[Job]) -> list[Trained]:
    """Train heads whose batches have equal shapes."""
    settings: MLP = problem.settings
    rows = [problem.rows(job) for job in jobs]
    scalings = [standardisations(problem.features, chosen) for chosen in rows]
    generators = [torch.Generator().manual_seed(job.seed) for job in jobs]
    parameters, layers = _initialise(problem, generators)
    batches = Batches(
        problem.features,
        problem.labels,
        rows,
        scalings,
        join=None if problem.width else problem.operator,
        size=settings.batch_size,
        dtype=torch.bfloat16 if problem.precision == "fast" else torch.float32,
        room=problem.memory_bytes - len(jobs) * _head_bytes(problem),
    )
    adam = torch.optim.Adam([parameters], lr=settings.learning_rate, fused=True)
    for _ in range(settings.epochs):
        for batch in batches.epoch(generators):
            logits = _logits(problem, layers, batch.inputs)
            with torch.no_grad():
                gradient = logits.softmax(-1)
                gradient.scatter_add_(-1, batch.labels, gradient.new_full(batch.labels.shape, -1)).mul_(batch.weights)
            torch.autograd.backward(logits, gradient)
            adam.step()
    trained = []
    for number in range(len(jobs)):
        affine = [
            Affine(layer.weight[number].detach().clone(), layer.bias[number].detach().clone()) for layer in layers
        ]
        pipeline = Pipeline(scalings[number], tuple(affine[:-2]), problem.operator, tuple(affine[-2:]))
        trained.append(Trained(pipeline, {}))
    return trained


def _logits(problem: Problem, layers: "Sequence[_Layer]", inputs: list[Tensor]) -> Tensor:
    *projections, hidden, output = layers
    fused = inputs[0]
    if projections:
        assert problem.operator is not None
        fused = problem.operator.fuse([project(x) for project, x in zip(projections, inputs, strict=True)])
    return output(torch.relu_(hidden(fused)))


def _shapes(problem: Problem) -> list[tuple[int, int]]:
    """(out, in) of every affine layer: projections, hidden, output."""
    widths = [x.shape[1] for x in problem.features]
    projections = [(problem.width, width) for width in widths] if problem.width else []
    hidden: int = problem.settings.hidden
    return [*projections, (hidden, problem.width or sum(widths)), (problem.classes, hidden)]


def _state_bytes(problem: Problem) -> int:
    """Bytes of one head's parameters, their gradient and Adam's two moments."""
    return 16 * sum(out * (inner + 1) for out, inner in _shapes(problem))


def _head_bytes(problem: Problem) -> int:
    """About the bytes that one head takes at work: its state, a batch, and what the backward pass needs of it."""
    batch = padded(min(problem.settings.batch_size, max(len(job.train) for job in problem.jobs)))
    values = 3 * sum(x.shape[1] for x in problem.features) + 4 * (problem.settings.hidden + problem.classes)
    if problem.width:
        # The Hamilton product keeps most: a dozen quarters a step, and what holds the rows to their limit.
        values += 12 * len(problem.features) * problem.width
    workspace: int = 4 * batch * values
    return _state_bytes(problem) + workspace


def _together(problem: Problem) -> int:
    """How many heads advance together."""
    return max(1, min(TOGETHER_BYTES // _state_bytes(problem), problem.memory_bytes // _head_bytes(problem)))


@dataclass(frozen=True)
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


def _initialise(problem: Problem, generators: Sequence[torch.Generator]) -> tuple[Tensor, list[_Layer]]:
    """The flat parameters (with their gradient) and the layers in them, each head drawn as `torch.nn.Linear` does."""
    shapes, heads = _shapes(problem), len(generators)
    sizes = [heads * count for out, inner in shapes for count in (out * inner, out)]
    # Whole vectors, so that no head's numbers lie in a tail that Adam's kernel computes by other instructions.
    sizes.append(-sum(sizes) % 64)
    values = torch.zeros(sum(sizes))
    blocks = values.split(sizes)[:-1]
    for number, generator in enumerate(generators):
        for position, block in enumerate(blocks):
            bound = 1 / math.sqrt(shapes[position // 2][1])
            block.unflatten(0, (heads, -1))[number].uniform_(-bound, bound, generator=generator)
    parameters = values.to(problem.device)
    parameters.grad = torch.zeros_like(parameters)
    numbers, gradients = parameters.split(sizes), parameters.grad.split(sizes)
    layers = [
        _Layer(
            numbers[2 * i].view(heads, out, inner).requires_grad_(),
            numbers[2 * i + 1].view(heads, out),
            gradients[2 * i].view(heads, out, inner),
            gradients[2 * i + 1].view(heads, out),
        )
        for i, (out, inner) in enumerate(shapes)
    ]
    return parameters, layers
