"""Labels that a classifier contradicts, from probabilities of rows that it was not trained on.

Confident learning: Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, Journal
of Artificial Intelligence Research 70, 2021. Probabilities are float [n, classes], labels class indices [n].
"""

import numpy as np
import numpy.typing as npt

from bench.metrics.counts import Floats, Ints


def label_margins(labels: Ints, probabilities: Floats) -> Floats:
    """How far each row's own label is ahead of the likeliest other one, [n], from −1 to 1 (their normalised margin).

    There are at least two classes.
    """
    rows = np.arange(len(labels))
    others = probabilities.astype(np.float64)
    own = others[rows, labels]
    others[rows, labels] = -np.inf
    found: Floats = own - others.max(axis=1)
    return found


def contradicted(labels: Ints, probabilities: Floats) -> npt.NDArray[np.bool_]:
    """Rows that are confidently of another class than their label says, bool [n]: the confident joint off its diagonal.

    A row is confidently of a class whose probability is at least the mean that rows with that label have; where several
    are, of the likeliest (equations 1 and 2). A class that is seldom held likely so counts by its own standard.
    """
    classes = probabilities.shape[1]
    rows = np.bincount(labels, minlength=classes)
    own = np.bincount(labels, weights=probabilities[np.arange(len(labels)), labels], minlength=classes)
    standard = np.divide(own, rows, out=np.full(classes, np.inf), where=rows > 0)
    confident = np.where(probabilities >= standard, probabilities, -np.inf)
    found: npt.NDArray[np.bool_] = np.isfinite(confident).any(axis=1) & (confident.argmax(axis=1) != labels)
    return found
