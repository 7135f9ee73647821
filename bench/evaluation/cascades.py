"""What a cascade says of rows, from what its stages say of them: nothing is trained for it.

A threshold is a quantile of a stage's margins, so that a wanted share of the rows that come to the stage is deferred.
No label has a part in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.cascade import deferred, margins
from bench.evaluation.scoring import Repetition, Scored

PARTS = 5
"""Into so many parts rows are cut where a threshold must not be that of the rows that it decides about."""
DIGITS = 6
"""Of a threshold."""
LABEL_FREE = 1_000_003
"""Parts the seed of a draw from those of folds and heads."""


@dataclass(frozen=True, eq=False)
class Stage:
    """What a candidate says under each seed, and how sure it is: `margins` has an array [rows] a repetition.

    The rows of a repetition are those of every other stage.
    """

    scored: Scored
    margins: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, scored: Scored) -> "Stage | None":
        """None where the candidate has no probabilities."""
        logs = [each.log_probabilities for each in scored.predictions]
        if any(each is None for each in logs):
            return None
        return cls(scored, tuple(margins(np.exp(each.astype(np.float64))) for each in logs if each is not None))


@dataclass(frozen=True, eq=False)
class Answered:
    """A cascade's scores, and the share of all rows that comes to each stage but the first."""

    scored: Scored
    reached: tuple[float, ...]


Masks = Sequence[np.ndarray]
"""Whether a row is left to the next stage, bool [rows], of each stage but the last, as far as the row comes to it."""


def mixed(stages: Sequence[Repetition], left: Masks) -> Repetition:
    """One repetition, where each stage answers what those before it have left to it."""
    found, coming = stages[0].predictions, np.ones(len(stages[0].rows), dtype=bool)
    for stage, mask in zip(stages[1:], left, strict=True):
        coming = coming & mask
        found = found.mixed(stage.predictions, coming)
    return replace(stages[0], predictions=found)


def answered(stages: Sequence[Stage], left: Sequence[Masks]) -> Answered:
    """All repetitions: `left` has the masks of each."""
    repetitions = [
        mixed([stage.scored.repetitions[place] for stage in stages], masks) for place, masks in enumerate(left)
    ]
    return Answered(Scored(tuple(repetitions)), reached(left))


def reached(left: Sequence[Masks]) -> tuple[float, ...]:
    """The mean share of rows that comes to each stage but the first."""
    shares = [[float(np.mean(np.logical_and.reduce(masks[: n + 1]))) for n in range(len(masks))] for masks in left]
    return tuple(float(share) for share in np.mean(shares, axis=0))


def decided(stages: Sequence[Stage], thresholds: Sequence[float]) -> Answered:
    """A cascade under thresholds that are known."""
    left = [
        [deferred(stage.margins[place], threshold) for stage, threshold in zip(stages, thresholds, strict=False)]
        for place in range(len(stages[0].margins))
    ]
    return answered(stages, left)


def at_random(stages: Sequence[Stage], shares: Sequence[float], seed: int) -> Scored:
    """The control: as many rows are deferred, but any, not those that a stage is unsure of.

    `shares` are of all rows, as `Answered.reached` has them.
    """
    left = []
    for place, margin in enumerate(stages[0].margins):
        random = np.random.default_rng((seed, LABEL_FREE, place))
        order = random.permutation(len(margin))
        left.append([order < round(share * len(margin)) for share in shares])
    return answered(stages, left).scored


def thresholds_of(stages: Sequence[Stage], shares: Sequence[float]) -> tuple[float, ...]:
    """The thresholds by which each stage but the last defers such a share of what comes to it, by all rows."""
    everything = [np.ones(len(margin), dtype=bool) for margin in stages[0].margins]
    return tuple(threshold for threshold, _ in _in_turn(stages, shares, everything))


def cross_fitted(stages: Sequence[Stage], shares: Sequence[float], parts: Sequence[np.ndarray]) -> list[Masks]:
    """Masks whose thresholds are not those of the rows that they decide about: of each part by the rows of the others.

    Args:
        stages: Of the cascade.
        shares: Of what comes to each stage but the last, the share that it leaves to the next.
        parts: Each row's part, int [rows], of each repetition.
    """
    left = [[np.zeros(len(part), dtype=bool) for _ in shares] for part in parts]
    for number in range(PARTS):
        outside = [part != number for part in parts]
        for place, (threshold, stage) in enumerate(
            zip((found for found, _ in _in_turn(stages, shares, outside)), stages, strict=False)
        ):
            for masks, part, margin in zip(left, parts, stage.margins, strict=True):
                inside = part == number
                masks[place][inside] = deferred(margin[inside], threshold)
    return [tuple(masks) for masks in left]


def _in_turn(
    stages: Sequence[Stage], shares: Sequence[float], coming: Sequence[np.ndarray]
) -> Iterator[tuple[float, Sequence[np.ndarray]]]:
    """Each stage's threshold by the rows that come to it, and the rows that it leaves."""
    for stage, share in zip(stages, shares, strict=False):
        seen = np.concatenate([margin[mask] for margin, mask in zip(stage.margins, coming, strict=True)])
        threshold = round(float(np.quantile(seen, share)), DIGITS) if len(seen) else 0.0
        coming = [mask & deferred(margin, threshold) for margin, mask in zip(stage.margins, coming, strict=True)]
        yield threshold, coming


def parts_of(groups: np.ndarray, seed: int) -> np.ndarray:
    """Each row's part, int [rows], even and at random; rows of one group are in one part."""
    distinct, place = np.unique(groups, return_inverse=True)
    numbers = np.random.default_rng((seed, LABEL_FREE)).permutation(len(distinct)) % PARTS
    found: np.ndarray = numbers[place]
    return found
