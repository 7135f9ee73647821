"""The answers of tasks whose texts are held against each other: nothing is trained, and no label is read."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from bench.evaluation.ask import Ask
from bench.evaluation.features import Features
from bench.evaluation.outcome import Outcome
from bench.evaluation.representations import REPRESENTATIONS
from bench.evaluation.rows import SplitRows
from bench.heads.untrained import compared, said_of
from bench.specs import Candidate
from bench.tasks import TASKS


class BothTexts(Protocol):
    """The texts of both sides."""

    @property
    def train(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def test(self) -> Sequence[str]: ...  # noqa: D102


def held_together(
    asks: Sequence[Ask], features: Features, side: SplitRows, texts: Callable[[Ask], BothTexts]
) -> list[Outcome]:
    """Outcomes of asks about the rows of a side that differ in the seed alone; `texts` are for baselines."""
    first = asks[0]
    searched = first.phase == "search"
    if not isinstance(first.subject, Candidate):
        both = texts(first)
        return [_of_texts(ask, both.train, both.train if searched else both.test, side) for ask in asks]
    read = features.train if searched else features.test
    found = compared(
        first.subject,
        [features.train(each) for each in first.inputs],
        [read(each) for each in first.inputs],
        side.groups,
        len(first.labels),
        [ask.seed for ask in asks],
        first.task,
    )
    return [_outcome(*each) for each in found]


def _of_texts(ask: Ask, train: Sequence[str], texts: Sequence[str], side: SplitRows) -> Outcome:
    """A representation of `texts`, those of a side, that needs no language model, under the task's own head."""
    import torch

    vectors = torch.from_numpy(REPRESENTATIONS[str(ask.subject)](train, texts, ask.seed))
    head = TASKS[ask.task].head.kind
    return _outcome(*said_of(head, ask.task, vectors, side.groups, len(ask.labels), ask.seed))


def _outcome(predicted: np.ndarray, scores: np.ndarray) -> Outcome:
    return Outcome(np.arange(len(predicted)), predicted, scores, "value")
