"""What a search is for: a measure under an aggregation over repetitions, or a cost."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from bench import metrics
from bench.errors import BenchError, nearest
from bench.front import Direction
from bench.measures.measure import Measure, Predictions, class_index, spelled
from bench.measures.rows import MEASURES
from bench.metrics import Resamples, Summary
from bench.metrics.counts import Floats
from bench.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Aggregation:
    """One row: from the repetitions of a candidate to one number.

    Attributes:
        name: The end of an objective's name.
        words: On axes.
        worse: What the end is called where less is better, if otherwise; either is understood for any measure.
        value: From values of all repetitions, [..., repetitions], to one each, [...].
        bound: The best that it can still become, from those of the repetitions so far and how many there will be.
        spread: Less is better, whatever the measure; unknown for one repetition.
        redrawn: It is of the values that repetitions have where their rows are drawn again and again, not of theirs
            alone.
    """

    name: str
    words: str
    worse: str = ""
    value: Callable[[Measure, Floats], Floats]
    bound: Callable[[Measure, Sequence[float], int], float]
    spread: bool = False
    redrawn: bool = False


def values(measure: Measure, outcomes: Sequence[Predictions]) -> list[float]:
    """One value a repetition."""
    return [outcome.value(measure) for outcome in outcomes]


def summary(measure: Measure, outcomes: Sequence[Predictions]) -> Summary:
    """Mean, spread and smallest value over repetitions."""
    return metrics.summarise(values(measure, outcomes))


def _worst(measure: Measure, found: Floats) -> Floats:
    worst: Floats = measure.sign * (measure.sign * found).min(axis=-1)
    return worst


def _spread(_: Measure, found: Floats) -> Floats:
    """Unknown for one value."""
    return found.std(axis=-1, ddof=1) if found.shape[-1] > 1 else np.full(found.shape[:-1], np.nan)


def _filled(measure: Measure, found: Sequence[float], total: int) -> float:
    return (sum(found) + (total - len(found)) * measure.best) / total


def _kept(measure: Measure, found: Floats) -> Floats:
    kept: Floats = measure.sign * np.quantile(measure.sign * found, LOWER, axis=-1)
    return kept


def _still_kept(measure: Measure, found: Sequence[float], total: int) -> float:
    return float(_kept(measure, np.array([*found, *[measure.best] * (total - len(found))])))


LOWER = 0.05
"""Of the values over rows drawn again, and over repetitions, how many are worse than the lower end."""
DRAWS = 400
"""How often rows are drawn again for it, always the same ones: candidates are compared on the same draws."""


@lru_cache(maxsize=2)
def _drawn(groups: bytes) -> Resamples:
    """Of rows in these groups, int64 [rows] as bytes; groups are drawn whole."""
    distinct, place = np.unique(np.frombuffer(groups, dtype=np.int64), return_inverse=True)
    units = len(distinct)
    counts = np.random.default_rng(0).multinomial(units, np.full(units, 1 / units), size=DRAWS).astype(np.float32)
    return Resamples(counts[:, place], counts[:0])


def _over_rows(measure: Measure, outcomes: Sequence[Predictions]) -> list[float]:
    """The values of repetitions over rows, or their groups, that were drawn again, `DRAWS` of each."""
    groups = [np.arange(len(each.truth)) if each.groups is None else each.groups for each in outcomes]
    found = [
        measure.resampled([each], _drawn(group.astype(np.int64).tobytes()))
        for each, group in zip(outcomes, groups, strict=True)
    ]
    return [value for each in found for value in each.ravel().tolist()]


AGGREGATIONS: Registry[Aggregation] = Registry("aggregation")

for _row in (
    Aggregation(
        name="mean",
        words="mean over repetitions",
        value=lambda _, found: found.mean(axis=-1),
        bound=_filled,
    ),
    Aggregation(
        name="std",
        words="standard deviation over repetitions",
        value=_spread,
        bound=lambda *_: 0.0,
        spread=True,
    ),
    Aggregation(
        name="floor",
        words="worst repetition",
        value=_worst,
        worse="worst",
        # a running minimum can only fall, a running maximum only rise
        bound=lambda measure, found, _: float(_worst(measure, np.asarray(found))),
    ),
    Aggregation(
        name="low",
        words="what is kept in 95 of 100 draws of rows and repetition",
        value=_kept,
        worse="high",
        bound=_still_kept,
        redrawn=True,
    ),
):
    AGGREGATIONS.add(_row.name, _row)


@dataclass(frozen=True)
class Objective:
    """What a search is for: a measure under an aggregation over repetitions, or a cost (`aggregation` is None)."""

    measure: Measure
    aggregation: Aggregation | None = None

    @property
    def name(self) -> str:
        """In files, tables and MLflow."""
        if self.aggregation is None:
            return self.measure.name
        return f"{self.measure.name}_{_suffix(self.measure, self.aggregation)}"

    @property
    def direction(self) -> Direction:
        """Whether more or less is better."""
        return "minimize" if self.is_spread else self.measure.direction

    @property
    def sign(self) -> int:
        """By which values are multiplied so that more is better."""
        return 1 if self.direction == "maximize" else -1

    @property
    def is_cost(self) -> bool:
        """Whether it is known before anything is trained."""
        return self.aggregation is None

    @property
    def is_spread(self) -> bool:
        """Whether it is unknown for one repetition."""
        return self.aggregation is not None and self.aggregation.spread

    @property
    def redrawn(self) -> bool:
        """Whether it draws rows again."""
        return self.aggregation is not None and self.aggregation.redrawn

    @property
    def short(self) -> str:
        """For tables."""
        if self.aggregation is None:
            return self.measure.short
        return f"{self.measure.short} {_suffix(self.measure, self.aggregation)}"

    @property
    def label(self) -> str:
        """What it is, with its unit, for an axis."""
        return self.measure.label + ("" if self.aggregation is None else f", {self.aggregation.words}")

    def value(self, outcomes: Sequence[Predictions]) -> float:
        """Of a score, from all repetitions of a candidate, which predict the same rows."""
        if self.redrawn:
            return self.of(_over_rows(self.measure, outcomes))
        return self.of(values(self.measure, outcomes))

    def of(self, found: Sequence[float]) -> float:
        """The same from the measure's value in each repetition."""
        assert self.aggregation is not None, f"{self.name} is known before anything is trained"
        return float(self.aggregation.value(self.measure, np.asarray(found, dtype=np.float64)))

    def resampled(self, outcomes: Sequence[Predictions], rows: Resamples, *, left: bool = False) -> Floats:
        """Of a score, its value over rows that were drawn again, or `left` out, [draws]."""
        assert self.aggregation is not None, f"{self.name} is known before anything is trained"
        return self.aggregation.value(self.measure, self.measure.resampled(outcomes, rows, left=left))

    def bound(self, outcomes: Sequence[Predictions], total: int, begun: Predictions | None = None) -> float:
        """Of a score, the best that it can still be after `total` repetitions.

        Args:
            outcomes: Of the repetitions that are there.
            total: How many there will be.
            begun: Of one that some rows are not predicted in yet: with these predicted rightly, and surely.
        """
        assert self.aggregation is not None, f"{self.name} is known before anything is trained"
        known = [*outcomes, begun] if begun is not None and self.measure.grows else outcomes
        if self.aggregation.redrawn:
            return self.aggregation.bound(self.measure, _over_rows(self.measure, known), total * DRAWS)
        found = values(self.measure, known)
        if begun is not None and not self.measure.grows:
            found.append(self.measure.best)
        return self.aggregation.bound(self.measure, found, total)


def _suffix(measure: Measure, aggregation: Aggregation) -> str:
    return aggregation.worse or aggregation.name if measure.direction == "minimize" else aggregation.name


def objective(name: str) -> Objective:
    """The objective of that name: a cost, ``MEASURE_AGGREGATION`` or ``MEASURE.CLASS_AGGREGATION``.

    Raises:
        BenchError: there is none.
    """
    if name in MEASURES and MEASURES[name].is_cost:
        return Objective(MEASURES[name])
    stem, _, suffix = name.rpartition("_")
    suffix = next((each.name for each in AGGREGATIONS.values() if suffix == each.worse), suffix)
    found = _measure(stem)
    if found is None or found.is_cost or suffix not in AGGREGATIONS:
        raise BenchError(f"There is no objective '{name}': {nearest(name, objective_names())}")
    return Objective(found, AGGREGATIONS[suffix])


def objective_names() -> list[str]:
    """All that go without the name of a class."""
    costs = [measure.name for measure in MEASURES.values() if measure.is_cost]
    scores = [
        f"{measure.name}_{_suffix(measure, aggregation)}"
        for measure in MEASURES.values()
        for aggregation in AGGREGATIONS.values()
        if not measure.is_cost
    ]
    return [*scores, *costs]


def measure_names() -> list[str]:
    """Of what is computed from predictions, whole ones."""
    return [name for name, each in MEASURES.items() if not each.is_cost]


def _measure(name: str) -> Measure | None:
    """The row of that name, or the one that it makes for the class that is named behind a point."""
    whole, point, only = name.partition(".")
    if whole not in MEASURES:
        return None
    row = MEASURES[whole]
    if not point:
        return row
    if row.of_class is None or not only:
        return None
    only = spelled(only)
    label = f"{row.short} of {only}"
    return replace(row, name=f"{row.name}.{only}", title=label, heading=label, only=only)


def score(name: str) -> Measure:
    """The measure of that name that is no cost, ``MEASURE`` or ``MEASURE.CLASS``.

    Raises:
        BenchError: there is none.
    """
    found = _measure(name)
    if found is None or found.is_cost:
        raise BenchError(f"There is no measure '{name}' of predictions: {nearest(name, measure_names())}")
    return found


def check_classes(objectives: Iterable[Objective], labels: Sequence[str]) -> None:
    """Raise BenchError where an objective is of a class that the data has not."""
    for each in objectives:
        if each.measure.only is not None:
            class_index(labels, each.measure.only)


def aggregated(measure: Measure) -> tuple[Objective, ...]:
    """A score under every aggregation."""
    return tuple(Objective(measure, aggregation) for aggregation in AGGREGATIONS.values())


def over_repetitions(measure: Measure) -> tuple[Objective, ...]:
    """The same without those that draw rows again: on a test set an interval does, whose ends have such names."""
    return tuple(each for each in aggregated(measure) if not each.redrawn)


def summaries(
    measures: Iterable[Measure],
    outcomes: Sequence[Predictions],
    under: Callable[[Measure], tuple[Objective, ...]] = aggregated,
) -> dict[str, float]:
    """Each measure under every aggregation, or some, by the objective's name; NaN where it is unknown."""
    return {each.name: each.value(outcomes) for measure in measures for each in under(measure)}
