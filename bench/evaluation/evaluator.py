"""Scores of a candidate, repetition by repetition, from stored hidden states alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from bench.datasets.dataset import Dataset
from bench.evaluation.baselines import TEXT_BASELINES
from bench.evaluation.cache import EvaluationCache
from bench.evaluation.features import Features
from bench.evaluation.protocol import Fold, Protocol, folds, predicted_rows, trained_on_all
from bench.heads import Job, fit_predict
from bench.metrics import Scores, Summary, score, summarise
from bench.specs import Candidate

ALGORITHM = 1
"""To be raised when heads or operators compute something else: remembered evaluations are then not used."""

Phase = Literal["search", "confirm"]


@dataclass(frozen=True)
class Repetition:
    """One seed's predictions and their scores. `rows` index the split that was predicted."""

    seed: int
    rows: np.ndarray
    predicted: np.ndarray
    scores: Scores


@dataclass(frozen=True)
class Scored:
    """Repetitions of one candidate (or baseline) with their summaries."""

    repetitions: tuple[Repetition, ...]

    @cached_property
    def f1(self) -> Summary:
        """Macro-F1 over the repetitions."""
        return summarise([repetition.scores.macro_f1 for repetition in self.repetitions])

    @cached_property
    def accuracy(self) -> Summary:
        """Accuracy over the repetitions."""
        return summarise([repetition.scores.accuracy for repetition in self.repetitions])

    @property
    def predicted(self) -> np.ndarray:
        """Predicted classes, int [repetitions, rows]."""
        return np.stack([repetition.predicted for repetition in self.repetitions])

    def metrics(self) -> dict[str, float]:
        """The six summaries under the names used everywhere: f1_mean, f1_std, f1_floor, accuracy_…."""
        return {
            f"{name}_{part}": value
            for name, summary in (("f1", self.f1), ("accuracy", self.accuracy))
            for part, value in (("mean", summary.mean), ("std", summary.std), ("floor", summary.floor))
        }


@dataclass(frozen=True)
class Evaluator:
    """Evaluates candidates on one data set under one protocol; what was computed before is read back."""

    dataset: Dataset
    protocol: Protocol
    features: Features
    cache: EvaluationCache
    _folds: dict[int, tuple[Fold, ...]] = field(default_factory=dict)

    def search_repetition(self, candidate: Candidate, seed: int) -> Repetition:
        """One repetition of the search. Under the `cv` protocol no test row is touched."""
        return self._repetition(candidate, seed, "search" if self.protocol.name == "cv" else "confirm")

    def confirm(self, candidate: Candidate) -> Scored:
        """The candidate trained on all training rows under the confirmation's fresh seeds, scored on the test set."""
        seeds = self.protocol.confirm_seeds
        return Scored(tuple(self._repetition(candidate, seed, "confirm") for seed in seeds))

    def search(self, candidate: Candidate) -> Scored:
        """All repetitions of the search at once."""
        return Scored(tuple(self.search_repetition(candidate, seed) for seed in self.protocol.search_seeds))

    def _repetition(self, candidate: Candidate, seed: int, phase: Phase) -> Repetition:
        key = self._key(phase, seed) | {
            "candidate": candidate.model_dump(mode="json"),
            "features": [self.features.identity(source) for source in candidate.sources],
            "algorithm": ALGORITHM,
        }
        predicted = self.cache.get(key)
        if predicted is None:
            predicted = self._train(candidate, seed, phase)
            self.cache.put(key, predicted)
        return self._scored(predicted, seed, phase)

    def _train(self, candidate: Candidate, seed: int, phase: Phase) -> np.ndarray:
        import torch

        parts = self._parts(seed, phase)
        labels = self.dataset.train.labels
        if phase == "confirm":
            # test labels stand outside: the rows are predicted, never trained on
            labels = np.concatenate([labels, np.full(len(self.dataset.test.texts), -1)])
            matrices = [
                torch.cat([self.features.train(source), self.features.test(source)]) for source in candidate.sources
            ]
        else:
            matrices = [self.features.train(source) for source in candidate.sources]
        jobs = [Job(train=part.train, predict=part.predict, seed=seed * 100 + k) for k, part in enumerate(parts)]
        probabilities = fit_predict(matrices, labels, len(self.dataset.labels), jobs, candidate)
        return self._in_order(parts, [each.argmax(axis=1) for each in probabilities])

    def text_baseline(self, name: str, phase: Phase) -> Scored:
        """A baseline on the texts, in the same folds and with the same test rows as the candidates."""
        seeds = self.protocol.search_seeds if phase == "search" else self.protocol.confirm_seeds
        where: Phase = phase if self.protocol.name == "cv" else "confirm"
        return Scored(tuple(self._text_repetition(name, seed, where) for seed in seeds))

    def _text_repetition(self, name: str, seed: int, phase: Phase) -> Repetition:
        # deterministic given its rows, so that seeds which train on the same rows share one computation
        same_rows = phase == "confirm" or self.protocol.uses_validation_split(len(self.dataset.train.texts))
        key = self._key(phase, -1 if same_rows else seed) | {"baseline": name, "version": 2}
        predicted = self.cache.get(key)
        if predicted is None:
            classify = TEXT_BASELINES[name]
            texts = list(self.dataset.train.texts) + (list(self.dataset.test.texts) if phase == "confirm" else [])
            parts = self._parts(seed, phase)
            predicted = self._in_order(
                parts,
                [
                    classify(
                        [texts[row] for row in part.train],
                        self.dataset.train.labels[part.train],
                        [texts[row] for row in part.predict],
                    )
                    for part in parts
                ],
            )
            self.cache.put(key, predicted)
        return self._scored(predicted, seed, phase)

    def _parts(self, seed: int, phase: Phase) -> tuple[Fold, ...]:
        train = self.dataset.train
        if phase == "confirm":
            return (trained_on_all(len(train.texts), len(self.dataset.test.texts)),)
        if seed not in self._folds:
            self._folds[seed] = folds(train.labels, train.groups, self.protocol, seed)
        return self._folds[seed]

    @staticmethod
    def _in_order(parts: Sequence[Fold], predicted: Sequence[np.ndarray]) -> np.ndarray:
        order = np.argsort(np.concatenate([part.predict for part in parts]))
        return np.concatenate(predicted)[order]

    def _scored(self, predicted: np.ndarray, seed: int, phase: Phase) -> Repetition:
        if phase == "confirm":
            rows, truth = np.arange(len(self.dataset.test.texts)), self.dataset.test.labels
            classes = len(self.dataset.labels) + len(self.dataset.test_only_labels)
        else:
            rows = predicted_rows(self._parts(seed, phase))
            truth, classes = self.dataset.train.labels[rows], len(self.dataset.labels)
        return Repetition(seed, rows, predicted, score(truth, predicted, classes))

    def _key(self, phase: Phase, seed: int) -> dict[str, Any]:
        """What determines predictions besides the candidate: rows, labels and how they are split."""
        key: dict[str, Any] = {
            "phase": phase,
            "seed": seed,
            "train": self.dataset.train.fingerprint,
            "labels": list(self.dataset.labels),
        }
        if phase == "confirm":
            return key | {"test": self.features.rows("test")}
        split = self.protocol.uses_validation_split(len(self.dataset.train.texts))
        return key | {"folds": self.protocol.folds, "validation_split": self.protocol.seed if split else None}
