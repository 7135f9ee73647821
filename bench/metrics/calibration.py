"""Probabilities that mean what they say: one temperature for all rows, which changes no prediction.

Guo and others, On Calibration of Modern Neural Networks, ICML 2017, section 4.2. Log-probabilities are natural
logarithms, float [n, classes].
"""

import numpy as np

from bench.metrics.counts import Floats, Ints
from bench.metrics.probabilities import LEAST, log_loss

COLDEST, HOTTEST = 0.05, 20.0


def tempered(log_probabilities: Floats, temperature: float) -> Floats:
    """The softmax of the log-probabilities over the temperature, as log-probabilities in float64.

    Above 1 they are less sure, below 1 surer; which class is the likeliest stays.
    """
    scaled = log_probabilities.astype(np.float64) / temperature
    top = scaled.max(axis=1, keepdims=True)
    found: Floats = scaled - top - np.log(np.exp(scaled - top).sum(axis=1, keepdims=True))
    return found


def best_temperature(truth: Ints, log_probabilities: Floats) -> float:
    """The temperature with the least log-loss, from `COLDEST` to `HOTTEST`.

    Beside the rows there is one more, the mean of all, whose label is every class in equal parts: without it rows that
    are all predicted right would have no best temperature.

    Args:
        truth: Class indices [n], of rows that the classifier was not trained on.
        log_probabilities: [n, classes].
    """
    from scipy.optimize import minimize_scalar

    def loss(log: float) -> float:
        found = tempered(log_probabilities, float(np.exp(log)))
        return len(truth) * log_loss(truth, found) - float(np.maximum(found, LEAST).mean())

    bounds = np.log(COLDEST), np.log(HOTTEST)
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))
