"""Where studies and trials are written down for comparison: MLflow, or nowhere."""

from bench.tracking.addresses import check_address, redacted
from bench.tracking.mlflow import MlflowTracker
from bench.tracking.record import NoTracker, Record, Tracker

__all__ = ["MlflowTracker", "NoTracker", "Record", "Tracker", "check_address", "redacted"]
