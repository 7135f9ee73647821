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
from bench.metrics.intervals import Interval, Statistic, bootstrap_interval, paired_interval, row_interval
from bench.metrics.probabilities import brier_scores, calibration_error, log_loss, log_losses
from bench.metrics.resampling import LEVEL, PairedTest, holm, paired_permutation, row_permutation
from bench.metrics.selection import Contest, Resamples, affordable, corrected
from bench.metrics.sequence import capital, change_point, ranks
from bench.metrics.summary import Summary, finite, summarise
from bench.metrics.training import Redrawn, corrected_resampled

__all__ = [
    "LEVEL",
    "Contest",
    "Counts",
    "Interval",
    "PairedTest",
    "Redrawn",
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
    "capital",
    "change_point",
    "class_f1",
    "corrected",
    "corrected_resampled",
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
    "ranks",
    "row_interval",
    "row_permutation",
    "score",
    "shift",
    "summarise",
    "weighted_f1",
]
