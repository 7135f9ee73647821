"""TF-IDF and a linear classifier, tuned on its training rows alone: what a pipeline without a language model can do.

Chosen by inner cross-validation: words alone or word pairs too, all classes alike or balanced by their frequency, a
linear SVM (squared hinge) or logistic regression, each one class against the rest, and C. Probabilities are the
softmax of the decision values at one temperature, found on the same held-out rows (Guo et al., 2017).

Settings are tried one after the other, C uphill from its middle, on solutions that are exact to a hundredth (`TUNING`):
decisions are settled long before coefficients are, which at large C take ten times as long.
"""

import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from bench.evaluation.protocol import Fold, FoldRule, cut
from bench.metrics import accuracy, log_loss, macro_f1
from bench.metrics.counts import Counts
from bench.metrics.counts import score as scores_of
from bench.specs import Spec

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

WORDS = r"(?u)\w+|[^\w\s]"
"""Words and single signs: a text that is not blank has at least one."""
MOST_TERMS = 100_000
FOLDS = 3
"""Of the inner cross-validation."""
TUNED_ON = 2_000
"""Training rows at most that it looks at, so that it takes seconds however many there are; all are then fitted."""
TEMPERATURES = np.geomspace(0.05, 20, 60)
"""Factors of decision values."""
MOST_PASSES = 2_000
"""Of coordinate descent; where it has not converged by then, held-out rows say what it is worth as it is."""
SETTLED, TUNING = 1e-3, 1e-2
"""Tolerances of coordinate descent: of what is kept, and while settings are tried."""
LIBLINEAR = threading.Lock()
"""Held while liblinear fits: the generator by which it shuffles rows is one of the whole process, and fits side by side
would draw from each other's, so that none came out the same twice."""
Loss = Literal["svm", "logistic"]
Floats = npt.NDArray[np.float32]


class TfidfSettings(Spec):
    """What is tuned: the longest run of words that counts as a term, and the linear classifier."""

    pairs: bool = False
    balanced: bool = False
    loss: Loss = "svm"
    c: float = 1.0

    def __str__(self) -> str:
        """For people: ``words and pairs, linear SVM, C = 1, balanced``."""
        terms = "words and pairs" if self.pairs else "words"
        kind = "linear SVM" if self.loss == "svm" else "logistic regression"
        return f"{terms}, {kind}, C = {self.c:g}{', balanced' if self.balanced else ''}"


USUAL = TfidfSettings()
GRIDS: Mapping[Loss, tuple[float, float, float]] = {"svm": (0.1, 1.0, 10.0), "logistic": (1.0, 10.0, 100.0)}
"""Values of C: the loss of logistic regression grows more slowly."""


class _Held(NamedTuple):
    """Decision values of rows that were not trained on, float64 [n, classes]; −inf of classes without training rows."""

    values: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tfidf:
    """The classifier, trained.

    Attributes:
        settings: What was chosen.
        temperature: By which decision values are multiplied.
        terms: The vocabulary, in the order of the columns.
        idf: Inverse document frequencies, float64 [terms].
        weights: float64 [classes, terms]; of a class without training rows zeros.
        bias: float64 [classes]; of a class without training rows −inf, which is probability 0.
    """

    revision: ClassVar[int] = 2

    settings: TfidfSettings
    temperature: float
    terms: tuple[str, ...]
    idf: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, texts: Sequence[str], labels: np.ndarray, groups: np.ndarray, classes: int) -> Self:
        """Tune and train.

        Args:
            texts: None of them blank.
            labels: Class indices below `classes`, int [n].
            groups: Rows of one number stay on one side of the inner cross-validation, int [n].
            classes: Length of the label list.
        """
        settings, held = tuned(texts, labels, groups, classes)
        vectorizer = _vectorizer(settings.pairs, len(texts))
        matrix = vectorizer.fit_transform(texts)
        weights, bias = _trained(matrix, labels, settings, classes)
        terms = tuple(str(term) for term in vectorizer.get_feature_names_out())
        return cls(settings, _temperature(held), terms, vectorizer.idf_, weights, bias)

    def logs(self, texts: Sequence[str]) -> Floats:
        """Natural logarithms of class probabilities, float32 [texts, classes]."""
        return _logs(self.temperature * (self._vectorizer.transform(texts) @ self.weights.T + self.bias))

    def distances(self, texts: Sequence[str]) -> Floats:
        """The share of a text's terms that no training text has, float32 [texts]."""
        analyze, known = self._vectorizer.build_analyzer(), set(self.terms)
        terms = [analyze(text) for text in texts]
        return np.array([1 - sum(term in known for term in each) / max(1, len(each)) for each in terms], np.float32)

    @cached_property
    def _vectorizer(self) -> "TfidfVectorizer":
        found = _vectorizer(self.settings.pairs, 0, self.terms)
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
        settings = TfidfSettings.model_validate(description["settings"])
        numbers = (arrays["idf"], arrays["weights"], arrays["bias"])
        return cls(settings, float(description["temperature"]), tuple(description["terms"]), *numbers)

    @property
    def gigabytes(self) -> float:
        """About what it takes in memory, in GiB: its numbers, and its terms with a dictionary's entry each."""
        words = sum(len(term) + 150 for term in self.terms)
        return (sum(each.nbytes for each in self.arrays().values()) + words) / 2**30


def tuned(
    texts: Sequence[str], labels: np.ndarray, groups: np.ndarray, classes: int
) -> tuple[TfidfSettings, _Held | None]:
    """The best settings, and what they say of held-out rows; the usual ones where nothing can be held out."""
    rows = _sample(labels, groups)
    texts, labels, groups = [texts[row] for row in rows], labels[rows], groups[rows]
    parts = [part for part in _folds(labels, groups) if len(part.predict)]
    if not parts:
        return USUAL, None
    matrices, held = _matrices(texts, parts), np.concatenate([part.predict for part in parts])
    found: dict[TfidfSettings, _Held] = {}

    def worth(settings: TfidfSettings) -> float:
        if settings not in found:
            values = []
            for part, (seen, unseen) in zip(parts, matrices[settings.pairs], strict=True):
                weights, bias = _trained(seen, labels[part.train], settings, classes, TUNING)
                values.append(unseen @ weights.T + bias)
            found[settings] = _Held(np.concatenate(values), labels[held])
        return _worth(found[settings])

    # one thing after the other, each at the best of what came before: a full grid takes five times as long
    kind = max((USUAL, USUAL.model_copy(update={"balanced": True})), key=worth)
    kind = max((kind, kind.model_copy(update={"pairs": True})), key=worth)
    for loss, grid in GRIDS.items():
        low, middle, high = (kind.model_copy(update={"loss": loss, "c": c}) for c in grid)
        # of equals the one that was tried first is taken
        if worth(middle) >= worth(high):
            worth(low)
    chosen = max(found, key=worth)
    return chosen, found[chosen]


def _sample(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """All rows, or a part of `TUNED_ON` of them, ascending: stratified, whole groups."""
    if len(labels) <= TUNED_ON:
        return np.arange(len(labels))
    folds = min(-(-len(labels) // TUNED_ON), int(np.bincount(labels).max()))
    return cut(labels, groups, FoldRule(folds=max(2, folds)), seed=0)[0].predict


def _folds(labels: np.ndarray, groups: np.ndarray) -> list[Fold]:
    """The inner folds, as heads have them; rows whose class would else be missing are in all to train on."""
    import torch

    from bench.heads.inner import inner_folds

    dealt = inner_folds(torch.from_numpy(labels), torch.from_numpy(groups), FOLDS, seed=0).numpy()
    return [Fold(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)) for fold in range(FOLDS)]


def _matrices(texts: Sequence[str], parts: Sequence[Fold]) -> "dict[bool, list[tuple[csr_matrix, csr_matrix]]]":
    """Each fold's rows to train on and to predict, of words alone (False) and of pairs too (True).

    They are what a `_vectorizer` makes of its training texts; but all texts are read once for all of them.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

    reader = CountVectorizer(ngram_range=(1, 2), token_pattern=WORDS)
    counts = reader.fit_transform(texts)
    # no word holds a blank, and every pair does
    words = np.array([" " not in term for term in reader.get_feature_names_out()])

    def matrices(part: Fold, *, pairs: bool) -> "tuple[csr_matrix, csr_matrix]":
        seen = counts[part.train]
        often = np.bincount(seen.indices, minlength=len(words)) >= _least(len(part.train))
        terms = np.flatnonzero(often if pairs else often & words)
        if len(terms) > MOST_TERMS:
            times = np.asarray(seen.sum(0)).ravel()[terms]
            terms = np.sort(terms[np.argsort(-times, kind="stable")[:MOST_TERMS]])
        seen = seen[:, terms]
        weighing = TfidfTransformer(sublinear_tf=True).fit(seen)
        return weighing.transform(seen), weighing.transform(counts[part.predict][:, terms])

    return {pairs: [matrices(part, pairs=pairs) for part in parts] for pairs in (False, True)}


def _least(rows: int) -> int:
    """In how many of so many texts a term has to stand."""
    return 1 if rows < TUNED_ON else 2


def _vectorizer(pairs: bool, rows: int, terms: Sequence[str] | None = None) -> "TfidfVectorizer":
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        ngram_range=(1, 2 if pairs else 1),
        min_df=_least(rows),
        sublinear_tf=True,
        max_features=MOST_TERMS,
        token_pattern=WORDS,
        vocabulary=terms,
    )


def _trained(
    matrix: "csr_matrix", labels: np.ndarray, settings: TfidfSettings, classes: int, tolerance: float = SETTLED
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Weights [classes, terms] and bias [classes] of one class against the rest."""
    weights, bias = np.zeros((classes, matrix.shape[1])), np.full(classes, -np.inf)
    present = np.unique(labels)
    if len(present) == 1:
        bias[present] = 0
        return weights, bias
    from sklearn import config_context

    # for good: filters are the process's, and others may be fitting in it
    warnings.filterwarnings("ignore", message="Liblinear failed to converge")
    # of two classes one column says both
    for place, one in enumerate(present[1:] if len(present) == 2 else present):
        # looking at what is given takes as long as many of these fits do
        with config_context(assume_finite=True, skip_parameter_validation=True), LIBLINEAR:
            model = _binary(settings, tolerance).fit(matrix, labels == one)
        weights[one], bias[one] = model.coef_[0], model.intercept_[0]
        if len(present) == 2:
            other = present[place]
            weights[other], bias[other] = -weights[one], -bias[one]
    return weights, bias


def _binary(settings: TfidfSettings, tolerance: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    common = {
        "C": settings.c,
        "class_weight": "balanced" if settings.balanced else None,
        "max_iter": MOST_PASSES,
        "tol": tolerance,
        "random_state": 0,
    }
    if settings.loss == "svm":
        return LinearSVC(**common)
    # dual coordinate descent: fast where columns are many and mostly empty
    return LogisticRegression(solver="liblinear", dual=True, **common)


def _worth(held: _Held) -> float:
    """Macro-F1 and accuracy, the mean of both: neither a rare class nor the frequent ones decide alone."""
    counts = Counts.of(scores_of(held.labels, held.values.argmax(1), held.values.shape[1]).confusion)
    return float(macro_f1(counts) + accuracy(counts)) / 2


def _temperature(held: _Held | None) -> float:
    """With which the held-out rows are likeliest."""
    if held is None:
        return 1.0
    return float(
        min(TEMPERATURES, key=lambda factor: log_loss(held.labels, _logs(factor * held.values).astype(np.float64)))
    )


def _logs(values: npt.NDArray[np.float64]) -> Floats:
    from scipy.special import log_softmax

    found: Floats = log_softmax(values, axis=1).astype(np.float32)
    return found
