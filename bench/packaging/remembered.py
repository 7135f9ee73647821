"""What a package remembers of the rows that it was made from, so that later rows can be held against them: counts."""

from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import Field

from bench.measures import Measure, Predictions
from bench.metrics import Interval, binned, bootstrap_interval, class_f1, edges_of, f1_intervals
from bench.specs import Spec

CHARACTERS, DISTANCE, CONFIDENCE = "characters", "distance", "confidence"


class Distribution(Spec):
    """How a number was distributed: `counts` of rows in the bins between the inner `edges`."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, values: np.ndarray) -> "Distribution":
        """In bins of these values' own."""
        edges = edges_of(values)
        return cls(edges=edges, counts=binned(values, edges))


class Remembered(Spec):
    """The rows of a search in numbers. No text can be made out from them.

    Attributes:
        rows: Test rows.
        scores: On the test rows, of the packaged heads, by measure, each with its 95% interval.
        by_class: F1 of each label in their order; empty where labels are no classes, as `confusion` and `classes`.
        confusion: Test rows, [label, answer]. A label that training lacks comes after the others.
        classes: Training rows of each label.
        rare: Labels that had too few training rows, and the label that they became; None where they were left out.
        units: Groups a row by side, where rows belong together: so much counts a row where the two are compared.
        inputs: By name: the length of the training texts in characters, and their distance from the middle of the
            training rows as the head sees them.
        confidence: Of the answers to test rows, whose labels the heads were not trained on: of their own training rows
            they are too sure. None where scores are no probabilities.
    """

    rows: int
    scores: Mapping[str, Interval]
    by_class: tuple[Interval, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    classes: tuple[int, ...] = ()
    rare: Mapping[str, str | None] = Field(default_factory=dict)
    units: Mapping[str, float] = Field(default_factory=dict)
    inputs: Mapping[str, Distribution]
    confidence: Distribution | None = None


def scores_of(said: Predictions, measures: Sequence[Measure], seed: int) -> dict[str, Interval]:
    """Each measure with its 95% interval over rows, by name; without what is not known."""
    found = {measure.name: measure.interval([said], seed) for measure in measures if measure.only is None}
    return {name: each for name, each in found.items() if np.isfinite(each.value)}


def f1_by_class(said: Predictions, labels: int, seed: int) -> tuple[Interval, ...]:
    """F1 of each of the first classes, with its 95% interval over rows."""
    classes = len(said.labels)
    if said.truth.ndim > 1:
        return f1_intervals(said.truth, said.predicted[None], said.groups, seed=seed)[:labels]
    return tuple(
        bootstrap_interval(said.truth, said.predicted, classes, class_f1(place), seed=seed, groups=said.groups)
        for place in range(labels)
    )


def characters(texts: Sequence[str]) -> np.ndarray:
    """Their lengths, int64 [texts]."""
    return np.fromiter(map(len, texts), np.int64, len(texts))
