"""Classifiers that need no language model: what any pipeline has to beat.

A *text classifier* is fitted, kept and shipped as any other candidate. A *text baseline* is a function that only says
what it predicts: a reference beside the scores.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np

from bench.evaluation.outcome import ScoreKind
from bench.evaluation.student import Lesson, Student
from bench.evaluation.tfidf import LIBLINEAR, Tfidf
from bench.evaluation.words import WORDS
from bench.registry import Registry
from bench.specs import TextCandidate


class Classified(NamedTuple):
    """Predicted labels int [m], and every class's score float32 [m, classes] with what it is."""

    predicted: np.ndarray
    scores: np.ndarray
    kind: ScoreKind


Classify = Callable[[Sequence[str], np.ndarray, Sequence[str], int], Classified]
"""(training texts, training labels int [n], texts to predict, length of the label list) → what is predicted."""

TEXT_BASELINES: Registry[Classify] = Registry("text baseline")


def text_baseline(name: str) -> Callable[[Classify], Classify]:
    """Enter a text baseline. It must be deterministic: its spread over repetitions is that of the folds."""
    return lambda function: TEXT_BASELINES.add(name, function)


class FittedText(Protocol):
    """A trained text classifier. It must be deterministic, as a text baseline is.

    `revision` is raised when another one is fitted to the same texts: remembered outcomes are then not used.
    """

    revision: ClassVar[int]

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        labels: np.ndarray,
        groups: np.ndarray,
        classes: int,
        lesson: Lesson | None = None,
    ) -> Self:
        """Train on texts with labels int [n] below `classes`; rows of one group int [n] are never held apart.

        The `lesson` is what the teacher of a student gives.
        """

    def logs(self, texts: Sequence[str]) -> np.ndarray:
        """Natural logarithms of class probabilities, float32 [texts, classes]."""

    def distances(self, texts: Sequence[str]) -> np.ndarray:
        """How unlike what it was trained on texts are, float32 [texts]."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Its numbers by name."""

    def description(self) -> dict[str, Any]:
        """All else of it, as JSON values; `settings` among them says for people what was chosen."""

    @classmethod
    def restored(cls, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """The classifier of which these are the `description` and the `arrays`."""

    @property
    def gigabytes(self) -> float:
        """About what it takes in memory, in GiB."""


TEXT_CLASSIFIERS: Registry[type[FittedText]] = Registry("text classifier")
TEXT_CLASSIFIERS.add("tfidf", Tfidf)
STUDENT = "student"
TEXT_CLASSIFIERS.add(STUDENT, Student)


def revision_of(subject: TextCandidate | str) -> int:
    """That of a text classifier, and of its teacher's head; 0 of whatever else goes by a name."""
    name = subject if isinstance(subject, str) else subject.classifier
    own = TEXT_CLASSIFIERS[name].revision if name in TEXT_CLASSIFIERS else 0
    teacher = None if isinstance(subject, str) else subject.teacher
    # either only ever rises
    return own if teacher is None else own + teacher.head.revision


@text_baseline("tfidf-logistic")
def tfidf_logistic(train: Sequence[str], labels: np.ndarray, predict: Sequence[str], classes: int) -> Classified:
    """What studies had before their TF-IDF was tuned: words and word pairs, one class against the rest, at C = 10.

    liblinear's dual coordinate descent: with dozens of classes over tens of thousands of sparse columns it takes
    seconds where a multinomial L-BFGS takes minutes.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2),
        min_df=1 if len(train) < 2000 else 2,
        sublinear_tf=True,
        max_features=100_000,
        token_pattern=WORDS,
    )
    model = OneVsRestClassifier(
        LogisticRegression(C=10.0, solver="liblinear", dual=True, max_iter=1000, random_state=0)
    )
    terms = vectorizer.fit_transform(train)
    with LIBLINEAR:
        model.fit(terms, labels)
    matrix = vectorizer.transform(predict)
    values = model.decision_function(matrix)
    if values.ndim == 1:  # one column says both of two classes
        values = np.stack([-values, values], axis=1)[:, -len(model.classes_) :]
    scores = np.full((len(predict), classes), -np.inf, dtype=np.float32)
    scores[:, model.classes_] = values
    return Classified(np.asarray(model.predict(matrix)), scores, "decision")


@text_baseline("frequent-labels")
def frequent_labels(_: Sequence[str], labels: np.ndarray, predict: Sequence[str], __: int) -> Classified:
    """The labels that half of the training rows have, or else the most frequent one; scores are their shares."""
    shares = (labels > 0).mean(0)
    chosen = np.maximum(shares >= 0.5, shares == shares.max()).astype(np.int64)
    with np.errstate(divide="ignore"):
        logs = np.log(shares).astype(np.float32)
    return Classified(np.tile(chosen, (len(predict), 1)), np.tile(logs, (len(predict), 1)), "log-probability")


@text_baseline("majority")
def majority(train: Sequence[str], labels: np.ndarray, predict: Sequence[str], classes: int) -> Classified:
    """The most frequent class of the training rows; every text is given the classes' shares there."""
    counts = np.bincount(labels, minlength=classes)
    with np.errstate(divide="ignore"):
        shares = np.log(counts / len(train)).astype(np.float32)
    return Classified(np.full(len(predict), counts.argmax()), np.tile(shares, (len(predict), 1)), "log-probability")
