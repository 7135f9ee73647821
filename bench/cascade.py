"""Cascades: a cheap candidate answers where it is sure, and only the other texts go on to a dearer one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from bench.specs import AnyCandidate, Source, Spec

if TYPE_CHECKING:
    import numpy as np

Threshold = Annotated[float, Field(ge=0, allow_inf_nan=False)]
MOST_STAGES = 3


class Cascade(Spec):
    """Candidates that answer in turn, the cheapest first; the last one answers whatever comes to it.

    A stage answers a text where its margin is at least its threshold (see `deferred`); otherwise the next one decides
    alone. Under a threshold of 0 a stage answers everything, under one above 1 nothing.
    """

    stages: Annotated[tuple[AnyCandidate, ...], Field(min_length=2, max_length=MOST_STAGES)]
    thresholds: Annotated[tuple[Threshold, ...], Field(min_length=1, max_length=MOST_STAGES - 1)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.thresholds) != len(self.stages) - 1:
            raise ValueError("a cascade has one threshold for each stage but the last")
        if len(set(self.stages)) < len(self.stages):
            raise ValueError("the stages of a cascade differ")
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        """The distinct sources of all stages, in order of first use."""
        return tuple(dict.fromkeys(source for stage in self.stages for source in stage.sources))

    @property
    def models(self) -> tuple[str, ...]:
        """The distinct models of all stages, in order of first use."""
        return tuple(dict.fromkeys(source.model for source in self.sources))

    def __str__(self) -> str:
        dearer = (
            f" → (margin < {threshold:.3g}) {stage}"
            for threshold, stage in zip(self.thresholds, self.stages[1:], strict=True)
        )
        return f"{self.stages[0]}{''.join(dearer)}"


def margins(probabilities: np.ndarray) -> np.ndarray:
    """How far each row's likeliest class is ahead of the second, [rows] from [rows, classes]; 1 where there is but one.

    They are taken in float64, so that the same probabilities are sure of the same texts wherever they are asked.
    """
    import numpy as np

    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities))
    highest = np.partition(probabilities.astype(np.float64), -2, axis=1)
    found: np.ndarray = highest[:, -1] - highest[:, -2]
    return found


def deferred(margin: np.ndarray, threshold: float) -> np.ndarray:
    """Which rows a stage leaves to the next, bool [rows]: those whose margin is below its threshold."""
    found: np.ndarray = margin < threshold
    return found
