"""Where variance comes from, and how well it is known."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

DRAWS = 2000

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class VarianceShares:
    """Sums of squares of a two-way table, as shares of the total (they sum to 1).

    `rest` is interaction and noise. Against permutations within the other factor, which may have an effect:
    `*_chance` is a factor's mean share in them, `*_p` how often they reach the observed one.
    """

    dataset_share: float
    model_share: float
    rest: float
    dataset_chance: float
    model_chance: float
    dataset_p: float
    model_p: float


def partition(table: Mapping[tuple[str, str], float], *, seed: int = 0) -> VarianceShares | None:
    """Two-way analysis of variance of one value per (data set, model), where every pair has one.

    None where there are fewer than two of either, or no variance.
    """
    datasets, models = (list(dict.fromkeys(key[axis] for key in table)) for axis in (0, 1))
    models = [model for model in models if all((dataset, model) in table for dataset in datasets)]
    if len(datasets) < 2 or len(models) < 2:
        return None
    values = np.array([[table[dataset, model] for model in models] for dataset in datasets])
    if np.ptp(values) == 0:
        return None
    rng = np.random.default_rng(seed)
    by_dataset, by_model = _share(values), _share(values.T)
    # shuffled along data sets within each model, and along models within each data set
    chance_dataset = [_share(rng.permuted(values, axis=0)) for _ in range(DRAWS)]
    chance_model = [_share(rng.permuted(values, axis=1).T) for _ in range(DRAWS)]
    return VarianceShares(
        by_dataset,
        by_model,
        1 - by_dataset - by_model,
        float(np.mean(chance_dataset)),
        float(np.mean(chance_model)),
        _p(chance_dataset, by_dataset),
        _p(chance_model, by_model),
    )


def _share(values: np.ndarray) -> float:
    """Of the total sum of squares, the part between rows."""
    total = ((values - values.mean()) ** 2).sum()
    return float(values.shape[1] * ((values.mean(1) - values.mean()) ** 2).sum() / total)


def _p(chance: Sequence[float], observed: float) -> float:
    return (1 + sum(value >= observed - 1e-12 for value in chance)) / (1 + len(chance))


@dataclass(frozen=True)
class ChoiceVariance:
    """A variance over choices, without what runs alone would give, and its ratio to that of a reference.

    `low`, `high`, `ratio_low` and `ratio_high` bound 95% intervals; `runs` is the variance over runs. What belongs to
    the ratio is None where either has no variance beyond that of runs.
    """

    variance: float
    low: float
    high: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    runs: float


def choice_spreads(
    groups: Mapping[Key, Sequence[np.ndarray]], reference: Key | None = None
) -> dict[Key, ChoiceVariance]:
    """The variance over choices within a group, pooled over the groups of a key.

    The variance of a mean over r runs holds 1/r of the variance over runs, which is taken off; what falls below zero
    is kept, so that no bias comes in. Intervals: the jackknife over choices with Student's t, of the logarithm where
    that exists (Efron and Tibshirani 1993, chapter 11); choice i of every group is left out together, since groups
    share models. With twenty choices the percentile bootstrap would cover far less than it says.

    Args:
        groups: By what is told apart, each [choices, runs] of scores; all have the same number of choices, at least
            three.
        reference: Of which key ratios are; the first where it is None.
    """
    choices = len(next(iter(groups.values()))[0])
    first = next(iter(groups)) if reference is None else reference
    # [1 + choices]: of all choices, then without each
    pooled = {
        size: np.array(
            [_pooled(group), *(_pooled([np.delete(scores, i, 0) for scores in group]) for i in range(choices))]
        )
        for size, group in groups.items()
    }
    found = {}
    for size, group in groups.items():
        values, others = pooled[size], pooled[first]
        ratio = ratio_low = ratio_high = None
        if (values > 0).all() and (others > 0).all():
            ratio = float(values[0] / others[0])
            ratio_low, ratio_high = map(float, np.exp(_jackknife(np.log(values / others))))
        low, high = np.exp(_jackknife(np.log(values))) if (values > 0).all() else _jackknife(values)
        runs = float(np.mean([_within(scores) for scores in group]))
        found[size] = ChoiceVariance(float(values[0]), float(low), float(high), ratio, ratio_low, ratio_high, runs)
    return found


def _jackknife(values: np.ndarray) -> np.ndarray:
    """The 95% bounds of the first value, the others being those without one observation each."""
    from scipy.stats import t

    without = values[1:]
    half = t.ppf(0.975, len(without) - 1) * np.sqrt((len(without) - 1) * without.var())
    return np.array([values[0] - half, values[0] + half])


def _pooled(group: Sequence[np.ndarray]) -> float:
    return float(np.mean([scores.mean(1).var(ddof=1) - _within(scores) / scores.shape[1] for scores in group]))


def _within(scores: np.ndarray) -> float:
    return float(scores.var(1, ddof=1).mean()) if scores.shape[1] > 1 else 0.0


def t_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The 95% interval of a mean over independent draws (Student's t); unknown for a single one."""
    from scipy.stats import t

    if len(values) < 2:
        return None, None
    array = np.asarray(values, dtype=np.float64)
    half = float(t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / len(array) ** 0.5)
    return float(array.mean()) - half, float(array.mean()) + half
