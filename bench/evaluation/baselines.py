"""Classifiers that need no language model: what any pipeline has to beat."""

from collections.abc import Callable, Sequence

import numpy as np

from bench.registry import Registry

Classify = Callable[[Sequence[str], np.ndarray, Sequence[str]], np.ndarray]
"""(training texts, training labels int [n], texts to predict) → predicted labels int [m]."""

WORDS = r"(?u)\w+|[^\w\s]"
"""Words and single signs: a text that is not blank has at least one."""

TEXT_BASELINES: Registry[Classify] = Registry("text baseline")


def text_baseline(name: str) -> Callable[[Classify], Classify]:
    """Enter a text classifier. It must be deterministic: its spread over repetitions is that of the folds."""
    return lambda function: TEXT_BASELINES.add(name, function)


@text_baseline("tfidf-logistic")
def tfidf_logistic(train: Sequence[str], labels: np.ndarray, predict: Sequence[str]) -> np.ndarray:
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
    return np.asarray(model.fit(vectorizer.fit_transform(train), labels).predict(vectorizer.transform(predict)))


@text_baseline("majority")
def majority(train: Sequence[str], labels: np.ndarray, predict: Sequence[str]) -> np.ndarray:  # noqa: ARG001 - a Classify
    """The most frequent class of the training rows."""
    return np.full(len(predict), np.bincount(labels).argmax())
