"""Several labels a row, or none: numbers are 0 or 1 for each of the list, and a label is given or not by itself.

A row's written form is the JSON list of its labels, sorted, whatever the file has: a list, a text with a sign between
the labels, or a column for each of them (`bench.datasets.columns`). Heads are one-vs-rest; their scores are 0.5 and
more where a label is given, see `bench.heads.several`.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.errors import BenchError, counted, listed
from bench.specs import Ridge
from bench.tasks.classification import read_class, sorted_labels
from bench.tasks.face import TASKS, Labels, Task, Written

NAME = "multilabel"
SIGNS = "|", ";", ","
"""What may stand between labels, where nobody says: the first of these that occurs in the column."""
GIVEN = 0.5


def labels_of(written: str) -> tuple[str, ...]:
    """The labels of a written form."""
    found: list[str] = json.loads(written)
    return tuple(found)


def write(labels: Sequence[str]) -> str:
    """The written form of labels in any order; what is there twice is there once."""
    return json.dumps(sorted(set(labels)), ensure_ascii=False)


def read_labels(value: Any, names: Labels | None) -> str:
    """A list of labels, or a JSON list; any other text is one label."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise ValueError("the labels begin as a JSON list and are none") from None
    return write([read_class(each, names) for each in (value if isinstance(value, list | tuple) else [value])])


def reading(sign: str | None, values: Sequence[Any]) -> Callable[[Any, Labels | None], str]:
    """What reads the values of one column, between whose labels `sign` stands; None is found out."""
    texts = [value for value in values if isinstance(value, str) and not value.strip().startswith("[")]
    between = sign or next((each for each in SIGNS if any(each in text for text in texts)), None)

    def read(value: Any, names: Labels | None) -> str:
        if between is not None and isinstance(value, str) and not value.strip().startswith("["):
            return write([read_class(part, names) for part in value.split(between) if part.strip()])
        return read_labels(value, names)

    return read


def refuse_few(train: Written, name: str) -> None:
    """Refuse training rows with fewer than two labels."""
    if len(names := all_labels(train)) < 2:
        raise BenchError(
            f"All {len(train)} training rows of {name} have {counted(len(names), 'label')} between them: two are "
            "needed. One label that is there or not is a matter of two classes."
        )


def all_labels(written: Written, known: Labels = ()) -> tuple[str, ...]:
    """The distinct labels that are not `known`, as classes are sorted."""
    return sorted_labels([label for each in set(written) for label in labels_of(each)], known)


def indicators(written: Written, labels: Labels) -> np.ndarray:
    """1 where a row has a label, int64 [rows, labels]; −1 in all of a row with a label that is not there."""
    place = {label: number for number, label in enumerate(labels)}
    found = np.zeros((len(written), len(labels)), np.int64)
    for row, each in enumerate(map(labels_of, written)):
        known = [place[label] for label in each if label in place]
        found[row, known] = 1
        if len(known) < len(each):
            found[row] = -1
    return found


def label_names(numbers: np.ndarray, labels: Labels) -> list[str]:
    """The written forms of rows of 0 and 1; of a label list that is longer, the last ones are not given."""
    return [write([labels[place] for place in np.flatnonzero(row > 0).tolist()]) for row in numbers]


def rarest(written: Written) -> list[str]:
    """Of each row the label that fewest rows have, the first by name of several; empty where it has none."""
    each = [labels_of(row) for row in written]
    counts = Counter(label for row in each for label in row)
    return [min(row, key=lambda label: (counts[label], label), default="") for row in each]


def few_rows(numbers: np.ndarray, labels: Labels, folds: int, name: str) -> tuple[str, ...]:
    """A sentence on labels that cannot be in each of `folds` folds.

    Raises:
        BenchError: no label has two rows.
    """
    counts = (numbers > 0).sum(0)
    if counts.max() < 2:
        raise BenchError(f"No label of {name} has two training rows: nothing can be learnt for unseen ones.")
    few = [label for label, count in zip(labels, counts.tolist(), strict=True) if count < folds]
    if not few:
        return ()
    return (
        f"{counted(len(few), 'label')} with fewer than {folds} training rows, absent from some folds: {listed(few)}.",
    )


def given(scores: np.ndarray) -> np.ndarray:
    """1 where a label is given, int64 [rows, labels]: its score is `GIVEN` or more."""
    return (scores >= GIVEN).astype(np.int64)


def labels_and_scores(scores: np.ndarray, labels: Labels) -> list[dict[str, Any]]:
    """The labels that are given, as written, and the score of every label."""
    return [
        {"labels": each, "scores": dict(zip(labels, row, strict=True))}
        for each, row in zip(label_names(given(scores), labels), scores, strict=True)
    ]


TASKS.add(
    NAME,
    Task(
        name=NAME,
        read=read_labels,
        reading=reading,
        refuse=refuse_few,
        labels=all_labels,
        numbers=indicators,
        written=label_names,
        strata=rarest,
        fold_strata=lambda numbers: numbers,
        fold_warnings=few_rows,
        outputs=len,
        link="sigmoid",
        decide=given,
        head=Ridge(),
        text_baselines=("frequent-labels",),
        measures=("label_f1", "micro_f1", "samples_f1", "mean_ap"),
        by_class=False,
        by_label=True,
        columns={"labels": "text", "scores": "numbers by name"},
        say=labels_and_scores,
    ),
)
