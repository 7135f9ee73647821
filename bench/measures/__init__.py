"""Measures by name: what candidates are judged, searched and shown by.

A measure is one row (`bench.measures.rows`). An objective is a measure under an aggregation over repetitions, such as
``f1_floor``, or a cost, such as ``latency_ms``. No other package knows a measure by its name, so that a new one is one
row, or one call of `add` in a package of one's own:

    from bench.measures import Measure, add

    add(Measure("recall_of_all", "least recall", best=1, counted=lambda counts: (counts.hits / counts.support).min(-1)))
"""

from bench.measures.measure import Cost, Measure, Predictions, Use, spelled
from bench.measures.objective import (
    AGGREGATIONS,
    Aggregation,
    Objective,
    aggregated,
    check_classes,
    measure_names,
    objective,
    objective_names,
    over_repetitions,
    score,
    summaries,
    summary,
    values,
)
from bench.measures.rows import ACCURACY, DEFAULT, F1, LATENCY, MEASURES, add, cost_names, prices

__all__ = [
    "ACCURACY",
    "AGGREGATIONS",
    "DEFAULT",
    "F1",
    "LATENCY",
    "MEASURES",
    "Aggregation",
    "Cost",
    "Measure",
    "Objective",
    "Predictions",
    "Use",
    "add",
    "aggregated",
    "check_classes",
    "cost_names",
    "measure_names",
    "objective",
    "objective_names",
    "over_repetitions",
    "prices",
    "score",
    "spelled",
    "summaries",
    "summary",
    "values",
]
