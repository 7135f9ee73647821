"""Answers to what studies ask, from the same evaluations as a search's."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from bench.datasets.dataset import Dataset
from bench.evaluation.ask import Ask
from bench.evaluation.scoring import Repetition, Scored, Scorer
from bench.extraction import check_disk
from bench.material import Material
from bench.measures import Predictions
from bench.progress import Progress
from bench.reproduce.derived import located
from bench.reproduce.questions import Answers, Question
from bench.reproduce.setup import Setup

TOGETHER = 16
"""Candidates that are trained side by side before their scores are kept: what a kill can cost."""


class Evaluations:
    """Evaluates asks on stored hidden states; what was computed before, here or in a search, is read back."""

    def __init__(self, material: Material, setup: Setup, progress: Progress) -> None:
        self._material, self._setup, self._progress = material, setup, progress
        self._main = self._last = self._new(setup.dataset, material)

    def _new(self, data: Dataset, material: Material) -> Scorer:
        locate = located(material.locate, self._setup.derived)
        return Scorer(data, self._setup.protocol, material.evaluator(self._progress), locate)

    def scorer(self, data: Dataset) -> Scorer:
        """Who scores on those rows; besides the study's own, the last one is kept."""
        if data is self._setup.dataset:
            return self._main
        if self._last.dataset is not data:
            self._last = self._new(data, self.material_of(data))
        return self._last

    def material_of(self, data: Dataset) -> Material:
        """The material over other rows: the same models, whatever is missing of their states."""
        material = replace(self._material, dataset=data)
        return replace(material, needs=tuple(need.of(material.texts) for need in material.needs))

    def extract(self, asks: Iterable[Question]) -> None:
        """Fill the store with what asks need beyond the data set's own rows."""
        own = set(self._material.texts)
        for data in {ask.data.fingerprint: ask.data for ask in asks if ask.data is not self._setup.dataset}.values():
            if own.issuperset(data.train.texts) and own.issuperset(data.test.texts):
                continue
            material = self.material_of(data)
            check_disk(material.needs, material.store)
            for need in material.needs:
                material.fill(need, self._progress)

    def answer(self, asks: Sequence[Question], done: Callable[[Question, Scored], None]) -> Answers:
        """The scores of `asks`; `done` is called with each as it is there."""
        joint = [ask for ask in asks if ask.together]
        chunks = [joint[start : start + TOGETHER] for start in range(0, len(joint), TOGETHER)]
        answers: dict[Question, Scored] = {}
        for chunk in [*chunks, *([ask] for ask in asks if not ask.together)]:
            scorer = self.scorer(chunk[0].data)  # what is trained side by side is all on the same rows
            of_each = {ask: _engine(scorer, ask) for ask in chunk}
            outcomes = iter(scorer.evaluator.answers([each for several in of_each.values() for each in several]))
            for ask, several in of_each.items():
                answers[ask] = scorer.marked((each, next(outcomes)) for each in several)
                done(ask, answers[ask])
        return answers

    def known(self, ask: Question) -> Scored | None:
        """The scores of an ask, where all of them would be read back."""
        scorer = self.scorer(ask.data)
        return scorer.known(_engine(scorer, ask))


def _engine(scorer: Scorer, ask: Question) -> list[Ask]:
    return scorer.asks(ask.subject, ask.phase, ask.seeds, side_by_side=ask.together)


def stand_in(ask: Question) -> Scored:
    """Scores that are no scores: what a plan goes on with where the real ones are not there yet."""
    split = ask.data.test if ask.phase == "confirm" else ask.data.train
    predicted = np.zeros(len(split), dtype=np.int64)
    predictions = Predictions(split.labels, predicted, (*ask.data.labels, *ask.data.test_only_labels))
    return Scored(tuple(Repetition(seed, np.arange(len(split)), predictions) for seed in ask.seeds))
