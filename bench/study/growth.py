"""What more labels would bring: a candidate trained on half of its rows, and on what the search trained it on.

Two folds train on half of the rows, five on four fifths of them, and both predict the same rows out of fold: that is a
learning curve of two points, paired by row, without the test set. Beyond them the error is taken to fall by a power of
the number of rows (Hestness and others, Deep Learning Scaling is Predictable, Empirically, 2017, section 4).
"""

import math
from dataclasses import dataclass, replace

from bench.evaluation.scoring import Scored, Scorer
from bench.heads import DivergedError
from bench.measures import Measure
from bench.metrics import Interval
from bench.study.cascades import CascadeRecord, Selected
from bench.study.cascades import searched as cascade_searched
from bench.tasks import TASKS

HALVES = 2
"""Folds."""


@dataclass(frozen=True)
class LearningCurve:
    """A measure, of which 1 is the best, where heads are trained on `few` and on `many` of all `rows`.

    `gain` is the difference, with 95 % over rows.
    """

    rows: int
    few: int
    many: int
    low: float
    high: float
    gain: Interval

    @property
    def rises(self) -> bool:
        """Whether more rows are better beyond doubt."""
        return self.gain.low > 0

    @property
    def _power(self) -> float:
        return math.log((1 - self.low) / (1 - self.high)) / math.log(self.many / self.few)

    def error(self, rows: float) -> float:
        """What is expected of so many training rows; only of a curve that rises and is not at its end."""
        return (1 - self.high) * float((self.many / rows) ** self._power)

    def rows_for(self, gain: float) -> float:
        """How many training rows all in all would bring so much more than there are now; infinite where none would."""
        now = self.error(self.rows)
        return self.rows * float((now / (now - gain)) ** (1 / self._power)) if now > gain else math.inf


def learning_curve(scorer: Scorer, which: Selected, measure: Measure) -> LearningCurve | None:
    """The curve of what was chosen; None without folds or training, or of a measure with no best of 1."""
    protocol, rows = scorer.protocol, len(scorer.dataset.train)
    if TASKS[scorer.dataset.task].ranks:
        return None
    if protocol.name != "cv" or protocol.uses_validation_split(rows) or protocol.folds <= HALVES:
        return None
    if measure.best != 1 or measure.sign < 0 or getattr(which.subject, "outside", None) is not None:
        return None
    halved = replace(scorer, protocol=protocol.model_copy(update={"folds": HALVES}))
    try:
        half, whole = (_searched(each, which) for each in (halved, scorer))
    except DivergedError:
        return None
    gain = measure.difference(whole.predictions, half.predictions, seed=protocol.seed)
    low, high = half.summary(measure).mean, whole.summary(measure).mean
    return LearningCurve(rows, rows // HALVES, rows - rows // protocol.folds, low, high, gain)


def _searched(scorer: Scorer, which: Selected) -> Scored:
    if isinstance(which, CascadeRecord):
        return cascade_searched(scorer, which)
    return scorer.scored(which.candidate, "search")
