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
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from bench.evaluation.tuning import Held, counted, inner, sample, temperature_of, worth_of
from bench.evaluation.words import TermSettings, WordTable, vectorizer

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MOST_PASSES = 2_000
"""Of coordinate descent; where it has not converged by then, held-out rows say what it is worth as it is."""
SETTLED, TUNING = 1e-3, 1e-2
"""Tolerances of coordinate descent: of what is kept, and while settings are tried."""
LIBLINEAR = threading.Lock()
"""Held while liblinear fits: the generator by which it shuffles rows is one of the whole process, and fits side by side
would draw from each other's, so that none came out the same twice."""
Loss = Literal["svm", "logistic"]


class TfidfSettings(TermSettings):
    """What is tuned: the longest run of words that counts as a term, and the linear classifier."""

    balanced: bool = False
    loss: Loss = "svm"
    c: float = 1.0

    def __str__(self) -> str:
        """For people: ``words and pairs, linear SVM, C = 1, balanced``."""
        kind = "linear SVM" if self.loss == "svm" else "logistic regression"
        return f"{self.terms}, {kind}, C = {self.c:g}{', balanced' if self.balanced else ''}"


USUAL = TfidfSettings()
GRIDS: Mapping[Loss, tuple[float, float, float]] = {"svm": (0.1, 1.0, 10.0), "logistic": (1.0, 10.0, 100.0)}
"""Values of C: the loss of logistic regression grows more slowly."""


@dataclass(frozen=True, eq=False)
class Tfidf(WordTable):
    """The classifier, trained."""

    revision: ClassVar[int] = 2
    kind = TfidfSettings

    settings: TfidfSettings

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        labels: np.ndarray,
        groups: np.ndarray,
        classes: int,
        lesson: object = None,  # noqa: ARG003 - it has no teacher
    ) -> Self:
        """Tune and train.

        Args:
            texts: None of them blank.
            labels: Class indices below `classes`, int [n].
            groups: Rows of one number stay on one side of the inner cross-validation, int [n].
            classes: Length of the label list.
            lesson: None.
        """
        settings, held = tuned(texts, labels, groups, classes)
        reader = vectorizer(settings.pairs, len(texts))
        matrix = reader.fit_transform(texts)
        weights, bias = _trained(matrix, labels, settings, classes)
        terms = tuple(str(term) for term in reader.get_feature_names_out())
        return cls(settings, temperature_of(held), terms, reader.idf_, weights, bias)


def tuned(
    texts: Sequence[str], labels: np.ndarray, groups: np.ndarray, classes: int
) -> tuple[TfidfSettings, Held | None]:
    """The best settings, and what they say of held-out rows; the usual ones where nothing can be held out."""
    rows = sample(labels, groups)
    texts, labels, groups = [texts[row] for row in rows], labels[rows], groups[rows]
    parts = [part for part in inner(labels, groups) if len(part.predict)]
    if not parts:
        return USUAL, None
    matrices, held = counted(texts, parts), np.concatenate([part.predict for part in parts])
    found: dict[TfidfSettings, Held] = {}

    def worth(settings: TfidfSettings) -> float:
        if settings not in found:
            values = []
            for part, matrix in zip(parts, matrices[settings.pairs], strict=True):
                weights, bias = _trained(matrix.seen, labels[part.train], settings, classes, TUNING)
                values.append(matrix.unseen @ weights.T + bias)
            found[settings] = Held(np.concatenate(values), labels[held])
        return worth_of(found[settings])

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
