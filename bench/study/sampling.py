"""A sampler is made anew for each trial, from a seed that history determines."""

import warnings
from typing import TYPE_CHECKING

from bench.space.samplers import SAMPLERS
from bench.specs import fingerprint

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


def seed_for(base: int, finished: int, place: int = 0) -> int:
    """The seed of the proposal at a place of the wave that follows `finished` finished trials.

    A sampler seeded once would begin its stream again on resume. Derived from what has finished, the seed is the
    same whether or not the study was interrupted, and a trial that was killed is proposed again as it was.
    """
    # a wave of one is seeded as studies were before there were waves
    return int(fingerprint(["sampler", base, finished, *([place] if place else [])], length=8), 16)


def make(name: str, seed: int) -> "BaseSampler":
    """The sampler that `bench.space.samplers` describes.

    Raises:
        BenchError: there is none of that name.
    """
    import optuna

    row = SAMPLERS[name]
    with warnings.catch_warnings():
        # that some of the options may change is no news to the user
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler: BaseSampler = getattr(optuna.samplers, row.kind)(seed=seed, **row.options)
    return sampler
