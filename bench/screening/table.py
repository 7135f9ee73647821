"""What screening says of representations: one row each, and their order when score and cost both count."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from bench.measures import AGGREGATIONS, DEFAULT, Measure, Objective
from bench.specs import Candidate, Head, Source, Spec


class Seen(Spec):
    """A representation, which is a candidate without its head, as screening saw it.

    Attributes:
        sources: In canonical form, as are `fusion` and `width`.
        fusion: The operator, or ``"none"``.
        width: The common width that sources were projected to, or None.
        values: The score in each repetition.
        error: Mean squared error of the one-hot labels over left-out rows; under late fusion the mean of its sources'.
        penalty: Of the ridge regression, as a multiple of the mean square of a row.
        seconds: What scoring it took.
        beside: The mean over repetitions of measures that stand beside the score, by name; earlier versions have none.
    """

    sources: tuple[Source, ...]
    fusion: str
    width: int | None
    values: tuple[float, ...]
    error: float
    penalty: float
    seconds: float
    beside: Mapping[str, float] = Field(default_factory=dict)

    def candidate(self, head: Head) -> Candidate:
        """The representation under a head; not in canonical form, which may depend on the head."""
        return Candidate(sources=self.sources, fusion=self.fusion, width=self.width, head=head)


@dataclass(frozen=True)
class Priced:
    """A row with what counts: its score, of which more is better, and its cost, of which less is."""

    seen: Seen
    gain: float
    cost: float


@dataclass(frozen=True)
class SeenTable:
    """All that one screening saw.

    Attributes:
        by: The score: the study's first one that is no spread.
        rows: In the order in which they were scored.
        sampled: How many training rows were looked at.
        of: How many there are.
    """

    by: Objective
    rows: tuple[Seen, ...]
    sampled: int
    of: int

    @property
    def beside(self) -> tuple[Measure, ...]:
        """Measures that stand beside the score."""
        return tuple(each for each in DEFAULT if each != self.by.measure)

    @property
    def seconds(self) -> float:
        """What all of it took."""
        return sum(row.seconds for row in self.rows)

    @property
    def ranked(self) -> list[Seen]:
        """All rows, the best score first."""
        return sorted(self.rows, key=lambda row: -self.by.sign * self.value(row))

    def value(self, row: Seen) -> float:
        """A row's score as the study's objective has it."""
        return self.by.of(row.values)

    def mean(self, row: Seen) -> float:
        """A row's mean score over repetitions."""
        return self._under("mean", row)

    def floor(self, row: Seen) -> float:
        """A row's score in its worst repetition."""
        return self._under("floor", row)

    def _under(self, aggregation: str, row: Seen) -> float:
        return Objective(self.by.measure, AGGREGATIONS[aggregation]).of(row.values)

    def priced(self, cost: Callable[[Seen], float]) -> list[Priced]:
        """All rows with their scores and costs."""
        return [Priced(row, self.by.sign * self.value(row), cost(row)) for row in self.rows]

    def to_json(self) -> dict[str, Any]:
        """How much was seen, as JSON values; the rows are in ``screening.csv`` of the study's run."""
        return {
            "representations": len(self.rows),
            "rows": self.sampled,
            "of": self.of,
            "by": self.by.name,
            "seconds": round(self.seconds, 3),
        }

    def header(self) -> str:
        """What the scores stand on, in a sentence."""
        rows = f"{'all' if self.sampled == self.of else f'{self.sampled} of'} {self.of} training rows"
        return (
            f"{len(self.rows)} representations on {rows}: ridge regression in closed form, out of fold in the folds of "
            "the search; columns are standardised and the penalty is chosen over all of these rows."
        )


def layers(rows: Sequence[Priced]) -> Iterator[list[Priced]]:
    """Rows in layers: those that none of the rest beats in score and cost, the best first, then those of the rest."""
    left = sorted(rows, key=lambda row: (row.cost, -row.gain))
    while left:
        front: list[Priced] = []
        behind: list[Priced] = []
        for row in left:
            if not front or row.gain > front[-1].gain:
                front.append(row)
            else:
                behind.append(row)
        yield front[::-1]
        left = behind
