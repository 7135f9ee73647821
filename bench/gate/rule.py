"""When a score has fallen by more than chance explains.

The same candidate is trained again under the same seeds on the same folds. Where nothing changed, every score is equal.
Where something did (a library, a processor, a model), scores move even if the pipeline became no worse: heads start
from other roundings, and rows near the boundary flip, some under one seed, some under all of them.

With D[s, k] the change of macro-F1 under seed s in fold k (both sides predict the same rows, each over the classes that
these or its predictions hold), or of another measure, where less is better with its sign turned, a candidate fails when

1. the mean over seeds of its macro-F1 (all rows) fell by `MARGIN` or more, so that the fall matters, and
2. mean(D) / √(meanₛ varₖ(D[s, k]) / K) lies in the lower `LEVEL` tail of Student's t with S · (K − 1) degrees of
   freedom, the p values corrected over the candidates by Holm's method, so that chance does not explain it.

The standard error is that of one seed: S seeds that predict the same rows share their luck with these rows, so nothing
is won from averaging over them but a steadier estimate of the variance. That costs power where seeds differ by chance
alone, and is what keeps the rule honest where a change flips the same rows under every seed.

The figures were simulated with rows of 85 % accuracy; the tests repeat the simulation and hold the rule to it:

* False alarms, where both sides are equally good and 1 to 17 % of the rows flip: at most 1 % of the checks (60 to
  1,000 rows, 2 or 8 classes, equal or each half as frequent as the one before, 2 to 5 seeds, 3 to 10 folds; 1.2 % with
  a single seed). If nothing flips, never.
* Power for 3 seeds × 5 folds, one candidate, two equally frequent classes, 7 % of the rows flipping anyway (1 % in
  brackets); less with rare classes: with eight, each half as frequent as the one before, 600 rows find 0.05 in 75 %:

  ======================  =========  ===========  ===========
  rows; true fall         0.03       0.05         0.10
  ======================  =========  ===========  ===========
  200                     9 (38) %   43 (81) %    99 (100) %
  600                     48 (99) %  96 (100) %   100 %
  1,000                   85 (100) % 100 %        100 %
  ======================  =========  ===========  ===========
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.metrics import Summary, holm, summarise

LEVEL = 0.01
MARGIN = 0.01


@dataclass(frozen=True)
class RepeatedF1:
    """Macro-F1, or another measure, of one candidate: `f1` [seeds] over all rows, `folds` [seeds, folds] by fold."""

    f1: Sequence[float]
    folds: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Change:
    """A candidate then and now.

    Attributes:
        before: Macro-F1, or another measure, over the seeds of the baseline.
        after: The same, measured now.
        difference: Mean change, paired by seed.
        p: One-sided, for a change to the worse, Holm-corrected over the candidates.
        detectable: Such a change that this check would find with 80 % probability or more: one that flips as large a
            share of the rows, beside the noise seen. An approximation, good where classes are about equally frequent.
        fell: Whether it is worse by what is both relevant and beyond chance.
    """

    before: Summary
    after: Summary
    difference: float
    p: float
    detectable: float
    fell: bool


def changes(pairs: Sequence[tuple[RepeatedF1, RepeatedF1]], rows: int, sign: int = 1) -> list[Change]:
    """Judge candidates of one check on `rows` rows, each given as it was and as it is, with equal seeds and folds.

    `sign` is −1 of a measure of which less is better.
    """
    from scipy.stats import t as student

    if not pairs:
        return []
    moved = [sign * (np.asarray(after.folds) - np.asarray(before.folds)) for before, after in pairs]
    statistics = np.array([statistic(each[None])[0] for each in moved])
    freedom = [each.shape[0] * (each.shape[1] - 1) for each in moved]
    corrected = holm([float(student.cdf(value, df)) for value, df in zip(statistics, freedom, strict=True)])
    found = []
    for (before, after), each, df, p in zip(pairs, moved, freedom, corrected, strict=True):
        then, now = summarise(before.f1), summarise(after.f1)
        quantiles = float(student.ppf(1 - LEVEL / len(pairs), df) + student.ppf(0.8, df))
        # f = quantiles · √(f / rows + error²), solved for f: a fall brings a variance of its own
        own, error = quantiles**2 / rows, float(standard_error(each[None])[0])
        detectable = max(MARGIN, (own + (own**2 + 4 * (quantiles * error) ** 2) ** 0.5) / 2)
        difference = now.mean - then.mean
        # scores are kept to six digits, and a fall of just the margin is one
        fell = bool(p <= LEVEL and sign * difference <= -MARGIN + 1e-9)
        found.append(Change(then, now, difference, p, detectable, fell))
    return found


def standard_error(moved: np.ndarray) -> np.ndarray:
    """The standard error of one seed's mean change, [n], from changes [n, seeds, folds] of n candidates."""
    error: np.ndarray = np.sqrt(moved.var(axis=2, ddof=1).mean(axis=1) / moved.shape[2])
    return error


def statistic(moved: np.ndarray) -> np.ndarray:
    """Mean change over its standard error, [n]; where there is no error, zero or infinity by the sign of the change."""
    mean, error = moved.mean(axis=(1, 2)), standard_error(moved)
    certain = np.where(np.abs(mean) > 0, np.copysign(np.inf, mean), 0.0)
    ratio: np.ndarray = np.divide(mean, error, out=certain, where=error > 0)
    return ratio
