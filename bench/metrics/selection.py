"""What choosing the best of many does to its score: the choice is made again over rows that are drawn again.

Bootstrap bias corrected cross-validation (Tsamardinos, Greasidou and Borboudakis, Machine Learning 107, 2018): rows of
the out-of-fold predictions are drawn with replacement, the best candidate on the drawn rows is chosen as the search
chose it, and it is scored on the rows that were not drawn. Nothing is trained. Macro-F1 is lower on few rows than on
many, whoever chose: each candidate's scores on rows left out are moved so that their mean is its score on all rows, so
that what remains is what choosing does. For accuracy the mean is that score anyway, and both are the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.metrics.counts import Counts, Floats, Ints
from bench.metrics.intervals import Interval

DRAWS = 1000
FEWEST_DRAWS = 200
OPERATIONS = 1e11
"""Multiplications that the draws of all candidates may take together, about two seconds, before there are fewer."""
SAME = 1e-12
"""Scores that are nearer than this are equal: sums in another order part in their last digits."""

Weights = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Resamples:
    """Rows drawn again, those of a group together.

    Attributes:
        drawn: How often each row was drawn, [1 + draws, rows]; of the first, which is no draw, every row once.
        left: 1 where a row was not drawn, [draws, rows].
    """

    drawn: Weights
    left: Weights

    @classmethod
    def of(cls, groups: npt.ArrayLike, *, seed: int, draws: int = DRAWS) -> "Resamples":
        """As many groups as there are, with replacement; `groups` int [rows]."""
        distinct, place = np.unique(np.asarray(groups), return_inverse=True)
        units = len(distinct)
        counts = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=draws)
        # whoever has drawn everything has left nothing to be scored on
        counts = counts[(counts == 0).any(axis=1)] if units > 1 else counts
        weights = counts.astype(np.float32)[:, place]
        return cls(np.vstack([np.ones((1, len(place)), np.float32), weights]), (weights == 0).astype(np.float32))

    def weights(self, *, left: bool = False) -> Weights:
        """How often each row counts, [draws, rows]."""
        return self.left if left else self.drawn

    def counts(self, truth: Ints, predicted: Ints, classes: int, *, left: bool = False) -> Counts:
        """What each draw counts by class, [draws, repetitions, classes].

        Args:
            truth: Class indices [rows].
            predicted: The same, [repetitions, rows].
            classes: Length of the label list.
            left: Of the rows left out instead of those drawn.
        """
        each = np.eye(classes, dtype=np.float32)
        right = [each[truth] * (one == truth)[:, None] for one in predicted]
        columns = np.hstack([*right, *(each[one] for one in predicted), each[truth]])
        found = self.weights(left=left) @ columns
        table = found.reshape(len(found), -1, classes).astype(np.float64)
        repetitions = len(predicted)
        return Counts(table[:, :repetitions], table[:, repetitions:-1], table[:, -1:])

    def counts_of_sets(self, truth: Ints, predicted: Ints, *, left: bool = False) -> Counts:
        """The same of labels that rows have, 0 or 1: truth [rows, labels], predicted [repetitions, rows, labels]."""
        each = [Counts.rows_of_sets(truth, one) for one in predicted]
        weights = self.weights(left=left)

        def summed(parts: Sequence[Floats]) -> Floats:
            found = [(weights @ part.astype(np.float32)).astype(np.float64) for part in parts]
            return np.stack(found, 1)

        return Counts(
            summed([one.hits for one in each]),
            summed([one.predicted for one in each]),
            summed([one.support for one in each]),
        )

    def means(self, values: Floats, *, left: bool = False) -> Floats:
        """The mean of what is known of each row, [draws, repetitions] from [repetitions, rows]."""
        weights = self.weights(left=left)
        found: Floats = (weights @ values.T.astype(np.float32) / weights.sum(1, keepdims=True)).astype(np.float64)
        return found


def affordable(rows: int, columns: int) -> int:
    """How many draws there are for so many rows, and columns of all candidates together."""
    return int(np.clip(OPERATIONS / max(1, rows * columns), FEWEST_DRAWS, DRAWS))


@dataclass(frozen=True, eq=False)
class Contest:
    """What is chosen on all rows, and in each draw, of candidates that are sorted by what they cost.

    Of equal scores the first counts, which is the cheapest.

    Attributes:
        scores: By which is chosen, more is better, [1 + draws, candidates]; the first are those of all rows.
    """

    scores: Floats

    @property
    def winner(self) -> int:
        """The best on all rows."""
        return int(_best(self.scores[:1])[0])

    @property
    def winners(self) -> Ints:
        """The best in each draw."""
        return _best(self.scores[1:])

    def errors(self, place: int) -> Floats:
        """The standard error of each candidate's difference from one of them, [candidates]."""
        differences = self.scores[1:, place, None] - self.scores[1:]
        found: Floats = differences.std(axis=0)
        return found

    def near(self, errors: float = 1.0, among: Sequence[int] | None = None) -> list[int]:
        """Those that cannot be told apart from the best one, ascending: within so many standard errors of it.

        The rule of one standard error (Breiman and others, Classification and Regression Trees, 1984), with the error
        of the *difference*: all predict the same rows, and how hard these are is no difference between candidates.

        Args:
            errors: How many.
            among: Only these take part; all by default.
        """
        places = np.arange(self.scores.shape[1]) if among is None else np.asarray(sorted(among), dtype=np.int64)
        chosen = Contest(self.scores[:, places])
        best = chosen.winner
        behind = chosen.scores[0, best] - chosen.scores[0]
        found: list[int] = places[behind <= errors * chosen.errors(best) + SAME].tolist()
        return found

    def cheapest_near(self, errors: float = 1.0) -> Ints:
        """The cheapest that cannot be told apart from the best, on all rows and then in each draw, [1 + draws].

        Errors are those over all draws, which take the place of a bootstrap within each.
        """
        best = _best(self.scores)
        found = np.empty(len(best), dtype=np.int64)
        for place in np.unique(best):
            rows = np.flatnonzero(best == place)
            behind = self.scores[rows, place, None] - self.scores[rows]
            found[rows] = (behind <= errors * self.errors(int(place)) + SAME).argmax(axis=1)
        return found


def corrected(chosen: Ints, observed: Floats, left_out: Callable[[int], Floats], *, level: float = 0.95) -> Interval:
    """The score that a choice is worth, with the percentiles over draws of what it scored on rows left out.

    Args:
        chosen: The candidate that each draw chose, [draws].
        observed: Every candidate's score on all rows.
        left_out: From a candidate to its score on the rows that each draw left out, [draws]; NaN where unknown.
        level: Share of the draws within the interval.
    """
    values = np.full(len(chosen), np.nan)
    for place in np.unique(chosen):
        scores = left_out(int(place))
        mine = chosen == place
        values[mine] = (scores + (observed[place] - np.nanmean(scores)))[mine]
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.nanmean(values)), float(low), float(high))


def _best(scores: Floats) -> Ints:
    """The first of the best, [draws]; what is unknown is never the best."""
    known = np.where(np.isnan(scores), -np.inf, scores)
    found: Ints = (known >= known.max(axis=1, keepdims=True) - SAME).argmax(axis=1)
    return found
