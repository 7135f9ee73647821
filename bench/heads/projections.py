"""Projections to a common width for heads that learn none: seeded, orthonormal."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.fusion import Operator
from bench.heads.kinds import Job, Problem
from bench.heads.pipeline import Affine


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
    generator = torch.Generator().manual_seed(seed)
    affine = []
    for x in features:
        weight = orthonormal_rows(operator.parts * width, x.shape[1], generator).to(x.device)
        affine.append(Affine(weight, torch.zeros(len(weight), device=x.device)))
    return tuple(affine)


def orthonormal_rows(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A random matrix float32 [rows, columns] whose rows, or columns where they are fewer, are orthonormal."""
    return torch.nn.init.orthogonal_(torch.empty(rows, columns), generator=generator)
