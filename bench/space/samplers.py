"""Who may propose candidates, by name. `bench.study.sampling` makes them: a space can be read without Optuna."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.registry import Registry


@dataclass(frozen=True)
class SamplerRow:
    """A class of `optuna.samplers` and what it is made with besides a seed."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


SAMPLERS: Registry[SamplerRow] = Registry("sampler")
# multivariate and group are what conditional spaces need
SAMPLERS.add("tpe", SamplerRow("TPESampler", {"multivariate": True, "group": True}))
SAMPLERS.add("random", SamplerRow("RandomSampler"))
SAMPLERS.add("nsga2", SamplerRow("NSGAIISampler", {"population_size": 20}))
