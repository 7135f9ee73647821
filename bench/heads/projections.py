"""Projections to a common width for heads that learn none: seeded, orthonormal."""

import torch

from bench.heads.kinds import Job, Problem
from bench.heads.pipeline import Affine


def random_projections(problem: Problem, job: Job) -> tuple[Affine, ...]:
    """Random orthonormal rows (or columns, where the common width is the larger) for each source, without bias.

    None where the operator projects nothing. They follow from the job's seed.
    """
    if problem.operator is None or problem.width is None:
        return ()
    generator = torch.Generator().manual_seed(job.seed)
    affine = []
    for x in problem.features:
        weight = torch.empty(problem.operator.parts * problem.width, x.shape[1])
        torch.nn.init.orthogonal_(weight, generator=generator)
        affine.append(Affine(weight.to(problem.device), torch.zeros(len(weight), device=problem.device)))
    return tuple(affine)
