"""Scores, their spread over repetitions, and what a test set can and cannot tell apart."""

from bench.metrics.counts import (
    Counts,
    Scores,
    accuracy,
    balanced_accuracy,
    class_f1,
    macro_f1,
    matthews,
    score,
    weighted_f1,
)
from bench.metrics.drift import Shift, binned, difference_of, edges_of, shift
from bench.metrics.probabilities import brier_scores, calibration_error, log_loss, log_losses
from bench.metrics.resampling import (
    Interval,
    PairedTest,
    Statistic,
    bootstrap_interval,
    holm,
    paired_interval,
    paired_permutation,
    row_interval,
    row_permutation,
)
from bench.metrics.selection import Contest, Resamples, affordable, corrected
from bench.metrics.summary import Summary, finite, summarise

__all__ = [
    "Contest",
    "Counts",
    "Interval",
    "PairedTest",
    "Resamples",
    "Scores",
    "Shift",
    "Statistic",
    "Summary",
    "accuracy",
    "affordable",
    "balanced_accuracy",
    "binned",
    "bootstrap_interval",
    "brier_scores",
    "calibration_error",
    "class_f1",
    "corrected",
    "difference_of",
    "edges_of",
    "finite",
    "holm",
    "log_loss",
    "log_losses",
    "macro_f1",
    "matthews",
    "paired_interval",
    "paired_permutation",
    "row_interval",
    "row_permutation",
    "score",
    "shift",
    "summarise",
    "weighted_f1",
]
