"""Texts as vectors without a language model: what representations have to beat where no head is trained."""

from collections.abc import Callable, Sequence

import numpy as np

from bench.evaluation.words import MOST_TERMS, WORDS
from bench.registry import Registry

AXES = 100
"""Of latent semantic analysis, as scikit-learn's documentation has them for clustering."""

Represent = Callable[[Sequence[str], Sequence[str], int], np.ndarray]
"""(training texts, texts, a seed) → vectors of the latter, float32 [texts, d]. No label has a part in it."""

REPRESENTATIONS: Registry[Represent] = Registry("representation of texts")


def representation(name: str) -> Callable[[Represent], Represent]:
    """Enter a representation by the name that a task's `text_baselines` have for it."""
    return lambda function: REPRESENTATIONS.add(name, function)


@representation("tfidf-svd")
def tfidf_svd(train: Sequence[str], texts: Sequence[str], seed: int) -> np.ndarray:
    """TF-IDF of words on its first axes (latent semantic analysis, Deerwester et al. 1990), of unit length."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    vectorizer = TfidfVectorizer(sublinear_tf=True, max_features=MOST_TERMS, token_pattern=WORDS)
    terms = vectorizer.fit_transform(train)
    axes = TruncatedSVD(max(1, min(AXES, *(size - 1 for size in terms.shape))), random_state=seed).fit(terms)
    found: np.ndarray = normalize(axes.transform(vectorizer.transform(texts))).astype(np.float32)
    return found


@representation("random")
def random(train: Sequence[str], texts: Sequence[str], seed: int) -> np.ndarray:  # noqa: ARG001
    """Vectors that have nothing to do with the texts: what chance gives."""
    return np.random.default_rng(seed).standard_normal((len(texts), AXES)).astype(np.float32)
