"""What other training rows would have given, as far as repeated cross-validation can say."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Redrawn:
    """A mean difference over resamples of the training rows, with its interval and two-sided p."""

    value: float
    low: float
    high: float
    p: float


def corrected_resampled(differences: npt.ArrayLike, held_out: float, *, level: float = 0.95) -> Redrawn | None:
    """The corrected resampled t test of a difference between two ways to train; None where it is not known.

    The resamples share most of their training rows, so that their differences vary less than those of fresh rows: the
    variance of their mean is taken to be (1/J + n₂/n₁) times that of one, with J resamples, n₁ rows trained on and n₂
    held out (Nadeau and Bengio, Inference for the Generalization Error, Machine Learning 52, 2003, section 4.1; over
    repeated cross-validation as Bouckaert and Frank, 2004).

    Args:
        differences: One a resample, [J].
        held_out: n₂/n₁: a quarter for five folds.
        level: Of the interval.
    """
    from scipy.stats import t

    each = np.asarray(differences, dtype=np.float64)
    if len(each) < 2:
        return None
    mean, error = float(each.mean()), float(np.sqrt(each.var(ddof=1) * (1 / len(each) + held_out)))
    reach = error * float(t.ppf((1 + level) / 2, len(each) - 1))
    p = 2 * float(t.sf(abs(mean) / error, len(each) - 1)) if error > 0 else float(mean == 0)
    return Redrawn(mean, mean - reach, mean + reach, p)
