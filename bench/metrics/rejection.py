"""Answering only where a classifier is sure: how many rows it then answers, and how many of these are right.

The risk–coverage curve: El-Yaniv and Wiener, On the Foundations of Noise-free Selective Classification, Journal of
Machine Learning Research 11, 2010; Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, NIPS 2017.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.metrics.counts import Floats
from bench.metrics.intervals import Interval

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """What is answered under each threshold of confidence, from the fewest rows to all of them.

    Attributes:
        thresholds: Rows that are at least so sure are answered, descending, [k].
        coverage: The share of rows that is answered, ascending, [k].
        accuracy: The share of the answered rows that is right, [k].
        rows: How many rows these are shares of.
    """

    thresholds: Floats
    coverage: Floats
    accuracy: Floats
    rows: int

    @classmethod
    def of(cls, confidence: Floats, right: Bools, repetitions: int = 1) -> "RiskCoverage":
        """From the probability of each row's answer and whether it is right, [n] each; rows as sure go together.

        Where the same rows were predicted in several `repetitions`, n counts each row so often.
        """
        order = np.argsort(-confidence, kind="stable")
        sure = confidence[order].astype(np.float64)
        last = np.flatnonzero(np.append(sure[1:] != sure[:-1], True))
        answered = last + 1
        return cls(sure[last], answered / len(sure), np.cumsum(right[order])[last] / answered, len(sure) // repetitions)

    @property
    def area(self) -> float:
        """The area under risk by coverage, less is better: over rows, the mean error of all that are as sure."""
        widths = np.diff(self.coverage, prepend=0.0)
        return float((widths * (1 - self.accuracy)).sum())

    def at(self, threshold: float) -> tuple[float, float]:
        """Coverage and accuracy where rows below the threshold are rejected; the accuracy of no row is NaN."""
        # thresholds descend
        place = int(np.searchsorted(-self.thresholds, -threshold, side="right")) - 1
        return (0.0, float("nan")) if place < 0 else (float(self.coverage[place]), float(self.accuracy[place]))

    def widest(self, accuracy: float) -> int | None:
        """The place of the lowest threshold that keeps an accuracy; None where none does.

        What is kept counts only where the answered rows could show it: where one wrong row among them is no miss yet.
        """
        enough = self.coverage * self.rows * (1 - accuracy) >= 1 - 1e-9
        places = np.flatnonzero(enough & (self.accuracy >= accuracy))
        return int(places[-1]) if len(places) else None


def wilson(share: float, rows: float, level: float = 0.95) -> Interval:
    """The interval of a share of so many rows, which is more than a point also where it is 0 or 1.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, Journal of the American Statistical
    Association 22, 1927.
    """
    from scipy.stats import norm

    z = float(norm.ppf((1 + level) / 2))
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    reach = z * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return Interval(share, max(0.0, float(middle - reach)), min(1.0, float(middle + reach)))
