"""How a classifier of words is tuned on its training rows alone: inner folds, what they read, what they are worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.evaluation.protocol import Fold, FoldRule, cut
from bench.evaluation.words import MANY, MOST_TERMS, WORDS, least, logs_of
from bench.metrics import accuracy, log_loss, macro_f1
from bench.metrics.counts import Counts
from bench.metrics.counts import score as scores_of

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FOLDS = 3
"""Of the inner cross-validation."""
TUNED_ON = MANY
"""Training rows at most that it looks at, so that it takes seconds however many there are; all are then fitted."""
TEMPERATURES = np.geomspace(0.05, 20, 60)
"""Factors of decision values."""


class Held(NamedTuple):
    """Decision values of rows that were not trained on, float64 [n, classes]; −inf of classes without training rows."""

    values: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Counted:
    """A fold's rows to train on and to predict as TF-IDF weighs their terms, and these terms in order."""

    seen: "csr_matrix"
    unseen: "csr_matrix"
    terms: np.ndarray


def sample(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """All rows, or a part of `TUNED_ON` of them, ascending: stratified, whole groups."""
    if len(labels) <= TUNED_ON:
        return np.arange(len(labels))
    folds = min(-(-len(labels) // TUNED_ON), int(np.bincount(labels).max()))
    return cut(labels, groups, FoldRule(folds=max(2, folds)), seed=0)[0].predict


def inner(labels: np.ndarray, groups: np.ndarray) -> list[Fold]:
    """The inner folds, as heads have them; rows whose class would else be missing are in all to train on."""
    import torch

    from bench.heads.inner import inner_folds

    dealt = inner_folds(torch.from_numpy(labels), torch.from_numpy(groups), FOLDS, seed=0).numpy()
    return [Fold(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)) for fold in range(FOLDS)]


def counted(texts: Sequence[str], parts: Sequence[Fold]) -> dict[bool, list[Counted]]:
    """Each fold's rows to train on and to predict, of words alone (False) and of pairs too (True).

    They are what a `vectorizer` makes of its training texts; but all texts are read once for all of them.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

    reader = CountVectorizer(ngram_range=(1, 2), token_pattern=WORDS)
    counts = reader.fit_transform(texts)
    # no word holds a blank, and every pair does
    names = reader.get_feature_names_out()
    words = np.array([" " not in term for term in names])

    def of(part: Fold, *, pairs: bool) -> Counted:
        seen = counts[part.train]
        often = np.bincount(seen.indices, minlength=len(words)) >= least(len(part.train))
        terms = np.flatnonzero(often if pairs else often & words)
        if len(terms) > MOST_TERMS:
            times = np.asarray(seen.sum(0)).ravel()[terms]
            terms = np.sort(terms[np.argsort(-times, kind="stable")[:MOST_TERMS]])
        seen = seen[:, terms]
        weighing = TfidfTransformer(sublinear_tf=True).fit(seen)
        return Counted(weighing.transform(seen), weighing.transform(counts[part.predict][:, terms]), names[terms])

    return {pairs: [of(part, pairs=pairs) for part in parts] for pairs in (False, True)}


def worth_of(held: Held) -> float:
    """Macro-F1 and accuracy, the mean of both: neither a rare class nor the frequent ones decide alone."""
    counts = Counts.of(scores_of(held.labels, held.values.argmax(1), held.values.shape[1]).confusion)
    return float(macro_f1(counts) + accuracy(counts)) / 2


def temperature_of(held: Held | None) -> float:
    """With which the held-out rows are likeliest."""
    if held is None:
        return 1.0
    return float(
        min(TEMPERATURES, key=lambda factor: log_loss(held.labels, logs_of(factor * held.values).astype(np.float64)))
    )
