"""Where variance comes from, and how well it is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000


@dataclass(frozen=True)
class Partition:
    """Sums of squares of a two-way table, as shares of the total (they sum to 1; None of them where all is equal).

    `rest` is interaction and noise. `*_chance` is a factor's expected share if it had no effect: its degrees of
    freedom over all. `*_p`: the share of permutations within the other factor that reach the observed share.
    """

    dataset: float
    model: float
    rest: float
    dataset_chance: float
    model_chance: float
    dataset_p: float
    model_p: float


def partition(table: Mapping[tuple[str, str], float], *, seed: int = 0) -> Partition | None:
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
    all_freedom = values.size - 1
    return Partition(
        by_dataset,
        by_model,
        1 - by_dataset - by_model,
        (len(datasets) - 1) / all_freedom,
        (len(models) - 1) / all_freedom,
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
class Spread:
    """A variance over choices, without what runs alone would give, and its ratio to that of the smallest size.

    `low`, `high`, `ratio_low` and `ratio_high` bound 95% intervals; `runs` is the variance over runs. A ratio is None
    where the smallest size has no variance.
    """

    variance: float
    low: float
    high: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    runs: float


def choice_spreads(groups: Mapping[int, Sequence[np.ndarray]], *, seed: int = 0) -> dict[int, Spread]:
    """The variance over choices within a group, pooled over the groups of a size.

    The variance of a mean over r runs holds 1/r of the variance over runs, which is taken off; what falls below zero
    is kept, so that no bias comes in. Intervals are percentile bootstraps over choices: choice i of every group is
    drawn together, since groups share models.

    Args:
        groups: By size, each [choices, runs] of scores; all have the same number of choices, at least two.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    choices = len(next(iter(groups.values()))[0])
    picks = rng.integers(0, choices, (DRAWS, choices))
    drawn = {
        size: np.array([_pooled([scores[pick] for scores in group]) for pick in picks])
        for size, group in groups.items()
    }
    smallest = min(groups)
    observed = {size: _pooled(group) for size, group in groups.items()}
    found = {}
    for size, group in groups.items():
        low, high = np.quantile(drawn[size], [0.025, 0.975])
        ratio = ratio_low = ratio_high = None
        if observed[smallest] > 0:
            ratios = drawn[size] / np.where(drawn[smallest] > 0, drawn[smallest], np.nan)
            ratio = observed[size] / observed[smallest]
            ratio_low, ratio_high = map(float, np.nanquantile(ratios, [0.025, 0.975]))
        runs = float(np.mean([_within(scores) for scores in group]))
        found[size] = Spread(observed[size], float(low), float(high), ratio, ratio_low, ratio_high, runs)
    return found


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
