"""MLflow: a study as a run with nested runs, and models beside them. Its client is imported nowhere else."""

from bench.tracking.mlflow.models import MlflowModels
from bench.tracking.mlflow.store import MlflowStore
from bench.tracking.mlflow.tracker import MlflowTracker

__all__ = ["MlflowModels", "MlflowStore", "MlflowTracker"]
