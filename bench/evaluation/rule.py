"""How an answer follows from probabilities: the likeliest class or the cheapest one, or none where nothing is sure."""

from dataclasses import dataclass

import numpy as np

from bench.errors import BenchError
from bench.evaluation.mistakes import REJECTED, MistakeCosts


@dataclass(frozen=True)
class Rule:
    """What is answered.

    Attributes:
        reject_below: A text whose likeliest class is less probable gets no answer; 0 answers every text.
        costs: Of mistakes: the answer that costs least is given, rather than the likeliest class.
    """

    reject_below: float = 0.0
    costs: MistakeCosts | None = None

    def __post_init__(self) -> None:
        """Raise BenchError where the bound is no probability, or two rules would reject."""
        if not 0 <= self.reject_below <= 1:
            raise BenchError(f"`reject_below` is a probability, from 0 to 1, and not {self.reject_below:g}.")
        if self.reject_below and self.costs is not None and self.costs.rejects:
            raise BenchError(
                f"The costs say when a text is rejected, and so does `reject_below` ({self.reject_below:g}): "
                "leave out `reject_below`, which 0 does too, or the column 'reject'."
            )

    @property
    def rejects(self) -> bool:
        """Whether a text may get no answer."""
        return self.reject_below > 0 or (self.costs is not None and self.costs.rejects)

    @property
    def plain(self) -> bool:
        """Whether it is the likeliest class, whatever the text."""
        return self.costs is None and not self.reject_below

    def but(self, reject_below: float | None = None, costs: MistakeCosts | None = None) -> "Rule":
        """The same, where None, else with what is given in its place.

        Raises:
            BenchError: see above.
        """
        return Rule(self.reject_below if reject_below is None else reject_below, self.costs if costs is None else costs)

    def decide(self, probabilities: np.ndarray, plain: np.ndarray | None = None) -> np.ndarray:
        """The class of each row, int64 [rows], or `REJECTED`, from probabilities [rows, classes].

        `plain` is what is said where mistakes have no costs, int64 [rows]; None is the likeliest class.
        """
        likeliest = probabilities.argmax(axis=1) if plain is None else plain
        chosen = likeliest if self.costs is None else self.costs.decide(probabilities)
        found: np.ndarray = np.where(probabilities.max(axis=1) >= self.reject_below, chosen, REJECTED)
        return found


LIKELIEST = Rule()
"""Every text is answered with its likeliest class."""
