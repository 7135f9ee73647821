"""Whether rows are distributed as those were that a package was made and tested with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.measures import Predictions
from bench.metrics import Shift, binned, holm, shift
from bench.packaging.remembered import CHARACTERS, CONFIDENCE, DISTANCE, Remembered, characters

LEVEL = 0.01
"""Of all tests for drift together: so often one of them calls rows that are distributed as before shifted."""
MATTERS = 0.1
"""A population stability index below this is called stable (see `bench.metrics.Shift`)."""
Counted = Sequence[int] | np.ndarray
"""Rows by bin."""


@dataclass(frozen=True)
class Drift:
    """Whether something is distributed as it was; `p` is Holm-corrected over all that was looked at.

    `against` says which rows of before. `now` and `before` are shares of rows by bin, which the inner `edges` cut; of
    labels and answers the bins are the package's labels.
    """

    name: str
    against: str
    shift: Shift
    p: float
    edges: tuple[float, ...]
    before: tuple[float, ...]
    now: tuple[float, ...]

    @property
    def shifted(self) -> bool:
        """Whether it is beyond chance, and matters."""
        return self.p <= LEVEL and self.shift.index >= MATTERS


def drifted(
    reference: Remembered, texts: Sequence[str], said: Predictions, distances: np.ndarray, support: np.ndarray
) -> tuple[Drift, ...]:
    """Of what is put in, what comes out, and the labels themselves."""
    logs = said.log_probabilities
    numbers = {CHARACTERS: characters(texts), DISTANCE: distances}
    looked: list[tuple[str, str, tuple[float, ...], Counted, Counted]] = [
        (name, "training rows", each.edges, each.counts, binned(numbers[name], each.edges))
        for name, each in reference.inputs.items()
    ]
    if reference.confidence is not None and logs is not None:
        each = reference.confidence
        looked.append((CONFIDENCE, "test rows", each.edges, each.counts, binned(np.exp(logs.max(1)), each.edges)))
    if reference.confusion:
        answers = np.array(reference.confusion).sum(0)
        looked.append(("answers", "test rows", (), answers, np.bincount(said.predicted, minlength=len(answers))))
    classes = np.pad(reference.classes, (0, len(support) - len(reference.classes)))
    looked.append(("labels", "training rows", (), classes, support))
    units = {"training rows": reference.units.get("train", 1.0), "test rows": reference.units.get("test", 1.0)}
    own = 1.0 if said.groups is None else len(np.unique(said.groups)) / len(said.groups)
    # rows of a group may say the same: together they count as one
    shifts = [
        shift(units[against] * np.asarray(before), own * np.asarray(now)) for _, against, _, before, now in looked
    ]
    corrected = holm([each.p for each in shifts])
    return tuple(
        Drift(name, against, each, p, edges, _shares(before), _shares(now))
        for (name, against, edges, before, now), each, p in zip(looked, shifts, corrected, strict=True)
    )


def _shares(counts: Counted) -> tuple[float, ...]:
    shares: list[float] = (np.asarray(counts) / np.sum(counts)).tolist()
    return tuple(shares)
