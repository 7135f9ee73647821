"""How a student's teacher is asked: heads that have not seen what they speak of, and the states of single words."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np

from bench.evaluation.ask import Ask
from bench.evaluation.features import Features
from bench.evaluation.inputs import Input
from bench.evaluation.student import Floats, Lesson
from bench.evaluation.words import vectorizer
from bench.heads import Job, fit
from bench.heads.inner import inner_folds
from bench.specs import TextCandidate
from bench.tasks import TASKS

if TYPE_CHECKING:
    from torch import Tensor

TEACHERS = 5
"""Heads that each say what a part of the labelled texts is, after training on the others; one more has all of them."""
AXES = 256
"""Principal axes of the words' states at most."""
MOST_WORDS = 30_000
"""With vectors: the most frequent ones."""


@dataclass(frozen=True, eq=False)
class Teaching:
    """What students learn from beside a data set's rows.

    Attributes:
        states: Hidden states of texts that are no rows, float32 [texts, width] an input; computed where they are
            missing.
        unlabelled: Texts without labels by their digest.
    """

    states: "Callable[[Sequence[str], Sequence[Input]], list[Tensor]]"
    unlabelled: Callable[[str], Sequence[str]]
    _known: dict[Hashable, tuple[dict[str, int], Floats]] = field(default_factory=dict, init=False, repr=False)
    _lock: RLock = field(default_factory=RLock, init=False, repr=False)

    def lesson(
        self,
        ask: Ask,
        rows: np.ndarray,
        labels: np.ndarray,
        groups: np.ndarray,
        features: Features,
        texts: Sequence[str],
    ) -> Lesson:
        """What the teacher of an ask's student says after training on some rows alone.

        Nothing of any other row's label is in it: all heads are trained on `rows`. Which words have vectors has no
        part in it either, since a student looks up those of its own texts.

        Args:
            ask: About a student.
            rows: To train on, int [rows].
            labels: Of all training rows, int64 [n].
            groups: Of all training rows, int64 [n].
            features: Of all training rows.
            texts: Of all training rows.
        """
        import torch

        subject = ask.subject
        assert isinstance(subject, TextCandidate)
        assert subject.teacher is not None
        matrices = [features.train(each) for each in ask.inputs]
        dealt = inner_folds(torch.from_numpy(labels[rows]), torch.from_numpy(groups[rows]), TEACHERS, seed=0).numpy()
        parts = [(rows[dealt != each], np.flatnonzero(dealt == each)) for each in range(TEACHERS)]
        jobs = [Job(train=train, predict=rows[held], seed=place) for place, (train, held) in enumerate(parts)]
        jobs.append(Job(train=rows, predict=rows, seed=TEACHERS))
        outputs = TASKS[ask.task].outputs(ask.labels)
        *others, whole = fit(matrices, labels, outputs, jobs, subject.teacher, task=ask.task, groups=groups)
        # rows without which a class would be missing are held out by none
        said = whole.predict(matrices, rows).astype(np.float64)
        for head, (_, held) in zip(others, parts, strict=True):
            if len(held):
                said[held] = head.predict(matrices, rows[held])
        beside = () if subject.unlabelled is None else self.unlabelled(subject.unlabelled)
        of_texts = np.zeros((0, said.shape[1]))
        if beside:
            of_texts = whole.predict(self.states(beside, ask.inputs), np.arange(len(beside))).astype(np.float64)
        places, vectors = self._vectors(ask.inputs, subject.unlabelled, [*texts, *beside])

        def looked_up(words: Sequence[str]) -> Floats:
            found: Floats = vectors[[places.get(word, -1) for word in words]]
            return found

        return Lesson(said, beside, of_texts, looked_up)

    def _vectors(
        self, inputs: tuple[Input, ...], unlabelled: str | None, texts: Sequence[str]
    ) -> tuple[dict[str, int], Floats]:
        """Words with their rows, and their vectors float64 [words + 1, width]: of unit length in the root mean square.

        The last one is that of words without a vector: zero.
        """
        with self._lock:
            key = inputs, unlabelled
            if key not in self._known:
                analyze = vectorizer(pairs=False, rows=0).build_analyzer()
                times = Counter(word for text in texts for word in analyze(text))
                words = sorted(word for word, _ in times.most_common(MOST_WORDS))
                axes = _principal([each.double().numpy() for each in self.states(words, inputs)])
                places = {word: row for row, word in enumerate(words)}
                self._known[key] = places, np.concatenate([axes, np.zeros_like(axes[:1])])
            return self._known[key]


def _principal(states: Sequence[Floats]) -> Floats:
    """The first principal axes of standardised states of several sources."""
    joined = np.concatenate([(each - each.mean(0)) / np.maximum(each.std(0), 1e-6) for each in states], axis=1)
    # eigenvectors come in ascending order
    axes = np.linalg.eigh(joined.T @ joined)[1][:, ::-1][:, :AXES]
    found: Floats = joined @ axes
    return found / max(float(np.sqrt((found**2).sum(1).mean())), 1e-12)
