"""Answers to what studies ask, from the same evaluations as a search's."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from bench.datasets.dataset import Dataset
from bench.evaluation.cache import EvaluationCache
from bench.evaluation.evaluator import Evaluator, Repetition, Scored
from bench.extraction import check_disk, heal, survey
from bench.material import Material
from bench.metrics import score
from bench.progress import Progress
from bench.reproduce.asks import Answers, Ask
from bench.reproduce.derived import DerivedFeatures
from bench.reproduce.scores import class_count
from bench.reproduce.setting import Setting
from bench.specs import Candidate

TOGETHER = 16
"""Candidates that are trained side by side before their scores are kept: what a kill can cost."""


class Evaluations:
    """Evaluates asks on stored hidden states; what was computed before, here or in a search, is read back."""

    def __init__(self, material: Material, setting: Setting, progress: Progress) -> None:
        self._material, self._setting, self._progress = material, setting, progress
        self._cache = EvaluationCache(material.store.home)
        self._main = self._new(setting.dataset, material)
        self._last: tuple[Dataset, Evaluator] = (setting.dataset, self._main)

    def _new(self, data: Dataset, material: Material) -> Evaluator:
        needs = {need.model.name: need for need in material.needs}
        features = DerivedFeatures(
            data.train.texts,
            data.test.texts,
            {name: need.shelf for name, need in needs.items()},
            lambda name: heal(needs[name], material.settings, material.texts, self._progress),
            self._setting.derived,
        )
        return Evaluator(data, self._setting.protocol, features, self._cache)

    def evaluator(self, data: Dataset) -> Evaluator:
        """The evaluator of those rows; besides the study's own, the last one is kept."""
        if data is self._setting.dataset:
            return self._main
        if self._last[0] is not data:
            self._last = (data, self._new(data, self.material_of(data)))
        return self._last[1]

    def material_of(self, data: Dataset) -> Material:
        """The material over other rows: the same models, whatever is missing of their states."""
        material = replace(self._material, dataset=data)
        needs = tuple(
            survey(need.model, material.settings, material.texts, material.store, need.layers)
            for need in self._material.needs
        )
        return replace(material, needs=needs)

    def extract(self, asks: Iterable[Ask]) -> None:
        """Fill the store with what asks need beyond the data set's own rows."""
        own = set(self._material.texts)
        for data in {ask.data.fingerprint: ask.data for ask in asks if ask.data is not self._setting.dataset}.values():
            if own.issuperset(data.train.texts) and own.issuperset(data.test.texts):
                continue
            material = self.material_of(data)
            check_disk(material.needs, material.store)
            for need in material.needs:
                material.fill(need, self._progress)

    def answer(self, asks: Sequence[Ask], done: Callable[[Ask, Scored], None]) -> Answers:
        """The scores of `asks`; `done` is called with each as it is there."""
        answers: dict[Ask, Scored] = {}
        joint = [ask for ask in asks if ask.together]
        for start in range(0, len(joint), TOGETHER):
            chunk = joint[start : start + TOGETHER]
            # asks that are trained together are all on the same rows and seeds
            scored = self.evaluator(chunk[0].data).on_test_together([_candidate(ask) for ask in chunk], chunk[0].seeds)
            for ask, each in zip(chunk, scored, strict=True):
                answers[ask] = each
                done(ask, each)
        for ask in asks:
            if ask not in answers:
                answers[ask] = self._answer(ask)
                done(ask, answers[ask])
        return answers

    def _answer(self, ask: Ask) -> Scored:
        evaluator = self.evaluator(ask.data)
        if ask.together:
            return evaluator.on_test_together([_candidate(ask)], ask.seeds)[0]
        if not isinstance(ask.subject, Candidate):
            # deterministic: one repetition says all
            return Scored(evaluator.text_baseline(ask.subject, "confirm").repetitions[:1])
        if ask.phase == "confirm":
            return evaluator.on_test(ask.subject, ask.seeds)
        return evaluator.out_of_fold(ask.subject, ask.seeds)

    def known(self, ask: Ask) -> Scored | None:
        """The scores of an ask, where all of them would be read back."""
        evaluator, seeds = self.evaluator(ask.data), ask.seeds
        if isinstance(ask.subject, Candidate):
            there = evaluator.remembered(ask.subject, ask.phase, seeds, together=ask.together) == len(seeds)
        else:
            there = evaluator.remembers_text(ask.subject)
        return self._answer(ask) if there else None


def _candidate(ask: Ask) -> Candidate:
    assert isinstance(ask.subject, Candidate)
    return ask.subject


def stand_in(ask: Ask) -> Scored:
    """Scores that are no scores: what a plan goes on with where the real ones are not there yet."""
    split = ask.data.test if ask.phase == "confirm" else ask.data.train
    predicted = np.zeros(len(split), dtype=np.int64)
    scores = score(split.labels, predicted, class_count(ask.data))
    return Scored(tuple(Repetition(seed, np.arange(len(split)), predicted, scores) for seed in ask.seeds))
