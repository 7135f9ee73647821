"""Classifiers that need no language model: what any pipeline has to beat."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from bench.evaluation.outcome import ScoreKind
from bench.registry import Registry


class Classified(NamedTuple):
    """Predicted labels int [m], and every class's score float32 [m, classes] with what it is."""

    predicted: np.ndarray
    scores: np.ndarray
    kind: ScoreKind


Classify = Callable[[Sequence[str], np.ndarray, Sequence[str], int], Classified]
"""(training texts, training labels int [n], texts to predict, length of the label list) → what is predicted."""

WORDS = r"(?u)\w+|[^\w\s]"
"""Words and single signs: a text that is not blank has at least one."""

TEXT_BASELINES: Registry[Classify] = Registry("text baseline")


def text_baseline(name: str) -> Callable[[Classify], Classify]:
    """Enter a text classifier. It must be deterministic: its spread over repetitions is that of the folds."""
    return lambda function: TEXT_BASELINES.add(name, function)


@text_baseline("tfidf-logistic")
def tfidf_logistic(train: Sequence[str], labels: np.ndarray, predict: Sequence[str], classes: int) -> Classified:
    """TF-IDF of words and word pairs with logistic regression, one class against the rest, at C = 10.

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
    model.fit(vectorizer.fit_transform(train), labels)
    matrix = vectorizer.transform(predict)
    values = model.decision_function(matrix)
    if values.ndim == 1:  # one column says both of two classes
        values = np.stack([-values, values], axis=1)[:, -len(model.classes_) :]
    scores = np.full((len(predict), classes), -np.inf, dtype=np.float32)
    scores[:, model.classes_] = values
    return Classified(np.asarray(model.predict(matrix)), scores, "decision")


@text_baseline("majority")
def majority(train: Sequence[str], labels: np.ndarray, predict: Sequence[str], classes: int) -> Classified:
    """The most frequent class of the training rows; every text is given the classes' shares there."""
    counts = np.bincount(labels, minlength=classes)
    with np.errstate(divide="ignore"):
        shares = np.log(counts / len(train)).astype(np.float32)
    return Classified(np.full(len(predict), counts.argmax()), np.tile(shares, (len(predict), 1)), "log-probability")
