"""Heads: all seeds × folds of a candidate trained at once, and what they predict."""

from bench.heads.pipeline import DivergedError, FittedHead
from bench.heads.subsets import predict_subsets
from bench.heads.training import HEADS, Job, fit, fit_predict

__all__ = ["HEADS", "DivergedError", "FittedHead", "Job", "fit", "fit_predict", "predict_subsets"]
