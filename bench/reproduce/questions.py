"""What studies ask: evaluations of candidates and baselines on some rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bench.datasets.dataset import Dataset
from bench.evaluation.scoring import Scored
from bench.specs import Candidate


@dataclass(frozen=True)
class Question:
    """An evaluation that a study needs.

    Attributes:
        subject: A candidate, or a text classifier or text baseline by name.
        phase: ``"confirm"`` trains on all training rows and scores the test rows, ``"search"`` predicts every
            training row out of fold.
        seeds: One training each; a text baseline has none, it is deterministic.
        data: The rows; a study may ask for others than its data set's own.
        together: Whether it is trained side by side with the others of which this is said: concatenations under an
            MLP, scored on the test rows.
    """

    subject: Candidate | str
    phase: Literal["search", "confirm"]
    seeds: tuple[int, ...]
    data: Dataset
    together: bool = False


Answers = Mapping[Question, Scored]
