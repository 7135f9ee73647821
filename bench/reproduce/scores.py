"""Scores as columns of a table: each with its n, spread and interval."""

import math
from collections.abc import Mapping

import numpy as np

from bench.datasets.dataset import Dataset
from bench.evaluation.scoring import Scored
from bench.metrics import bootstrap_interval, paired_interval
from bench.reproduce.columns import Row

Bounds = tuple[float | None, float | None]
POINTS = 100.0
"""Differences are in points: hundredths of accuracy or F1."""


def score_columns(
    scored: Scored, data: Dataset, prefix: str = "", *, seed: int = 0, bounds: Bounds | None = None
) -> Row:
    """Mean and spread over runs (`std` is None for a single one), and `bounds` or a 95% interval over test rows."""
    if bounds is None:
        interval = bootstrap_interval(
            data.test.labels, scored.predicted, class_count(data), seed=seed, groups=data.test.groups
        )
        bounds = interval.low, interval.high
    columns: Row = {
        "accuracy_mean": scored.accuracy.mean,
        "accuracy_std": known(scored.accuracy.std),
        "f1_mean": scored.f1.mean,
        "f1_std": known(scored.f1.std),
        "f1_low": bounds[0],
        "f1_high": bounds[1],
        "runs": scored.f1.n,
    }
    return {prefix + name: value for name, value in columns.items()}


def difference_columns(first: Scored, second: Scored, data: Dataset, prefix: str = "", *, seed: int = 0) -> Row:
    """First minus second in points of F1, with a 95% interval over test rows, paired; also of accuracy."""
    a, b = first.predicted, second.predicted
    # a fit without randomness has one run, which stands against each of the other's
    runs = max(len(a), len(b))
    a, b = (np.repeat(each, runs, axis=0) if len(each) == 1 else each for each in (a, b))
    interval = paired_interval(data.test.labels, a, b, class_count(data), seed=seed, groups=data.test.groups)
    return {
        f"{prefix}delta_accuracy": POINTS * (first.accuracy.mean - second.accuracy.mean),
        f"{prefix}delta_f1": POINTS * (first.f1.mean - second.f1.mean),
        f"{prefix}delta_f1_low": POINTS * interval.low,
        f"{prefix}delta_f1_high": POINTS * interval.high,
    }


def class_count(data: Dataset) -> int:
    """The length of the label list that test scores are taken over."""
    return len(data.labels) + len(data.test_only_labels)


def single_rows(scores: Mapping[tuple[str, str], Scored], data: Dataset) -> list[Row]:
    """A row for every model alone, by model and head."""
    return [
        {"kind": "single", "model": model, "head": head, **score_columns(scored, data)}
        for (model, head), scored in scores.items()
    ]


def known(value: float) -> float | None:
    """What is not a number is unknown."""
    return None if math.isnan(value) else value
