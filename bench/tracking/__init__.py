"""Where studies and trials are written down for comparison: MLflow, or nowhere."""

from pathlib import Path

from bench.addresses import redacted
from bench.errors import BenchError
from bench.progress import SILENT, Progress
from bench.tracking.addresses import check_address
from bench.tracking.mlflow import MlflowTracker
from bench.tracking.record import DESCRIPTION, UNTRACKED, NoTracker, Record, TrackedStudy, Tracker, TrackingError
from bench.tracking.tolerant import Tolerant

__all__ = [
    "DESCRIPTION",
    "UNTRACKED",
    "MlflowTracker",
    "NoTracker",
    "Record",
    "Tolerant",
    "TrackedStudy",
    "Tracker",
    "TrackingError",
    "check_address",
    "redacted",
    "tracker_of",
]


def tracker_of(
    home: Path,
    uri: str | None,
    *,
    tracking: bool = True,
    source: str = "bench search",
    progress: Progress = SILENT,
) -> Tracker:
    """The tracker that was asked for.

    Args:
        home: Where MLflow's database lies, unless there is a `uri`.
        uri: Another database, or a server.
        tracking: Whether anything is to be written down.
        source: What runs name as their source.
        progress: Told what becomes of a store that was left half-made, or is an older MLflow's.

    Raises:
        BenchError: `uri` is no address of a store, or there is one and no `tracking`.
    """
    if tracking:
        return MlflowTracker(home, uri, source, progress)
    if uri is not None:
        raise BenchError("Nothing is tracked, so there is no use for a tracking URI: leave out one of the two.")
    return UNTRACKED
