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
from bench.heads import FittedHead, Job, fit, fit_predict, predict_subsets
from bench.metrics import Scores, Summary, score, summarise
from bench.specs import MLP, Candidate

ALGORITHM = 2
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
        return self._repetitions(candidate, (seed,), self._search_phase)[0]

    def confirm(self, candidate: Candidate) -> Scored:
        """The candidate trained on all training rows under the confirmation's fresh seeds, scored on the test set."""
        return self.on_test(candidate, self.protocol.confirm_seeds)

    def search(self, candidate: Candidate) -> Scored:
        """All repetitions of the search at once."""
        return Scored(self._repetitions(candidate, self.protocol.search_seeds, self._search_phase))

    def out_of_fold(self, candidate: Candidate, seeds: Sequence[int]) -> Scored:
        """Every training row predicted out of fold under each of `seeds`; no test row is touched."""
        return Scored(self._repetitions(candidate, seeds, "search"))

    def on_test(self, candidate: Candidate, seeds: Sequence[int]) -> Scored:
        """The candidate trained on all training rows under each of `seeds` (together), scored on the test set."""
        return Scored(self._repetitions(candidate, seeds, "confirm"))

    def fitted(self, candidate: Candidate, seed: int) -> FittedHead:
        """The very head of `on_test` under `seed`."""
        (part,) = self._parts(seed, "confirm")
        matrices = [self.features.train(source) for source in candidate.sources]
        # Training depends on the rows that it sees alone, so that the test rows may be left out.
        job = Job(train=part.train, predict=part.predict, seed=seed * 100)
        return fit(matrices, self.dataset.train.labels, len(self.dataset.labels), [job], candidate)[0]

    def on_test_together(self, candidates: Sequence[Candidate], seeds: Sequence[int]) -> list[Scored]:
        """As `on_test` for concatenations of distinct sources under one MLP, trained side by side: far faster.

        Under a seed all of them see their batches in one order. Where that is another order than `on_test` draws
        (more rows than a batch), the scores are other draws of the same distribution, and are remembered apart.
        """
        found: dict[int, list[np.ndarray]] = {}
        for seed in seeds:
            keys = [self._together_key(candidate, seed) for candidate in candidates]
            known = [self.cache.get(key) for key in keys]
            missing = [number for number, each in enumerate(known) if each is None]
            trained = dict(
                zip(missing, self._train_together([candidates[number] for number in missing], seed), strict=True)
            )
            for number, predicted in trained.items():
                self.cache.put(keys[number], predicted)
            found[seed] = [trained[number] if each is None else each for number, each in enumerate(known)]
        return [
            Scored(tuple(self._scored(found[seed][number], seed, "confirm") for seed in seeds))
            for number in range(len(candidates))
        ]

    def remembered(self, candidate: Candidate, phase: Phase, seeds: Sequence[int], *, together: bool = False) -> int:
        """How many of those repetitions would be read back; `together`: by `on_test_together`."""
        keys = (
            self._together_key(candidate, seed) if together else self._candidate_key(candidate, seed, phase)
            for seed in seeds
        )
        return sum(self.cache.get(key) is not None for key in keys)

    @property
    def _search_phase(self) -> Phase:
        return "search" if self.protocol.name == "cv" else "confirm"

    def _repetitions(self, candidate: Candidate, seeds: Sequence[int], phase: Phase) -> tuple[Repetition, ...]:
        keys = {seed: self._candidate_key(candidate, seed, phase) for seed in seeds}
        found = {seed: known for seed, key in keys.items() if (known := self.cache.get(key)) is not None}
        if missing := [seed for seed in seeds if seed not in found]:
            for seed, predicted in self._train(candidate, missing, phase).items():
                self.cache.put(keys[seed], predicted)
                found[seed] = predicted
        return tuple(self._scored(found[seed], seed, phase) for seed in seeds)

    def _candidate_key(self, candidate: Candidate, seed: int, phase: Phase) -> dict[str, Any]:
        return self._key(phase, seed) | {
            "candidate": candidate.model_dump(mode="json"),
            "features": [self.features.identity(source) for source in candidate.sources],
            "algorithm": ALGORITHM,
        }

    def _train(self, candidate: Candidate, seeds: Sequence[int], phase: Phase) -> dict[int, np.ndarray]:
        """Predicted classes by seed; the heads of all seeds are trained together, and none depends on the others."""
        import torch

        labels = self.dataset.train.labels
        if phase == "confirm":
            # test labels stand outside: the rows are predicted, never trained on
            labels = np.concatenate([labels, np.full(len(self.dataset.test.texts), -1)])
            matrices = [
                torch.cat([self.features.train(source), self.features.test(source)]) for source in candidate.sources
            ]
        else:
            matrices = [self.features.train(source) for source in candidate.sources]
        parts = {seed: self._parts(seed, phase) for seed in seeds}
        jobs = [
            Job(train=part.train, predict=part.predict, seed=seed * 100 + k)
            for seed in seeds
            for k, part in enumerate(parts[seed])
        ]
        classes = iter(
            probabilities.argmax(axis=1)
            for probabilities in fit_predict(matrices, labels, len(self.dataset.labels), jobs, candidate)
        )
        return {seed: self._in_order(parts[seed], [next(classes) for _ in parts[seed]]) for seed in seeds}

    def _together_key(self, candidate: Candidate, seed: int) -> dict[str, Any]:
        key = self._candidate_key(candidate, seed, "confirm")
        assert isinstance(candidate.head, MLP)
        several = len(self.dataset.train) > candidate.head.batch_size
        return key | {"order": "shared by all candidates"} if several else key

    def _train_together(self, candidates: Sequence[Candidate], seed: int) -> list[np.ndarray]:
        """Predicted classes of the test rows, one array a candidate."""
        import torch

        if not candidates:
            return []
        head = candidates[0].head
        assert isinstance(head, MLP)
        # in canonical order, so that every head draws the numbers that it would draw alone
        sources = sorted(
            {source for candidate in candidates for source in candidate.sources},
            key=lambda source: (source.model, source.layer, source.pooling),
        )
        matrices = [torch.cat([self.features.train(source), self.features.test(source)]) for source in sources]
        (part,) = self._parts(seed, "confirm")
        probabilities = predict_subsets(
            matrices,
            [tuple(sorted(sources.index(source) for source in candidate.sources)) for candidate in candidates],
            self.dataset.train.labels,
            len(self.dataset.labels),
            Job(train=part.train, predict=part.predict, seed=seed * 100),
            head,
        )
        return [each.argmax(axis=1) for each in probabilities]

    def text_baseline(self, name: str, phase: Phase) -> Scored:
        """A baseline on the texts, in the same folds and with the same test rows as the candidates."""
        seeds = self.protocol.search_seeds if phase == "search" else self.protocol.confirm_seeds
        where: Phase = phase if self.protocol.name == "cv" else "confirm"
        return Scored(tuple(self._text_repetition(name, seed, where) for seed in seeds))

    def _text_repetition(self, name: str, seed: int, phase: Phase) -> Repetition:
        key = self._text_key(name, seed, phase)
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

    def remembers_text(self, name: str) -> bool:
        """Whether the baseline's test scores would be read back."""
        return self.cache.get(self._text_key(name, -1, "confirm")) is not None

    def _text_key(self, name: str, seed: int, phase: Phase) -> dict[str, Any]:
        # deterministic given its rows, so that seeds which train on the same rows share one computation
        same_rows = phase == "confirm" or self.protocol.uses_validation_split(len(self.dataset.train.texts))
        return self._key(phase, -1 if same_rows else seed) | {"baseline": name, "version": 2}

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
