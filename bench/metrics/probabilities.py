"""Scores of what a classifier says of every class: natural logarithms of probabilities, float [n, classes]."""

from dataclasses import dataclass

import numpy as np

from bench.metrics.counts import Floats, Ints

LEAST = float(np.log(np.finfo(np.float32).eps))
"""No class is held less likely than this, about −15.9: as scikit-learn clips probabilities in float32."""
BINS = 15
"""Of confidence, equally wide: the number that Guo and others use."""


def log_losses(truth: Ints, log_probabilities: Floats) -> Floats:
    """Negative logarithm of the true class's probability of each row, in nats, [n].

    Args:
        truth: Class indices [n]. A class without a column was never trained on, and is held as unlikely as can be.
        log_probabilities: [n, classes].
    """
    known = truth < log_probabilities.shape[1]
    logs = np.full(len(truth), LEAST)
    logs[known] = log_probabilities[np.flatnonzero(known), truth[known]]
    found: Floats = -np.maximum(logs, LEAST)
    return found


def log_loss(truth: Ints, log_probabilities: Floats) -> float:
    """The mean of `log_losses`."""
    return float(log_losses(truth, log_probabilities).mean())


def brier_scores(truth: Ints, log_probabilities: Floats) -> Floats:
    """Each row's squared distance of the probabilities from the truth, summed over classes, [n]: from 0 to 2.

    As Brier defined it (Verification of forecasts expressed in terms of probability, Monthly Weather Review 78, 1950);
    of two classes some halve it. The mean over rows is the Brier score.

    Args:
        truth: Class indices [n]. A class without a column was never trained on: its probability is 0.
        log_probabilities: [n, classes].
    """
    probabilities = np.exp(log_probabilities.astype(np.float64))
    known = np.flatnonzero(truth < probabilities.shape[1])
    right = np.zeros(len(truth))
    right[known] = probabilities[known, truth[known]]
    found: Floats = np.square(probabilities).sum(1) - 2 * right + 1
    return found


def calibration_error(truth: Ints, predicted: Ints, log_probabilities: Floats, bins: int = BINS) -> float:
    """How far confidence lies from accuracy: expected calibration error of the predicted class.

    Rows fall into `bins` equal bins (a, b] by the probability of the class that is predicted; the error is the mean
    over rows of the distance between the mean confidence and the accuracy of their bin (Guo and others, On
    Calibration of Modern Neural Networks, ICML 2017, equation 3).

    Args:
        truth: Class indices [n].
        predicted: Class indices [n].
        log_probabilities: [n, classes].
        bins: How many.
    """
    confidence, place = _binned(predicted, log_probabilities, bins)
    beyond = np.bincount(place, weights=confidence - (predicted == truth), minlength=bins)
    return float(np.abs(beyond).sum() / len(truth))


@dataclass(frozen=True, eq=False)
class Reliability:
    """What a reliability diagram shows: accuracy by confidence, in the bins of `calibration_error`.

    DeGroot and Fienberg, The Comparison and Evaluation of Forecasters, The Statistician 32, 1983.

    Attributes:
        rows: Of each bin, [bins].
        confidence: The mean probability of the predicted class, [bins]; NaN where a bin is empty.
        accuracy: The share of rows that is right, [bins]; NaN as well.
    """

    rows: Ints
    confidence: Floats
    accuracy: Floats

    @classmethod
    def of(cls, truth: Ints, predicted: Ints, log_probabilities: Floats, bins: int = BINS) -> "Reliability":
        """The arguments are those of `calibration_error`."""
        confidence, place = _binned(predicted, log_probabilities, bins)
        rows, right = np.bincount(place, minlength=bins), np.bincount(place, predicted == truth, bins)
        filled = np.where(rows > 0, rows, np.nan)
        return cls(rows, np.bincount(place, confidence, bins) / filled, right / filled)


def _binned(predicted: Ints, log_probabilities: Floats, bins: int) -> tuple[Floats, Ints]:
    """The probability of each row's predicted class, and the place of its bin, [n] each."""
    confidence = np.exp(log_probabilities[np.arange(len(predicted)), predicted].astype(np.float64))
    return confidence, np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)
