"""The measures, a row each."""

from collections.abc import Sequence

import numpy as np

from bench import metrics
from bench.measures.measure import Measure, Predictions, Use
from bench.metrics.counts import Floats
from bench.registry import Registry

MEASURES: Registry[Measure] = Registry("measure")


def add(measure: Measure) -> Measure:
    """Enter a row; raises ValueError where its name is taken."""
    return MEASURES.add(measure.name, measure)


def _log_loss(each: Predictions) -> float:
    known = each.log_probabilities
    return float("nan") if known is None else metrics.log_loss(each.truth, known)


def _log_losses(each: Predictions) -> Floats:
    known = each.log_probabilities
    return np.full(len(each.truth), np.nan) if known is None else metrics.log_losses(each.truth, known)


def _brier_scores(each: Predictions) -> Floats:
    known = each.log_probabilities
    return np.full(len(each.truth), np.nan) if known is None else metrics.brier_scores(each.truth, known)


def _calibration_error(each: Predictions) -> float:
    known = each.log_probabilities
    return float("nan") if known is None else metrics.calibration_error(each.truth, each.predicted, known)


def _samples_f1(each: Predictions) -> Floats:
    return metrics.samples_f1(each.truth, each.predicted)


def _mean_ap(each: Predictions) -> float:
    known = each.log_probabilities
    if known is None:
        return float("nan")
    found = metrics.average_precision(each.truth, known)
    return float(found[np.isfinite(found)].mean()) if np.isfinite(found).any() else float("nan")


def _ndcg(each: Predictions) -> Floats:
    """What was predicted is what `bench.metrics.judged` says of the nearest."""
    return metrics.ndcg(each.predicted[:, :-1], each.predicted[:, -1])


def _precision(each: Predictions) -> Floats:
    return metrics.precision(each.predicted[:, :-1])


F1 = add(
    Measure("f1", "macro-F1", heading="F1", best=1, grows=True, counted=metrics.macro_f1, of_class=metrics.class_f1)
)
ACCURACY = add(Measure("accuracy", "accuracy", heading="acc.", best=1, grows=True, counted=metrics.accuracy))
add(Measure("weighted_f1", "weighted F1", best=1, grows=True, counted=metrics.weighted_f1))
add(Measure("balanced_accuracy", "balanced accuracy", best=1, grows=True, counted=metrics.balanced_accuracy))
add(Measure("mcc", "Matthews correlation", heading="MCC", best=1, counted=metrics.matthews))
add(Measure("log_loss", "log-loss", "minimize", unit="nats", grows=True, computed=_log_loss, of_rows=_log_losses))
add(
    Measure(
        "brier",
        "Brier score",
        "minimize",
        heading="Brier",
        grows=True,
        computed=lambda each: float(_brier_scores(each).mean()),
        of_rows=_brier_scores,
    )
)
add(Measure("calibration_error", "expected calibration error", "minimize", heading="ECE", computed=_calibration_error))
_SETS = "multilabel"
add(
    Measure(
        "label_f1",
        "macro-F1 over labels",
        heading="F1",
        best=1,
        grows=True,
        counted=metrics.macro_f1,
        of_class=metrics.class_f1,
        task=_SETS,
    )
)
add(Measure("micro_f1", "micro-F1", heading="micro", best=1, grows=True, counted=metrics.micro_f1, task=_SETS))
add(
    Measure(
        "samples_f1",
        "samples-F1",
        heading="samples",
        best=1,
        grows=True,
        computed=lambda each: float(_samples_f1(each).mean()),
        of_rows=_samples_f1,
        task=_SETS,
    )
)
add(Measure("mean_ap", "mean average precision", heading="mAP", best=1, computed=_mean_ap, task=_SETS))
_GRADES = "ordinal"
add(
    Measure(
        "kappa",
        "quadratic weighted kappa",
        heading="kappa",
        best=1,
        confused=lambda rows, _: metrics.quadratic_kappa(rows),
        task=_GRADES,
    )
)
add(
    Measure(
        "mae",
        "mean absolute error",
        "minimize",
        heading="MAE",
        unit="steps",
        grows=True,
        computed=lambda each: float(metrics.distances(each.truth, each.predicted).mean()),
        of_rows=lambda each: metrics.distances(each.truth, each.predicted),
        task=_GRADES,
    )
)
add(
    Measure(
        "hierarchical_f1",
        "hierarchical F1",
        heading="hF1",
        best=1,
        grows=True,
        confused=metrics.hierarchical_f1,
        task="hierarchy",
    )
)
add(Measure("v_measure", "v-measure", heading="v", best=1, tabled=metrics.v_measure, task="clustering"))
add(
    Measure(
        "adjusted_rand", "adjusted Rand index", heading="ARI", best=1, tabled=metrics.adjusted_rand, task="clustering"
    )
)
add(
    Measure(
        "ndcg_10",
        "nDCG@10",
        best=1,
        computed=lambda each: float(_ndcg(each).mean()),
        of_rows=_ndcg,
        task="retrieval",
    )
)
add(
    Measure(
        "precision_10",
        "precision@10",
        heading="P@10",
        best=1,
        computed=lambda each: float(_precision(each).mean()),
        of_rows=_precision,
        task="retrieval",
    )
)
LATENCY = add(
    Measure(
        "latency_ms",
        "extraction latency",
        "minimize",
        heading="ms/text",
        unit="ms per text",
        digits=2,
        priced=lambda uses: sum(cost.layer_ms[layer] for cost, layer in uses),
    )
)
add(
    Measure(
        "memory_gb",
        "peak memory",
        "minimize",
        heading="GiB",
        unit="GiB",
        digits=2,
        priced=lambda uses: sum(cost.peak_memory_gb for cost, _ in uses),
    )
)


DEFAULT = (F1, ACCURACY)
"""What is kept of every candidate, whatever is searched for."""


def prices(uses: Sequence[Use]) -> dict[str, float]:
    """Every cost of a candidate by name."""
    return {name: measure.priced(uses) for name, measure in MEASURES.items() if measure.priced is not None}


def cost_names() -> list[str]:
    """The measures that are costs."""
    return [name for name, measure in MEASURES.items() if measure.is_cost]
