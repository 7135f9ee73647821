"""Who proposes candidates. A sampler is made anew for each trial, from a seed that history determines."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.registry import Registry
from bench.specs import fingerprint

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

SAMPLERS: Registry[Callable[[int], "BaseSampler"]] = Registry("sampler")


def seed_for(base: int, finished: int) -> int:
    """The seed of the proposal that follows `finished` finished trials.

    A sampler seeded once would begin its stream again on resume. Derived from what has finished, the seed is the
    same whether or not the study was interrupted, and a trial that was killed is proposed again as it was.
    """
    return int(fingerprint(["sampler", base, finished], length=8), 16)


@lambda make: SAMPLERS.add("tpe", make)
def _tpe(seed: int) -> "BaseSampler":
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        # multivariate and group are what conditional spaces need; that they may change is no news to the user
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=True)


@lambda make: SAMPLERS.add("random", make)
def _random(seed: int) -> "BaseSampler":
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


@lambda make: SAMPLERS.add("nsga2", make)
def _nsga2(seed: int) -> "BaseSampler":
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(seed=seed, population_size=20)
