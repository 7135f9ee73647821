"""Heads: all seeds × folds of a candidate trained at once, and what they predict.

Importing this package enters the kinds of heads below in `HEAD_KINDS`.
"""

from bench.heads import centroid, knn, logistic, mlp, ridge, untrained
from bench.heads.kinds import HEAD_KINDS, Job
from bench.heads.pipeline import DivergedError, FittedHead, Prediction
from bench.heads.subsets import predict_subsets
from bench.heads.training import fit, fit_predict

__all__ = [
    "HEAD_KINDS",
    "DivergedError",
    "FittedHead",
    "Job",
    "Prediction",
    "centroid",
    "fit",
    "fit_predict",
    "knn",
    "logistic",
    "mlp",
    "predict_subsets",
    "ridge",
    "untrained",
]
