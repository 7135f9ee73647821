"""Projections to a common width for heads that learn none: seeded, orthonormal."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from bench.fusion import Operator
from bench.heads.kinds import Job, Problem
from bench.heads.pipeline import Affine

SMALL = 1 << 19
"""Numbers of one draw up to which it is kept: the candidates of a search draw the same ones again and again."""


def random_projections(problem: Problem, job: Job) -> tuple[Affine, ...]:
    """The `orthonormal` projections of a problem's sources that follow from the job's seed."""
    return orthonormal(problem.operator, problem.width, problem.features, job.seed)


def orthonormal(
    operator: Operator | None, width: int | None, features: Sequence[Tensor], seed: int
) -> tuple[Affine, ...]:
    """Random orthonormal rows (or columns, where the common width is the larger) for each source, without bias.

    None where the operator projects nothing. They follow from the seed.
    """
    if operator is None or width is None:
        return ()
    rows, columns, device = operator.parts * width, tuple(x.shape[1] for x in features), features[0].device
    drawn = (_drawn if rows * sum(columns) <= SMALL else _drawn.__wrapped__)(rows, columns, seed)
    return tuple(Affine(weight.to(device), torch.zeros(rows, device=device)) for weight in drawn)


@lru_cache(maxsize=64)
def _drawn(rows: int, columns: tuple[int, ...], seed: int) -> tuple[Tensor, ...]:
    """A matrix [rows, columns] a source."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(orthonormal_rows(rows, each, generator) for each in columns)


def orthonormal_rows(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A random matrix float32 [rows, columns] whose rows, or columns where they are fewer, are orthonormal."""
    return torch.nn.init.orthogonal_(torch.empty(rows, columns), generator=generator)
