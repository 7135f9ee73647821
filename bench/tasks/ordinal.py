"""One grade a row (stars, severities): classes whose order means something, so that a near miss is the smaller mistake.

Heads are those of classes. What is predicted is the median of a row's class probabilities, the grade whose expected
distance from the truth, in steps of the order, is least (Pedregosa, Bach and Gramfort, On the consistency of ordinal
regression methods, JMLR 18, 2017, section 2.1: Bayes' decision under the absolute error).
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bench.errors import BenchError, listed, nearest
from bench.tasks.classification import CLASSIFICATION, label_and_probabilities, read_class
from bench.tasks.face import TASKS, Labels, Written

NAME = "ordinal"


def read_grade(value: Any, names: Labels | None) -> str:
    """A class as text; a number in one spelling, whether it is whole or not."""
    if isinstance(value, float) and np.isfinite(value):
        return _number(value)
    text = read_class(value, names)
    try:
        return _number(float(text)) if np.isfinite(float(text)) else text
    except ValueError:
        return text


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def grades(written: Written, known: Labels = (), order: Labels = ()) -> tuple[str, ...]:
    """The distinct labels that are not `known`, in `order`, else by value.

    Raises:
        BenchError: a label has no place in the order, or none was given and they are no numbers.
    """
    distinct = set(written) - set(known)
    if lost := sorted(distinct - set(order)) if order else []:
        raise BenchError(
            f"The label '{lost[0]}' has no place in the order {', '.join(order)}: {nearest(lost[0], order)}"
        )
    if order:
        return tuple(label for label in order if label in distinct)
    try:
        return tuple(sorted(distinct, key=float))
    except ValueError:
        raise BenchError(
            f"The order of the labels {listed(sorted(distinct))} is not known, as they are no numbers: give it with "
            "`label_order`, from the least to the greatest."
        ) from None


def steps(labels: Labels) -> np.ndarray:
    """How many steps lie between each two places of a list, float64 [labels, labels]."""
    places = np.arange(len(labels), dtype=np.float64)
    return np.abs(places[:, None] - places)


def say(scores: np.ndarray, labels: Labels) -> list[dict[str, Any]]:
    """The median grade, and the probability of every grade."""
    return label_and_probabilities(scores, labels, TASKS[NAME].decided(scores, labels))


TASKS.add(
    NAME,
    replace(
        CLASSIFICATION,
        name=NAME,
        like=CLASSIFICATION.name,
        read=read_grade,
        labels=grades,
        in_order=lambda order: partial(grades, order=tuple(order)),
        apart=steps,
        measures=("kappa", "mae", "accuracy"),
        say=say,
    ),
)
