"""Linear classifiers of a text's words: a table with a number a term and class, whoever has found the numbers.

Texts are pooled as TF-IDF does it: a term counts 1 + log of its times, by its inverse document frequency, and the text
has length 1. What answers is a sparse product; no torch is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from bench.specs import Spec

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

WORDS = r"(?u)\w+|[^\w\s]"
"""Words and single signs: a text that is not blank has at least one."""
MOST_TERMS = 100_000
MANY = 2_000
"""Texts from which on a term has to stand in two of them."""
Floats = npt.NDArray[np.float32]


class TermSettings(Spec):
    """What counts as a term: words, or pairs of neighbouring words too."""

    pairs: bool = False

    @property
    def terms(self) -> str:
        """In words."""
        return "words and pairs" if self.pairs else "words"


@dataclass(frozen=True, eq=False)
class WordTable:
    """A trained classifier.

    Attributes:
        settings: What was chosen.
        temperature: By which decision values are multiplied.
        terms: The vocabulary, in the order of the columns.
        idf: Inverse document frequencies, float64 [terms].
        weights: float64 [classes, terms]; of a class without training rows zeros.
        bias: float64 [classes]; of a class without training rows −inf, which is probability 0.
    """

    kind: ClassVar[type[TermSettings]]
    """Of its settings."""

    settings: TermSettings
    temperature: float
    terms: tuple[str, ...]
    idf: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    def logs(self, texts: Sequence[str]) -> Floats:
        """Natural logarithms of class probabilities, float32 [texts, classes]."""
        return logs_of(self.temperature * (self._vectorizer.transform(texts) @ self.weights.T + self.bias))

    def distances(self, texts: Sequence[str]) -> Floats:
        """The share of a text's terms that no training text has, float32 [texts]."""
        analyze, known = self._vectorizer.build_analyzer(), set(self.terms)
        terms = [analyze(text) for text in texts]
        return np.array([1 - sum(term in known for term in each) / max(1, len(each)) for each in terms], np.float32)

    @cached_property
    def _vectorizer(self) -> "TfidfVectorizer":
        found = vectorizer(self.settings.pairs, 0, self.terms)
        found.idf_ = self.idf
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """Its numbers by name."""
        return {"idf": self.idf, "weights": self.weights, "bias": self.bias}

    def description(self) -> dict[str, Any]:
        """All else, as JSON values."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "temperature": self.temperature,
            "terms": list(self.terms),
        }

    @classmethod
    def restored(cls, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """The classifier of which these are the `description` and the `arrays`."""
        settings = cls.kind.model_validate(description["settings"])
        numbers = (arrays["idf"], arrays["weights"], arrays["bias"])
        return cls(settings, float(description["temperature"]), tuple(description["terms"]), *numbers)

    @property
    def gigabytes(self) -> float:
        """About what it takes in memory, in GiB: its numbers, and its terms with a dictionary's entry each."""
        words = sum(len(term) + 150 for term in self.terms)
        return (sum(each.nbytes for each in self.arrays().values()) + words) / 2**30


def least(rows: int) -> int:
    """In how many of so many texts a term has to stand."""
    return 1 if rows < MANY else 2


def vectorizer(pairs: bool, rows: int, terms: Sequence[str] | None = None) -> "TfidfVectorizer":
    """What counts the terms of texts, before it is fitted to so many `rows`, or with these `terms`."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        ngram_range=(1, 2 if pairs else 1),
        min_df=least(rows),
        sublinear_tf=True,
        max_features=MOST_TERMS,
        token_pattern=WORDS,
        vocabulary=terms,
    )


def logs_of(values: npt.NDArray[np.float64]) -> Floats:
    """Natural logarithms of class probabilities from decision values [rows, classes], float32."""
    from scipy.special import log_softmax

    found: Floats = log_softmax(values, axis=1).astype(np.float32)
    return found
