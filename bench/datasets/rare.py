"""Classes with few training rows: left out or made one, as the user says.

Macro-F1 gives a class of four rows the weight of one of four hundred, and four rows say next to nothing of it. What
becomes of such a class must be given, since either way changes what is classified.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench.datasets.columns import Rows
from bench.datasets.dataset import Rare
from bench.datasets.request import DatasetRequest
from bench.errors import BenchError, listed
from bench.tasks import TASKS

MERGED = "other"
"""What rare classes are called as one, where no class that stays is."""


def check(request: DatasetRequest) -> None:
    """Raise BenchError where a request says what is rare, but not what becomes of it, or the other way round."""
    least, how = request.min_class_rows, request.rare
    if least is not None and how is None:
        raise BenchError(
            f"`min_class_rows={least}` leaves open what becomes of classes with fewer training rows: add `rare='drop'` "
            "to leave out their rows, or `rare='merge'` to make them one class."
        )
    if how is not None and least is None:
        raise BenchError(f"`rare='{how}'` leaves open how few rows are few: add `min_class_rows`, 20 say.")
    if least is not None and not TASKS[request.task].by_class:
        raise BenchError(f"`min_class_rows` is for classes, and the labels are for {request.task}: leave it out.")


@dataclass(frozen=True)
class Settled:
    """What was done, the rows that are left by side, and where each of them stood before."""

    rare: Rare
    sides: dict[str, Rows]
    kept: dict[str, list[int]]


def settle(request: DatasetRequest, sides: Mapping[str, Rows]) -> Settled:
    """Leave out or merge the classes that have too few of the training rows given; those of test alone have none.

    Raises:
        BenchError: fewer than two classes are left, or no test row.
    """
    least = request.min_class_rows
    assert least is not None
    counts = Counter(sides["train"].labels)
    for label in sides["test"].labels:
        counts.setdefault(label, 0)
    few = {name: rows for name, rows in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if rows < least}
    rare = Rare(least, few, {side: sum(label in few for label in rows.labels) for side, rows in sides.items()})
    if request.rare == "merge":
        rare = replace(rare, merged=_unused(set(counts) - set(few)))
    left, kept = {}, {}
    for side, rows in sides.items():
        kept[side] = [row for row, label in enumerate(rows.labels) if rare.merged is not None or label not in few]
        labels = [rare.merged if label in few and rare.merged is not None else label for label in rows.labels]
        left[side] = replace(rows, labels=labels).take(kept[side])
    if len(set(left["train"].labels)) < 2:
        most = listed([f"{name} ({rows})" for name, rows in counts.most_common(3)])
        raise BenchError(
            f"Fewer than two classes of {request.name} are left where each must have {least} training rows; those "
            f"with most have: {most}. Lower `min_class_rows`."
        )
    if not left["test"]:
        raise BenchError(f"All test rows of {request.name} are of classes that are left out: lower `min_class_rows`.")
    return Settled(rare, left, kept)


def _unused(names: set[str]) -> str:
    name = MERGED
    while name in names:
        name += " (rare)"
    return name
