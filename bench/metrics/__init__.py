"""Scores, their spread over repetitions, and what a test set can and cannot tell apart."""

from bench.metrics.calibration import best_temperature, tempered
from bench.metrics.confident import contradicted, label_margins
from bench.metrics.counts import (
    Counts,
    Scores,
    accuracy,
    balanced_accuracy,
    class_f1,
    confusion,
    macro_f1,
    matthews,
    micro_f1,
    score,
    weighted_f1,
)
from bench.metrics.drift import Shift, binned, difference_of, edges_of, shift
from bench.metrics.grades import distances, quadratic_kappa
from bench.metrics.grouping import adjusted_rand, drawn_test, interval_of, moved, table_of, tables_of, v_measure
from bench.metrics.intervals import Interval, Statistic, bootstrap_interval, paired_interval, row_interval
from bench.metrics.paths import hierarchical_f1
from bench.metrics.probabilities import Reliability, brier_scores, calibration_error, log_loss, log_losses
from bench.metrics.ranking import FOUND, judged, ndcg, precision
from bench.metrics.rejection import RiskCoverage, wilson
from bench.metrics.resampling import LEVEL, PairedTest, holm, paired_permutation, row_permutation
from bench.metrics.selection import Contest, Resamples, affordable, corrected
from bench.metrics.sequence import capital, change_point, ranks
from bench.metrics.sets import average_precision, f1_intervals, samples_f1
from bench.metrics.summary import Summary, finite, summarise
from bench.metrics.training import Redrawn, corrected_resampled

__all__ = [
    "FOUND",
    "LEVEL",
    "Contest",
    "Counts",
    "Interval",
    "PairedTest",
    "Redrawn",
    "Reliability",
    "Resamples",
    "RiskCoverage",
    "Scores",
    "Shift",
    "Statistic",
    "Summary",
    "accuracy",
    "adjusted_rand",
    "affordable",
    "average_precision",
    "balanced_accuracy",
    "best_temperature",
    "binned",
    "bootstrap_interval",
    "brier_scores",
    "calibration_error",
    "capital",
    "change_point",
    "class_f1",
    "confusion",
    "contradicted",
    "corrected",
    "corrected_resampled",
    "difference_of",
    "distances",
    "drawn_test",
    "edges_of",
    "f1_intervals",
    "finite",
    "hierarchical_f1",
    "holm",
    "interval_of",
    "judged",
    "label_margins",
    "log_loss",
    "log_losses",
    "macro_f1",
    "matthews",
    "micro_f1",
    "moved",
    "ndcg",
    "paired_interval",
    "paired_permutation",
    "precision",
    "quadratic_kappa",
    "ranks",
    "row_interval",
    "row_permutation",
    "samples_f1",
    "score",
    "shift",
    "summarise",
    "table_of",
    "tables_of",
    "tempered",
    "v_measure",
    "weighted_f1",
    "wilson",
]
