"""Values over repetitions, and values that are known at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Values over repetitions; `std` has n − 1 in its denominator and is NaN for a single value."""

    mean: float
    std: float
    floor: float
    n: int


def summarise(values: Sequence[float]) -> Summary:
    """Mean, spread and smallest of at least one value; NaN among them stays NaN."""
    array = np.asarray(values, dtype=np.float64)
    std = float(array.std(ddof=1)) if len(array) > 1 else float("nan")
    return Summary(float(array.mean()), std, float(array.min()), len(array))


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Without what is not a number: a spread over a single repetition is unknown, not zero."""
    return {name: value for name, value in metrics.items() if np.isfinite(value)}
