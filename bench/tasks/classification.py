"""One label a row, out of a list: numbers are indices of the list, and a prediction is the likeliest class."""

import re
from typing import Any

import numpy as np

from bench.errors import BenchError, counted, listed
from bench.specs import MLP
from bench.tasks.face import TASKS, Labels, Task, Written

TRUTH_WORDS = frozenset({"true", "false"})


def read_class(value: Any, names: Labels | None) -> str:
    """A class as text: whole numbers without a point, truth values in lower case, class numbers by their names."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(f"the label {value} is a measure, not a class")
        value = int(value)
    if isinstance(value, int):
        if names is None:
            return str(value)
        if not 0 <= value < len(names):
            raise ValueError(f"the label {value} is none of the {len(names)} classes (-1 means that it is hidden)")
        return names[value]
    if not isinstance(value, str):
        raise ValueError(f"the label is a {type(value).__name__}, not a class")
    text = re.sub(r"^([+-]?\d+)\.0+$", r"\1", value.strip())
    # the same class whether JSON wrote a truth value or a data frame its word
    return text.lower() if text.lower() in TRUTH_WORDS else text


def refuse_single_class(train: Written, name: str) -> None:
    """Refuse training rows of a single class."""
    if len(labels := set(train)) < 2:
        only = listed(sorted(labels))
        raise BenchError(f"All {len(train)} training rows of {name} have the label {only}: two classes are needed.")


def sorted_labels(labels: Written, known: Labels = ()) -> tuple[str, ...]:
    """The distinct labels that are not `known`: by value where all are whole numbers, else by name."""
    distinct = set(labels) - set(known)
    try:
        return tuple(sorted(distinct, key=lambda label: (int(label), label)))
    except ValueError:
        return tuple(sorted(distinct))


def class_indices(written: Written, labels: Labels) -> np.ndarray:
    """Positions in the label list, int64 [rows]; −1 of a label that is not there."""
    index = {label: number for number, label in enumerate(labels)}
    return np.fromiter((index.get(label, -1) for label in written), np.int64, len(written))


def class_names(numbers: np.ndarray, labels: Labels) -> list[str]:
    """The labels at positions of the list."""
    return [labels[number] for number in numbers.tolist()]


def few_rows(numbers: np.ndarray, labels: Labels, folds: int, name: str) -> tuple[str, ...]:
    """A sentence on classes that cannot be in each of `folds` folds.

    Raises:
        BenchError: no class has two rows, or as many as there are folds.
    """
    counts = np.bincount(numbers, minlength=len(labels))
    if counts.max() < 2:
        raise BenchError(f"No class of {name} has two training rows: nothing can be learnt for unseen ones.")
    if counts.max() < folds:
        raise BenchError(
            f"No class of {name} has as many training rows as there are folds (at most {counts.max()}, and {folds} "
            "folds): take fewer folds (protocol.folds of the space), or more rows."
        )
    few = [label for label, count in zip(labels, counts.tolist(), strict=True) if count < folds]
    if not few:
        return ()
    return (
        f"{counted(len(few), 'class')} with fewer than {folds} training rows, absent from some folds: {listed(few)}.",
    )


def likeliest(scores: np.ndarray) -> np.ndarray:
    """The class with the largest score, int64 [rows]; the first of equal ones."""
    found: np.ndarray = scores.argmax(axis=1)
    return found


def label_and_probabilities(
    scores: np.ndarray, labels: Labels, chosen: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """The label at `chosen`, else the likeliest one, and the probability of every label."""
    places = likeliest(scores) if chosen is None else chosen
    return [
        {"label": label, "probabilities": dict(zip(labels, row, strict=True))}
        for label, row in zip(class_names(places, labels), scores, strict=True)
    ]


CLASSIFICATION = TASKS.add(
    "classification",
    Task(
        name="classification",
        read=read_class,
        refuse=refuse_single_class,
        labels=sorted_labels,
        numbers=class_indices,
        written=class_names,
        strata=lambda written: written,
        fold_strata=lambda numbers: numbers,
        fold_warnings=few_rows,
        outputs=len,
        link="softmax",
        decide=likeliest,
        head=MLP(),
        text_baselines=("majority",),
        text_classifiers=("tfidf",),
        measures=("f1", "accuracy"),
        by_class=True,
        columns={"label": "text", "probabilities": "numbers by name"},
        say=label_and_probabilities,
    ),
)
