"""L-BFGS for many small smooth convex problems at once (Liu and Nocedal 1989), with a diagonal preconditioner."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

HISTORY = 10
HALVINGS = 25
SUFFICIENT = 1e-4

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Solution:
    """Where each problem ended.

    Attributes:
        points: [problems, n].
        gradients: Euclidean norms of the gradient there, [problems].
        iterations: Steps taken, [problems].
        converged: Whether the norm is within the tolerance, [problems].
    """

    points: Tensor
    gradients: Tensor
    iterations: Tensor
    converged: Tensor


def minimise(
    objective: Objective, start: Tensor, inverse_diagonal: Tensor, *, tolerance: float, iterations: int
) -> Solution:
    """Minimise each problem until its gradient's Euclidean norm is ≤ `tolerance`.

    Problems do not influence each other: each has its own step lengths, and leaves when it is done.

    Args:
        objective: From points [p, n] and the problems' indices [p] to losses [p] and gradients [p, n].
        start: First points, [problems, n].
        inverse_diagonal: A positive estimate of the inverse of the Hessian's diagonal, [problems, n].
        tolerance: On the gradient's norm.
        iterations: The most steps that a problem may take; then it is returned as not converged. So is a problem
            that finds no smaller loss along its direction.
    """
    points, norms = start.clone(), start.new_zeros(len(start))
    steps = torch.zeros(len(start), dtype=torch.int64, device=start.device)
    active = torch.arange(len(start), device=start.device)
    x = start
    loss, gradient = objective(x, active)
    history: list[tuple[Tensor, Tensor, Tensor]] = []
    stuck = torch.zeros_like(active, dtype=torch.bool)
    for iteration in range(iterations + 1):
        norm = gradient.norm(dim=1)
        points[active], norms[active], steps[active] = x, norm, iteration
        going = (norm > tolerance) & ~stuck
        if not going.any() or iteration == iterations:
            break
        if not going.all():
            active, x, loss, gradient = active[going], x[going], loss[going], gradient[going]
            history = [(s[going], y[going], curvature[going]) for s, y, curvature in history]
        direction = -_newton_like(gradient, history, inverse_diagonal[active])
        new, new_loss, new_gradient, stuck = _descend(objective, active, x, loss, gradient, direction)
        s, y = new - x, new_gradient - gradient
        # A pair without curvature (a step lost in rounding) gets weight 0.
        curvature = (s * y).sum(1, keepdim=True)
        usable = curvature > torch.finfo(s.dtype).eps * s.norm(dim=1, keepdim=True) * y.norm(dim=1, keepdim=True)
        history = [*history, (s, y, torch.where(usable, 1 / curvature, 0))][-HISTORY:]
        x, loss, gradient = new, new_loss, new_gradient
    return Solution(points, norms, steps, norms <= tolerance)


def _newton_like(gradient: Tensor, history: list[tuple[Tensor, Tensor, Tensor]], inverse_diagonal: Tensor) -> Tensor:
    """The two-loop recursion: about the inverse Hessian times the gradient."""
    q, shares = gradient, []
    for s, y, weight in reversed(history):
        share = weight * (s * q).sum(1, keepdim=True)
        shares.append(share)
        q = q - share * y
    q = q * inverse_diagonal
    if history:
        _, y, weight = history[-1]
        scale = 1 / (weight * (y * y * inverse_diagonal).sum(1, keepdim=True))
        q = q * torch.where(weight > 0, scale, 1)
    for (s, y, weight), share in zip(history, reversed(shares), strict=True):
        q = q + (share - weight * (y * q).sum(1, keepdim=True)) * s
    return q


def _descend(
    objective: Objective, active: Tensor, x: Tensor, loss: Tensor, gradient: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Halve each problem's step until its loss has fallen enough (Armijo); also says which never did."""
    slope = (direction * gradient).sum(1)
    # Losses are sums of terms of this precision: smaller differences are rounding.
    slack = torch.finfo(x.dtype).eps * (1 + loss.abs())
    length = torch.ones_like(slope)
    new = x + direction
    new_loss, new_gradient = objective(new, active)
    for _ in range(HALVINGS):
        failed = ~(new_loss <= loss + SUFFICIENT * length * slope + slack)
        if not failed.any():
            return new, new_loss, new_gradient, failed
        length[failed] /= 2
        new[failed] = x[failed] + length[failed, None] * direction[failed]
        new_loss[failed], new_gradient[failed] = objective(new[failed], active[failed])
    failed = ~(new_loss <= loss + SUFFICIENT * length * slope + slack)
    kept = failed.unsqueeze(1)
    return (
        torch.where(kept, x, new),
        torch.where(failed, loss, new_loss),
        torch.where(kept, gradient, new_gradient),
        failed,
    )
