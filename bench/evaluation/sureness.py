"""How sure a pipeline may be: its temperature, the error of its probabilities, and what it answers where it is sure.

All of it follows from predictions that are kept: nothing is trained. The temperature is found on training rows that
were predicted out of fold, and so are thresholds; what both are worth is seen on rows that had no part in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.evaluation.cascades import PARTS, parts_of
from bench.evaluation.scoring import Scored
from bench.measures import Predictions
from bench.metrics import Reliability, RiskCoverage, best_temperature, calibration_error, tempered, wilson
from bench.specs import Spec

ACCURACIES = (0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
"""What a person may want of the answered rows; those that all rows have already are left out."""
DIGITS, MORE, CLOSE = 4, 7, 0.999
"""Of a threshold, and of one that is closer to 1 than `CLOSE`."""


class Errors(Spec):
    """Expected calibration error of the likeliest class's probability, as the head says it and at the temperature."""

    before: float
    after: float


class Threshold(Spec):
    """A probability below which rows are rejected, and what the others are worth.

    Attributes:
        wanted: The accuracy that it was chosen to keep, on the rows that it was chosen on.
        probability: At the temperature; that of the likeliest class.
        coverage: The share of the rows that it was chosen on which is answered.
        accuracy: Of these.
        test_coverage: The same of the test rows, in the mean over seeds.
        test_accuracy: NaN where no test row is answered.
        low: With `high` the 95% interval of that, over test rows, or their groups; NaN as well.
        high: See `low`.
    """

    wanted: float
    probability: float
    coverage: float
    accuracy: float
    test_coverage: float
    test_accuracy: float | None
    low: float | None = None
    high: float | None = None


class Sureness(Spec):
    """What is known of a pipeline's probabilities.

    Attributes:
        temperature: By which its log-probabilities are divided (see `bench.metrics.calibration`).
        errors: By side, ``"out of fold"`` and ``"test"``; out of fold each row's temperature is that of others.
        accuracy: Of all rows, by side.
        areas: Areas under risk by coverage, by side (see `RiskCoverage.area`).
        thresholds: To choose from, by the accuracy that they keep out of fold, ascending.
    """

    temperature: float
    errors: Mapping[str, Errors]
    accuracy: Mapping[str, float]
    areas: Mapping[str, float]
    thresholds: tuple[Threshold, ...]

    @property
    def metrics(self) -> dict[str, float]:
        """The temperature and the errors under plain names."""
        errors = {
            f"calibration_error_{side.replace(' ', '_')}_{when}": value
            for side, each in self.errors.items()
            for when, value in (("before", each.before), ("after", each.after))
        }
        return {"temperature": self.temperature, **errors}


OUT_OF_FOLD, TEST = "out of fold", "test"
MOST = 0.75
"""The least share of texts that is worth speaking of."""


def at_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """The same answers with probabilities at a temperature; without probabilities as they are."""
    logs = predictions.log_probabilities
    return predictions if logs is None else replace(predictions, log_probabilities=tempered(logs, temperature))


def temperature_of(outcomes: Sequence[Predictions]) -> float | None:
    """The best one for all repetitions together; None where one has no probabilities."""
    truth, logs = [each.truth for each in outcomes], [each.log_probabilities for each in outcomes]
    known = [each for each in logs if each is not None]
    return best_temperature(np.concatenate(truth), np.concatenate(known)) if len(known) == len(logs) > 0 else None


def cross_fitted(scored: Scored, groups: np.ndarray, seed: int) -> list[Predictions]:
    """Each row at the temperature of the rows of other parts, groups whole, as thresholds of cascades are found.

    Args:
        scored: Out of fold.
        groups: Of all training rows, int [training rows].
        seed: Of the parts.
    """
    parts = parts_of(groups, seed)
    found = []
    for each in scored.repetitions:
        assert each.predictions.log_probabilities is not None
        logs = each.predictions.log_probabilities.astype(np.float64)
        for part in range(PARTS):
            inside = parts[each.rows] == part
            if inside.any() and not inside.all():
                others = [one.predictions.at(np.flatnonzero(parts[one.rows] != part)) for one in scored.repetitions]
                temperature = temperature_of(others)
                assert temperature is not None
                logs[inside] = tempered(logs[inside], temperature)
        found.append(replace(each.predictions, log_probabilities=logs))
    return found


def confidence_of(predictions: Predictions) -> np.ndarray:
    """The probability of each row's answer, [rows]."""
    assert predictions.log_probabilities is not None
    found: np.ndarray = np.exp(
        predictions.log_probabilities[np.arange(len(predictions.predicted)), predictions.predicted]
    )
    return found


def risk_coverage(outcomes: Sequence[Predictions]) -> RiskCoverage:
    """The curve of all repetitions together, which are of the same rows."""
    confidence = np.concatenate([confidence_of(each) for each in outcomes])
    right = np.concatenate([each.predicted == each.truth for each in outcomes])
    return RiskCoverage.of(confidence, right, len(outcomes))


def reliability_of(outcomes: Sequence[Predictions]) -> Reliability:
    """Of all repetitions together, which are of the same rows; each has probabilities."""
    logs = [each.log_probabilities for each in outcomes if each.log_probabilities is not None]
    truth, predicted = ([getattr(each, name) for each in outcomes] for name in ("truth", "predicted"))
    return Reliability.of(np.concatenate(truth), np.concatenate(predicted), np.concatenate(logs))


def error_of(outcomes: Sequence[Predictions]) -> float:
    """Expected calibration error, in the mean over repetitions; NaN without probabilities."""
    known = [(each, each.log_probabilities) for each in outcomes if each.log_probabilities is not None]
    errors = [calibration_error(each.truth, each.predicted, logs) for each, logs in known]
    return float(np.mean(errors)) if errors else float("nan")


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Predictions by side, before and after calibration; out of fold each row's temperature is that of others."""

    temperature: float
    before: Mapping[str, Sequence[Predictions]]
    after: Mapping[str, Sequence[Predictions]]


def sides(searched: Scored, tested: Scored, groups: np.ndarray, seed: int) -> Calibrated | None:
    """The predictions of both sides; None where there are no probabilities. The arguments are those of `sureness`."""
    temperature = temperature_of(searched.predictions)
    if temperature is None or any(each.log_probabilities is None for each in tested.predictions):
        return None
    test = [at_temperature(each, temperature) for each in tested.predictions]
    return Calibrated(
        temperature,
        {OUT_OF_FOLD: searched.predictions, TEST: tested.predictions},
        {OUT_OF_FOLD: cross_fitted(searched, groups, seed), TEST: test},
    )


def sureness(searched: Scored, tested: Scored, groups: np.ndarray, seed: int) -> Sureness | None:
    """What is known of a pipeline's probabilities; None where it has none.

    Args:
        searched: Its predictions of training rows out of fold.
        tested: Those of the test rows.
        groups: Of all training rows.
        seed: Of the parts of rows that have no part in each other's temperature.
    """
    found = sides(searched, tested, groups, seed)
    if found is None:
        return None
    said = found.after
    curves = {side: risk_coverage(each) for side, each in said.items()}
    return Sureness(
        temperature=found.temperature,
        errors={side: Errors(before=error_of(found.before[side]), after=error_of(each)) for side, each in said.items()},
        accuracy={side: float(curve.accuracy[-1]) for side, curve in curves.items()},
        areas={side: curve.area for side, curve in curves.items()},
        thresholds=tuple(_thresholds(curves[OUT_OF_FOLD], said[TEST])),
    )


def _thresholds(curve: RiskCoverage, test: Sequence[Predictions]) -> "list[Threshold]":
    found: dict[float, Threshold] = {}
    for wanted in ACCURACIES:
        if wanted <= curve.accuracy[-1] or (place := curve.widest(wanted)) is None:
            continue
        probability = typed(float(curve.thresholds[place]))
        coverage, accuracy = curve.at(probability)
        found[probability] = Threshold(
            wanted=wanted, probability=probability, coverage=coverage, accuracy=accuracy, **tried_on(test, probability)
        )
    return list(found.values())


def typed(probability: float) -> float:
    """A threshold as a person types it, which is never a lower one."""
    scale = 10.0 ** (DIGITS if probability < CLOSE else MORE)
    return min(float(np.ceil(probability * scale) / scale), 1.0)


def tried_on(test: Sequence[Predictions], probability: float) -> dict[str, float | None]:
    """What is answered of rows that had no part in a threshold, with Wilson's interval over rows or their groups."""
    curve = risk_coverage(test)
    coverage, accuracy = curve.at(probability)
    if not coverage:
        return {"test_coverage": 0.0, "test_accuracy": None}
    units = np.mean([_units(each, confidence_of(each) >= probability) for each in test])
    interval = wilson(accuracy, float(units))
    return {"test_coverage": coverage, "test_accuracy": accuracy, "low": interval.low, "high": interval.high}


def _units(predictions: Predictions, answered: np.ndarray) -> int:
    groups = predictions.groups
    return int(answered.sum()) if groups is None else len(np.unique(groups[answered]))


def worthwhile(found: Sureness) -> Threshold | None:
    """The threshold to speak of: that of the highest accuracy for which most of the texts are still answered."""
    most = [each for each in found.thresholds if each.coverage >= MOST]
    return most[-1] if most else None
