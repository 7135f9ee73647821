"""A static student: a table of a text's words that a candidate on hidden states, its teacher, has taught.

What model2vec does for embeddings (Tulkens and van Dongen, 2024), for one task: a word has a static vector, its
teacher's hidden states of that word alone, standardised and cut to their first principal axes. A text is the mean of
its words, weighted as TF-IDF does, and a class's score is linear in the words themselves and in their vectors. So words
with like vectors get like weights, and each may deviate: ridge penalties on both parts are one prior over the words'
weights, whose covariance is that of the vectors and a constant for a word's own. Both add up to one number a word and
class, so that at prediction no vector is left, and a text costs what it costs TF-IDF.

It minimises cross-entropy with what the teacher says (Hinton, Vinyals and Dean, 2015): of texts without labels alone,
of labelled ones as far as it is trusted, with the label for the rest. Of a labelled text the teacher is asked by heads
that were not trained on it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from bench.evaluation.protocol import Fold
from bench.evaluation.tuning import Held, counted, inner, sample, temperature_of, worth_of
from bench.evaluation.words import TermSettings, WordTable, vectorizer

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PASSES, TUNING_PASSES = 200, 25
"""Of L-BFGS: at most, and while settings are tried."""
SETTLED = 1e-6
"""The relative gain of a pass at which L-BFGS stops."""
Floats = npt.NDArray[np.float64]


class StudentSettings(TermSettings):
    """What is tuned.

    Attributes:
        balanced: Whether classes weigh alike, as their labels are counted.
        vectors: Whether words have vectors, or stand for themselves alone.
        trust: The teacher's part in what a labelled text should be.
        penalty: Half of it times the squared weights is added to the rows' sum of losses.
    """

    balanced: bool = False
    vectors: bool = True
    trust: float = 0.5
    penalty: float = 0.03

    def __str__(self) -> str:
        """For people: ``words and pairs with vectors, teacher 50%, penalty 0.03, balanced``."""
        words = f"{self.terms}{' with vectors' if self.vectors else ''}, teacher {self.trust:.0%}"
        return f"{words}, penalty {self.penalty:g}{', balanced' if self.balanced else ''}"


USUAL = StudentSettings()
PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3)


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a teacher gives beside labels.

    Attributes:
        said: Class probabilities of the labelled texts, each by a head that was not trained on it, float64
            [rows, classes].
        texts: Texts without labels.
        of_texts: Their class probabilities, float64 [texts, classes].
        vectors: Of words, float64 [words, width].
    """

    said: Floats
    texts: Sequence[str]
    of_texts: Floats
    vectors: Callable[[Sequence[str]], Floats]


class Vectors(NamedTuple):
    """`values` float64 [k, width] of the terms at `columns`, int [k]; other terms stand for themselves alone."""

    columns: npt.NDArray[np.int64]
    values: Floats


class _Fitted(NamedTuple):
    """Numbers a term and class, float64 [classes, terms] and [classes]."""

    weights: Floats
    bias: Floats


@dataclass(frozen=True, eq=False)
class Student(WordTable):
    """The student, trained."""

    revision: ClassVar[int] = 1
    kind = StudentSettings

    settings: StudentSettings

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        labels: np.ndarray,
        groups: np.ndarray,
        classes: int,
        lesson: Lesson | None = None,
    ) -> Self:
        """Tune and train.

        Args:
            texts: None of them blank.
            labels: Class indices below `classes`, int [n].
            groups: Rows of one number stay on one side of the inner cross-validation, int [n].
            classes: Length of the label list.
            lesson: What its teacher says, who is none of those that do without one.
        """
        assert lesson is not None, "a student has a teacher"
        settings, held = tuned(texts, labels, groups, classes, lesson)
        reader = vectorizer(settings.pairs, len(texts) + len(lesson.texts))
        matrix = reader.fit_transform([*texts, *lesson.texts])
        terms = tuple(map(str, reader.get_feature_names_out()))
        problem = _Problem.of(labels, classes, lesson, settings)
        found = trained(matrix, _vectors(terms, lesson) if settings.vectors else None, problem, settings.penalty)
        return cls(settings, temperature_of(held), terms, reader.idf_, *found)


def tuned(
    texts: Sequence[str], labels: np.ndarray, groups: np.ndarray, classes: int, lesson: Lesson
) -> tuple[StudentSettings, Held | None]:
    """The best settings, and what they say of held-out rows; the usual ones where nothing can be held out.

    The teacher of texts without labels has seen the held-out rows; that of the other rows has not.
    """
    rows, others = sample(labels, groups), np.arange(len(lesson.texts))
    unlabelled = sample(np.zeros(len(others), np.int64), others)
    texts, labels, groups = [texts[row] for row in rows], labels[rows], groups[rows]
    parts = [part for part in inner(labels, groups) if len(part.predict)]
    if not parts:
        return USUAL, None
    lesson = Lesson(
        lesson.said[rows], [lesson.texts[row] for row in unlabelled], lesson.of_texts[unlabelled], lesson.vectors
    )
    beside = np.arange(len(rows), len(rows) + len(lesson.texts))
    matrices = counted(
        [*texts, *lesson.texts], [Fold(np.concatenate([part.train, beside]), part.predict) for part in parts]
    )
    truth = labels[np.concatenate([part.predict for part in parts])]
    found: dict[StudentSettings, Held] = {}

    def worth(settings: StudentSettings) -> float:
        if settings not in found:
            said = []
            for part, matrix in zip(parts, matrices[settings.pairs], strict=True):
                problem = _Problem.of(labels[part.train], classes, lesson, settings, part.train)
                vectors = _vectors(matrix.terms.tolist(), lesson) if settings.vectors else None
                fitted = trained(matrix.seen, vectors, problem, settings.penalty, TUNING_PASSES)
                said.append(matrix.unseen @ fitted.weights.T + fitted.bias)
            found[settings] = Held(np.concatenate(said), truth)
        return worth_of(found[settings])

    # one thing after the other, each at the best of what came before, as TF-IDF is tuned
    best = USUAL
    for name, instead in (("balanced", (True,)), ("vectors", (False,)), ("trust", (0.0,))):
        best = max((best, *(best.model_copy(update={name: each}) for each in instead)), key=worth)
    for grid in (PENALTIES[PENALTIES.index(USUAL.penalty) + 1 :], PENALTIES[: PENALTIES.index(USUAL.penalty)][::-1]):
        for penalty in grid:
            other = best.model_copy(update={"penalty": penalty})
            if worth(other) <= worth(best):
                break
            best = other
    return best, found[best]


class _Problem(NamedTuple):
    """Probabilities that rows should have, float64 [rows, classes], and how much each counts, float64 [rows]."""

    targets: Floats
    counts: Floats

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        classes: int,
        lesson: Lesson,
        settings: StudentSettings,
        rows: np.ndarray | None = None,
    ) -> "_Problem":
        """Labelled rows, of which the lesson has `rows`, and then the texts without labels."""
        known = np.eye(classes)[labels]
        said = lesson.said if rows is None else lesson.said[rows]
        targets = np.concatenate([settings.trust * said + (1 - settings.trust) * known, lesson.of_texts])
        if not settings.balanced:
            return cls(targets, np.ones(len(targets)))
        shares = known.mean(0)
        weights = np.divide(1, shares, out=np.zeros(classes), where=shares > 0) / np.count_nonzero(shares)
        return cls(targets, np.concatenate([weights[labels], lesson.of_texts @ weights]))


def _vectors(terms: Sequence[str], lesson: Lesson) -> Vectors:
    """Of the terms that are single words."""
    words = [column for column, term in enumerate(terms) if " " not in term]
    return Vectors(np.array(words), lesson.vectors([terms[column] for column in words]))


def trained(
    matrix: "csr_matrix", vectors: Vectors | None, problem: _Problem, penalty: float, passes: int = PASSES
) -> _Fitted:
    """Multinomial logistic regression on soft targets, whose classes without any have a bias of −inf.

    Args:
        matrix: Terms [rows, terms].
        vectors: Of terms; None where all stand for themselves alone.
        problem: What rows should be.
        penalty: See `StudentSettings`.
        passes: Of L-BFGS at most.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    targets, counts = problem
    present = np.flatnonzero(targets.sum(0) > 0)
    targets = targets[:, present]
    columns: Any = matrix.T.tocsr()
    terms, classes = matrix.shape[1], len(present)
    dense = np.zeros((matrix.shape[0], 0)) if vectors is None else matrix[:, vectors.columns] @ vectors.values
    middle = dense.mean(0)
    dense = dense - middle
    cuts = np.cumsum([terms * classes, dense.shape[1] * classes])

    def parts(values: Floats) -> tuple[Floats, Floats, Floats]:
        own, shared, bias = np.split(values, cuts)
        return own.reshape(terms, classes), shared.reshape(-1, classes), bias

    def loss(values: Floats) -> tuple[float, Floats]:
        own, shared, bias = parts(values)
        logs = log_softmax(matrix @ own + dense @ shared + bias, axis=1)
        missed = (np.exp(logs) * targets.sum(1, keepdims=True) - targets) * counts[:, None]
        weights = values[: cuts[1]]
        slope = np.concatenate([(columns @ missed).ravel(), (dense.T @ missed).ravel()]) + penalty * weights
        return float(penalty / 2 * weights @ weights - counts @ (targets * logs).sum(1)), np.concatenate(
            [slope, missed.sum(0)]
        )

    start = np.zeros(cuts[1] + classes)
    options: Mapping[str, Any] = {"maxiter": passes, "ftol": SETTLED}
    own, shared, bias = parts(minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x)
    if vectors is not None:
        own[vectors.columns] += vectors.values @ shared
        bias = bias - middle @ shared
    everywhere = problem.targets.shape[1]
    found = _Fitted(np.zeros((everywhere, terms)), np.full(everywhere, -np.inf))
    found.weights[present], found.bias[present] = own.T, bias
    return found
