"""The one answer: what a trained classifier says of rows, and how its training went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np

ScoreKind = Literal["log-probability", "decision", "value"]
"""Natural logarithms of class probabilities; decision values, which are larger where a class is likelier; or what a
task without probabilities predicts."""

Report = tuple[Mapping[str, Any], ...]
"""How the training of one head went, a mapping of JSON values for each of its parts (under late fusion several)."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """The answer to an ask, without the truth: thresholds, calibration and cascades follow from it.

    Attributes:
        rows: Positions in the training rows (a search) or the test rows (a confirmation), ascending, int64 [n].
        predicted: The task's numbers, [n, …]: in classification classes as indices of the ask's label list, int64 [n].
            They are the head's own decision, which a tie may tell apart from the first of the largest scores.
        scores: Of every output, float32 [n, outputs]: in classification of every class, −inf where one is out of the
            question.
        kind: What the scores are.
        reports: One a trained head, so one a fold; none where nothing is said of the training.
    """

    rows: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray
    kind: ScoreKind = "log-probability"
    reports: tuple[Report, ...] = ()

    @classmethod
    def joined(cls, parts: "Sequence[Outcome]") -> "Outcome":
        """What was said of different rows as one outcome; the parts' reports follow one another."""
        order = np.argsort(np.concatenate([part.rows for part in parts]))
        rows, predicted, scores = (
            np.concatenate([getattr(part, name) for part in parts])[order] for name in ("rows", "predicted", "scores")
        )
        return cls(rows, predicted, scores, parts[0].kind, tuple(chain.from_iterable(each.reports for each in parts)))

    def at(self, rows: np.ndarray, reports: "tuple[Report, ...]") -> "Outcome":
        """What is said of some of the rows, by their positions, ascending, by heads with these reports."""
        places = np.searchsorted(self.rows, rows)
        return Outcome(rows, self.predicted[places], self.scores[places], self.kind, reports)
