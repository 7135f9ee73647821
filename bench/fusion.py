"""Fusion operators: n ≥ 2 sources become one matrix of features (or, late, one matrix of probabilities).

The paper names its operators (section 3.2) and leaves details open. What is chosen here, and why:

- *Concatenation is not projected*: equation 2 joins vectors as they are, and projecting first would only lose width.
- *Every source of an aligned operator has its own learnable affine projection*, also one that has the common width
  already: otherwise the narrowest source alone would be stuck with the axes that its model happened to learn.
- *The common width is the smallest source width* (the paper's choice), rounded down to what the operator needs: a
  perfect square for the matrix product, a multiple of four for quaternions. Rounding up would invent dimensions.
- *The residual adds the mean of the projected sources.* The mean favours no source, so an operator that commutes
  still does, and its scale does not grow with their number. For the sum it is only a factor (n + 1) / n; it is kept
  because the paper lists it, and because under a fixed number of steps scale changes how far training gets.
- *A quaternion's four parts are contiguous quarters* (r, i, j, k) of a row, so that splitting is a view.
- *Products of sums are scaled* to keep unit variance for independent inputs of unit variance: the matrix product of
  s × s matrices by 1/√s, the Hamilton product (four terms) by 1/2.
- *Operators of two tensors are folded from the left.* A row whose root mean square passes 1e4, as it enters a fold or
  after one of its steps, is scaled back to 1e4 (as a constant, without gradient), so that folds over many sources
  stay finite. Rows that training meets in practice are orders of magnitude below that.
- *Late fusion* gives each source a head of its own and averages the class probabilities.
- A single source is not fused: its candidate says ``"none"``, which is no operator.

Beyond the paper (its section 7) there are operators that learn how much of each source to take, text by text:

- *Gated sum* and *attention* have a second learned projection of every source beside the first one: the gate of a
  value (Arevalo et al. 2017, gated multimodal units), or its key. Under a logistic head, where nothing before the
  regression is learned, both projections are random.
- *Scalar mix* (Peters et al. 2018) weights whole sources of one width, the layers of a model, by a learned softmax that
  is the same for every text; it projects nothing. Under a logistic head the weights stay equal.

Two fields of a row, read by one model, can be *compared* value by value, which a projection of each would undo: by
|u − v|, by u ∗ v, or by both beside u and v (InferSent, Conneau et al. 2017, section 3.1).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    Fuse = Callable[[Sequence[Tensor]], Tensor]

ROW_LIMIT = 1e4


@dataclass(frozen=True)
class Operator:
    """One way to fuse sources.

    Attributes:
        name: What a candidate's `fusion` says.
        summary: One line for people.
        fuse: From n ≥ 2 tensors [..., n rows, d] to one; leading dimensions are batched over. The tensors' widths
            are equal where `aligned`.
        commutative: Whether the order of the sources makes no difference to what a head can learn: it changes at most
            the order of the fused columns (concatenation). Candidates that differ in it alone are then the same.
        aligned: Whether the sources are projected to a common width first.
        late: Whether `fuse` takes the sources' class probabilities rather than their features.
        fit_width: The widest width ≤ the given one that the operator can work on; 0 when there is none.
        parts: How many projections of each source `fuse` gets, side by side; it gives the width of one.
        weighted: Whether each source is multiplied by a learned weight first (a softmax over sources), in which case
            the sources must have one width.
        compared: How many columns each column of two sources of one model becomes, where two are compared value by
            value; 0 where they are not.
    """

    name: str
    summary: str
    fuse: "Fuse"
    commutative: bool
    aligned: bool
    late: bool
    fit_width: Callable[[int], int]
    parts: int = 1
    weighted: bool = False
    compared: int = 0


FUSIONS: Registry[Operator] = Registry("fusion operator", pluggable=True)


def any_width(width: int) -> int:
    """Every width will do."""
    return width


def square_width(width: int) -> int:
    """The largest perfect square ≤ `width`."""
    return math.isqrt(width) ** 2


def quarter_width(width: int) -> int:
    """The largest multiple of four ≤ `width`."""
    return width // 4 * 4


def fusion(
    name: str,
    *,
    commutative: bool,
    aligned: bool = True,
    late: bool = False,
    fit_width: Callable[[int], int] = any_width,
    residual: bool = False,
    parts: int = 1,
    weighted: bool = False,
    compared: int = 0,
) -> "Callable[[Fuse], Fuse]":
    """Enter the decorated function in `FUSIONS`; its docstring's first line is the summary.

    Args:
        name: The operator's name.
        commutative: See `Operator`.
        aligned: See `Operator`.
        late: See `Operator`.
        fit_width: See `Operator`.
        residual: Also enter ``name+residual``, which adds the mean of the sources.
        parts: See `Operator`.
        weighted: See `Operator`.
        compared: See `Operator`.
    """

    def register(fuse: "Fuse") -> "Fuse":
        def with_residual(sources: "Sequence[Tensor]") -> "Tensor":
            return fuse(sources) + mean(sources)

        summary = (fuse.__doc__ or name).splitlines()[0].rstrip(".")
        operator = Operator(name, summary, fuse, commutative, aligned, late, fit_width, parts, weighted, compared)
        FUSIONS.add(name, operator, fuse)
        if residual:
            name_, summary_ = f"{name}+residual", f"{summary}, plus the mean of the sources"
            FUSIONS.add(name_, Operator(name_, summary_, with_residual, commutative, aligned, late, fit_width), fuse)
        return fuse

    return register


def common_width(operator: Operator, widths: Sequence[int], requested: int | None = None) -> int | None:
    """The width that sources of `widths` are projected to, or None where nothing is projected.

    Args:
        operator: What fuses the sources.
        widths: The sources' own widths.
        requested: Start from this width instead of the smallest of `widths`.

    Raises:
        BenchError: No positive width suits the operator, or the sources' widths must be equal and are not.
    """
    if operator.weighted and len(set(widths)) > 1:
        raise BenchError(
            f"'{operator.name}' mixes sources of one width, such as layers of one model, not of {sorted(set(widths))}."
        )
    if operator.compared and (len(widths) != 2 or len(set(widths)) > 1):
        raise BenchError(
            f"'{operator.name}' compares two sources of one width, not {len(widths)} of {sorted(set(widths))}."
        )
    if not operator.aligned:
        return None
    wanted = min(widths) if requested is None else requested
    width = operator.fit_width(wanted)
    if width < 1:
        raise BenchError(f"'{operator.name}' cannot fuse sources at a width of {wanted}: ask for a wider one.")
    return width


def mean(tensors: "Sequence[Tensor]") -> "Tensor":
    """The mean of tensors of one shape."""
    return reduce(lambda total, tensor: total + tensor, tensors) / len(tensors)


def fold(step: "Callable[[Tensor, Tensor], Tensor]", sources: "Sequence[Tensor]") -> "Tensor":
    """Fold `step` over `sources` from the left, holding every row's root mean square to `ROW_LIMIT`."""
    return reduce(lambda left, right: _hold(step(left, _hold(right))), sources[1:], _hold(sources[0]))


def _hold(rows: "Tensor") -> "Tensor":
    root_mean_square = rows.detach().square().mean(-1, keepdim=True).sqrt()
    return rows * (ROW_LIMIT / root_mean_square).clamp(max=1)


@fusion("concat", commutative=True, aligned=False)
def concat(sources: "Sequence[Tensor]") -> "Tensor":
    """Concatenation (equation 2)."""
    import torch

    return torch.cat(list(sources), dim=-1)


@fusion("sum", commutative=True, residual=True)
def add(sources: "Sequence[Tensor]") -> "Tensor":
    """Sum of the projected sources (equation 3)."""
    return reduce(lambda total, source: total + source, sources)


@fusion("hadamard", commutative=True, residual=True)
def hadamard(sources: "Sequence[Tensor]") -> "Tensor":
    """Elementwise product."""
    return fold(lambda left, right: left * right, sources)


@fusion("multiplication", commutative=False, fit_width=square_width, residual=True)
def multiplication(sources: "Sequence[Tensor]") -> "Tensor":
    """Product of √d × √d matrices (equation 4)."""
    side = math.isqrt(sources[0].shape[-1])

    def step(left: "Tensor", right: "Tensor") -> "Tensor":
        product: Tensor = left.unflatten(-1, (side, side)) @ right.unflatten(-1, (side, side))
        return product.flatten(-2) / math.sqrt(side)

    return fold(step, sources)


@fusion("quaternion", commutative=False, fit_width=quarter_width, residual=True)
def quaternion(sources: "Sequence[Tensor]") -> "Tensor":
    """Hamilton product of d/4 quaternions."""
    return fold(lambda left, right: hamilton(left, right) / 2, sources)


def hamilton(left: "Tensor", right: "Tensor") -> "Tensor":
    """The Hamilton product, unscaled; quaternions lie along the last dimension as quarters (r, i, j, k)."""
    import torch

    r, i, j, k = left.chunk(4, dim=-1)
    s, x, y, z = right.chunk(4, dim=-1)
    return torch.cat(
        [
            r * s - i * x - j * y - k * z,
            r * x + i * s + j * z - k * y,
            r * y - i * z + j * s + k * x,
            r * z + i * y - j * x + k * s,
        ],
        dim=-1,
    )


@fusion("gated-sum", commutative=True, parts=2)
def gated_sum(sources: "Sequence[Tensor]") -> "Tensor":
    """Sum of the projected sources, each value under a learned gate from 0 to 1."""
    halves = [source.chunk(2, dim=-1) for source in sources]
    return add([value * gate.sigmoid() for value, gate in halves])


@fusion("attention", commutative=True, parts=2)
def attention(sources: "Sequence[Tensor]") -> "Tensor":
    """Attention over sources: the mean of their learned keys asks how much of each to take."""
    import torch

    values, keys = zip(*(map(_hold, source.chunk(2, dim=-1)) for source in sources), strict=True)
    query = mean(keys)
    scores = torch.stack([(key * query).sum(-1) for key in keys], dim=-1) / math.sqrt(query.shape[-1])
    shares = scores.softmax(-1).unsqueeze(-2)
    return (torch.stack(values, dim=-1) * shares).sum(-1)


@fusion("scalar-mix", commutative=True, aligned=False, weighted=True)
def scalar_mix(sources: "Sequence[Tensor]") -> "Tensor":
    """Sum of sources of one width (layers of a model), each under one learned weight."""
    return add(sources)


@fusion("difference", commutative=True, aligned=False, compared=1)
def difference(sources: "Sequence[Tensor]") -> "Tensor":
    """How far two sources lie apart, value by value: |u − v|."""
    left, right = sources
    return (left - right).abs()


@fusion("product", commutative=True, aligned=False, compared=1)
def product(sources: "Sequence[Tensor]") -> "Tensor":
    """Product of two sources as they are, value by value: u ∗ v."""
    left, right = sources
    return left * right


@fusion("comparison", commutative=True, aligned=False, compared=4)
def comparison(sources: "Sequence[Tensor]") -> "Tensor":
    """Two sources beside their difference and their product: u, v, |u − v|, u ∗ v."""
    return concat([*sources, difference(sources), product(sources)])


@fusion("late", commutative=True, aligned=False, late=True)
def late(sources: "Sequence[Tensor]") -> "Tensor":
    """Mean of the class probabilities of one head per source."""
    return mean(sources)
