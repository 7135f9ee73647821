"""What a measure is: one row that says how it is computed, and all that anybody else has to know of it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bench import metrics
from bench.errors import BenchError, nearest
from bench.front import Direction
from bench.metrics import Counts, Interval, PairedTest, Resamples, Scores
from bench.metrics.counts import Floats, Ints
from bench.specs import DEFAULT_TASK


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one trained classifier says of rows, beside the truth.

    Attributes:
        truth: Class indices, int [n]; of a task whose rows have several labels 0 or 1 of each, int [n, labels].
        predicted: The same; of several labels those that training knew, which are the first.
        labels: Names of all classes.
        log_probabilities: Natural logarithms, float [n, m], of the first m classes (a class of the test set alone was
            not trained on); None where the classifier has no probabilities.
        groups: Rows of one number belong together, int [n], and are drawn together; None where each is on its own.
    """

    truth: Ints
    predicted: Ints
    labels: tuple[str, ...]
    log_probabilities: Floats | None = None
    groups: Ints | None = None
    _values: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def scores(self) -> Scores:
        """The table of counts and what follows from it."""
        return metrics.score(self.truth, self.predicted, len(self.labels))

    def value(self, measure: "Measure") -> float:
        """One measure's value, computed once; NaN where it needs probabilities and there are none."""
        if measure.name not in self._values:
            self._values[measure.name] = measure.compute(self)
        return self._values[measure.name]

    def at(self, rows: Ints | slice) -> "Predictions":
        """The same of some rows, by their places."""
        logs = None if self.log_probabilities is None else self.log_probabilities[rows]
        groups = None if self.groups is None else self.groups[rows]
        return replace(
            self, truth=self.truth[rows], predicted=self.predicted[rows], log_probabilities=logs, groups=groups
        )

    @cached_property
    def perfect(self) -> "Predictions":
        """The same rows, all predicted rightly and, where there are probabilities, surely."""
        logs = self.log_probabilities
        if logs is not None and self.truth.ndim > 1:
            with np.errstate(divide="ignore"):
                logs = np.log((self.truth[:, : logs.shape[1]] > 0).astype(logs.dtype))
        elif logs is not None:
            logs = np.full_like(logs, -np.inf)
            known = np.flatnonzero(self.truth < logs.shape[1])
            logs[known, self.truth[known]] = 0
        return replace(self, predicted=self.truth, log_probabilities=logs)

    def mixed(self, other: "Predictions", rows: npt.NDArray[np.bool_]) -> "Predictions":
        """The same, with what another classifier says of some of the rows, bool [n]."""
        logs = None
        if self.log_probabilities is not None and other.log_probabilities is not None:
            logs = np.where(rows[:, None], other.log_probabilities, self.log_probabilities)
        swapped = rows if self.predicted.ndim == 1 else rows[:, None]
        return replace(self, predicted=np.where(swapped, other.predicted, self.predicted), log_probabilities=logs)


class Cost(Protocol):
    """What was measured of one model, as far as rows need it (see `bench.cost.ModelCost`)."""

    @property
    def layer_ms(self) -> Sequence[float]:
        """Milliseconds a text up to and including each layer."""

    @property
    def peak_memory_gb(self) -> float:
        """GiB, weights included."""


Use = tuple[Cost, int]
"""A model that a candidate uses, and the deepest layer that it uses of it."""


@dataclass(frozen=True)
class Measure:
    """One row: give exactly one of `counted`, `confused`, `tabled`, `computed` and `priced`.

    Attributes:
        name: In files: letters, digits and underscores.
        title: In sentences and on axes.
        direction: Whether more or less is better.
        heading: In tables, where the title is too long.
        unit: With which `title` is followed in brackets.
        best: The best value there is: pruning relies on it.
        grows: Whether a row that is predicted rightly, and surely, never makes it worse, whatever is said of others:
            what rows that are not predicted yet can bring is then at best what it is with all of them right.
        digits: After the point, for people.
        counted: From counts by class; such a measure is resampled quickly.
        confused: From how many rows of each label were given each, int [label, prediction], and the names.
        tabled: From rows by class and predicted group, see `bench.metrics.grouping`: groups that have no names.
        computed: From predictions in full; NaN where they lack what it needs.
        of_rows: Of a measure that is computed, the value of each row where it is their mean, [n]: it is resampled fast.
        priced: From the models that a candidate uses: a cost, which is known before anything is trained.
        of_class: From a class's index to what computes the measure of that class alone, ``NAME.CLASS``.
        only: That class.
        task: Of whose predictions it is, where it is no cost.
    """

    name: str
    title: str
    direction: Direction = "maximize"
    _: KW_ONLY
    heading: str = ""
    unit: str = ""
    best: float = 0.0
    grows: bool = False
    digits: int = 4
    counted: Callable[[Counts], Floats] | None = None
    confused: Callable[[Ints, Sequence[str]], float] | None = None
    tabled: Callable[[Floats], Floats] | None = None
    computed: Callable[[Predictions], float] | None = None
    of_rows: Callable[[Predictions], Floats] | None = None
    priced: Callable[[Sequence[Use]], float] | None = None
    of_class: Callable[[int], Callable[[Counts], Floats]] | None = None
    only: str | None = None
    task: str = DEFAULT_TASK

    def __post_init__(self) -> None:
        ways = sum(way is not None for way in (self.counted, self.confused, self.tabled, self.computed, self.priced))
        if ways != 1 or (self.only is None and not re.fullmatch(r"\w+", self.name, re.ASCII)):
            raise ValueError(f"the measure '{self.name}' needs a plain name and one way in which it is computed")

    @property
    def is_cost(self) -> bool:
        """Whether it is known before anything is trained."""
        return self.priced is not None

    @property
    def short(self) -> str:
        """For tables."""
        return self.heading or self.title

    @property
    def label(self) -> str:
        """The title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def sign(self) -> int:
        """By which values are multiplied so that more is better."""
        return 1 if self.direction == "maximize" else -1

    def compute(self, predictions: Predictions) -> float:
        """The value of one repetition, or of some rows of it.

        Raises:
            BenchError: it is of a class that is not there.
        """
        if (counted := self._counting(predictions.labels)) is not None:
            if predictions.truth.ndim > 1:
                return float(counted(Counts.of_sets(predictions.truth, predictions.predicted)))
            return float(counted(Counts.of(predictions.scores.confusion)))
        if self.confused is not None:
            labels = predictions.labels
            return self.confused(metrics.confusion(predictions.truth, predictions.predicted, len(labels)), labels)
        if self.tabled is not None:
            return float(self.tabled(metrics.table_of(predictions.truth, predictions.predicted)))
        assert self.computed is not None, f"{self.name} is no score"
        return self.computed(predictions)

    def interval(self, outcomes: Sequence[Predictions], seed: int = 0) -> Interval:
        """The mean over repetitions on the same rows, with its 95% interval over these rows, or their groups."""
        first = outcomes[0]
        if first.truth.ndim == 1 and (counted := self._counting(first.labels)) is not None:
            predicted = np.stack([each.predicted for each in outcomes])
            return metrics.bootstrap_interval(
                first.truth, predicted, len(first.labels), counted, seed=seed, groups=first.groups
            )

        if self.tabled is not None:
            return metrics.interval_of(self._drawn(outcomes, seed))
        said = self._read(outcomes)

        def mean(rows: Ints) -> float:
            return float(np.mean([self.compute(each.at(rows)) for each in said]))

        return metrics.row_interval(mean, len(first.truth), seed=seed, groups=first.groups)

    def paired(
        self, a: Sequence[Predictions], b: Sequence[Predictions], seed: int = 0, draws: int = 10_000
    ) -> PairedTest:
        """Whether the means of two systems over as many repetitions differ, by swapping what they say row by row.

        Rows of a group are swapped together; of groups without names rows are drawn again instead. `draws` bounds
        the swaps; a measure that is not counted takes a thousand at most.
        """
        first = a[0]
        if first.truth.ndim == 1 and (counted := self._counting(first.labels)) is not None:
            one, other = (np.stack([each.predicted for each in side]) for side in (a, b))
            return metrics.paired_permutation(
                first.truth, one, other, len(first.labels), counted, seed=seed, groups=first.groups, draws=draws
            )

        if self.tabled is not None:
            return metrics.drawn_test(self._drawn(a, seed) - self._drawn(b, seed))
        sides = list(zip(self._read(a), self._read(b), strict=True))

        def difference(swapped: npt.NDArray[np.bool_]) -> float:
            pairs = [(one.mixed(other, swapped), other.mixed(one, swapped)) for one, other in sides]
            return float(np.mean([self.compute(one) - self.compute(other) for one, other in pairs]))

        return metrics.row_permutation(
            difference, len(first.truth), seed=seed, groups=first.groups, draws=min(draws, 1000)
        )

    def difference(
        self, a: Sequence[Predictions], b: Sequence[Predictions], seed: int = 0, level: float = 0.95
    ) -> Interval:
        """The difference of the means of two systems, a − b, with its interval over rows, or their groups."""
        first = a[0]
        if first.truth.ndim == 1 and (counted := self._counting(first.labels)) is not None:
            one, other = (np.stack([each.predicted for each in side]) for side in (a, b))
            return metrics.paired_interval(
                first.truth, one, other, len(first.labels), counted, seed=seed, groups=first.groups, level=level
            )

        if self.tabled is not None:
            return metrics.interval_of(self._drawn(a, seed) - self._drawn(b, seed), level)
        sides = list(zip(self._read(a), self._read(b), strict=True))

        def mean(rows: Ints) -> float:
            return float(np.mean([self.compute(one.at(rows)) - self.compute(other.at(rows)) for one, other in sides]))

        return metrics.row_interval(mean, len(first.truth), seed=seed, groups=first.groups, level=level)

    def resampled(self, outcomes: Sequence[Predictions], rows: Resamples, *, left: bool = False) -> Floats:
        """The value of each repetition over rows that were drawn again, or `left` out, [draws, repetitions]."""
        first = outcomes[0]
        if (counted := self._counting(first.labels)) is not None:
            predicted = np.stack([each.predicted for each in outcomes])
            if first.truth.ndim > 1:
                return counted(rows.counts_of_sets(first.truth, predicted, left=left))
            return counted(rows.counts(first.truth, predicted, len(first.labels), left=left))
        if self.tabled is not None:
            weights, whole = rows.weights(left=left), np.array([self.compute(each) for each in outcomes])
            tables = [metrics.tables_of(each.truth, each.predicted, weights) for each in outcomes]
            values = np.stack([self.tabled(each) for each in tables], axis=1)
            return values if left else metrics.moved(values, whole, weights)
        if self.of_rows is not None:
            return rows.means(np.stack([self.of_rows(each) for each in outcomes]), left=left)
        places = [np.repeat(np.arange(len(first.truth)), each) for each in rows.weights(left=left).astype(np.int64)]
        said = self._read(outcomes)
        return np.array([[self.compute(each.at(drawn)) for each in said] for drawn in places])

    def _read(self, outcomes: Sequence[Predictions]) -> list[Predictions]:
        """The same without probabilities where it reads none, so that drawing rows copies none."""
        return [each if self.computed is not None else replace(each, log_probabilities=None) for each in outcomes]

    def _drawn(self, outcomes: Sequence[Predictions], seed: int) -> Floats:
        """The mean over repetitions of all rows, and then of rows that were drawn again, [1 + draws]."""
        first = outcomes[0]
        groups = np.arange(len(first.truth)) if first.groups is None else first.groups
        found: Floats = self.resampled(outcomes, Resamples.of(groups, seed=seed)).mean(axis=1)
        return found

    def _counting(self, labels: Sequence[str]) -> Callable[[Counts], Floats] | None:
        if self.only is None or self.of_class is None:
            return self.counted
        return self.of_class(class_index(labels, self.only))

    def shown(self, value: float | None) -> str:
        """A value for people; what is unknown is a dash."""
        return "–" if value is None or value != value else f"{value:.{self.digits}f}"

    def plus_minus(self, mean: float | None, std: float | None) -> str:
        """A mean and its spread for people; a spread over one value is unknown."""
        if mean is None or mean != mean:
            return ""
        return self.shown(mean) if std is None or std != std else f"{self.shown(mean)} ± {self.shown(std)}"


def spelled(label: str) -> str:
    """A class's name as a part of an objective's: what MLflow refuses in the names of metrics becomes ``_``."""
    return re.sub(r"[^\w.\- ]", "_", label)


def class_index(labels: Sequence[str], name: str) -> int:
    """The place of the class that is spelled so.

    Raises:
        BenchError: no class, or more than one, is.
    """
    found = [index for index, label in enumerate(labels) if spelled(label) == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise BenchError(f"More than one class is spelled '{name}': {', '.join(labels[index] for index in found)}.")
    raise BenchError(f"The data has no class '{name}' to be measured: {nearest(name, map(spelled, labels))}")
