"""What is wrong with rows: an error where nothing sound can be computed, else a sentence that is kept with them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.datasets.columns import MISSING_WORDS, Rows
from bench.datasets.dataset import Dataset, split_fingerprint
from bench.datasets.rows import DatasetRow
from bench.datasets.splits import group_rows
from bench.errors import BenchError, counted, listed, nearest
from bench.tasks import TASKS, Task
from bench.views import UNIT

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Cleaned:
    """Rows fit for use, and what was done to them."""

    rows: Rows
    warnings: tuple[str, ...]


def clean(rows: Rows, split: str, strip: bool) -> Cleaned:
    """Drop blank texts, replace what no tokenizer accepts, and say so; `strip` removes surrounding white space."""
    texts = [text.strip() for text in rows.texts] if strip else rows.texts
    halves = [row for row, text in enumerate(texts) if not text.isascii() and _SURROGATES.search(text)]
    warnings = []
    if halves:
        texts = list(texts)
        for row in halves:
            texts[row] = mended(texts[row])
        warnings.append(f"{split}: half of a surrogate pair in {_rows(len(halves))} was replaced by U+FFFD.")
    labels, ids = _mended_all(rows.labels), _mended_all(rows.ids)
    groups = [None if group is None else mended(group) for group in rows.groups]
    for what, before, after in (("label", rows.labels, labels), ("id", rows.ids, ids), ("group", rows.groups, groups)):
        if before != after:
            count = sum(old != new for old, new in zip(before, after, strict=True))
            warnings.append(
                f"{split}: half of a surrogate pair in the {what} of {_rows(count)} was replaced by U+FFFD."
            )
    kept = [row for row, text in enumerate(texts) if text and not text.isspace()]
    rows = replace(rows, ids=ids, texts=texts, labels=labels, groups=groups)
    if len(kept) < len(texts):
        warnings.append(f"{split}: {_rows(len(texts) - len(kept))} with an empty text left out.")
        rows = rows.take(kept)
    if not rows:
        raise BenchError(f"No row of the {split} split has a text.")
    return Cleaned(rows, tuple(warnings))


def mended(text: str) -> str:
    """`text` with U+FFFD for each half of a surrogate pair, which no tokenizer accepts."""
    return _SURROGATES.sub("\ufffd", text)


def _mended_all(values: list[str]) -> list[str]:
    return [value if value.isascii() else mended(value) for value in values]


def row_warnings(rows: Rows, split: str) -> list[str]:
    """Oddities within one split: what may be missing, control and replacement characters, contradicting labels."""
    warnings = []
    for what, values in (("label", rows.labels), ("text", rows.texts)):
        words = [value for value in values if value.strip().lower() in MISSING_WORDS]
        if words:
            warnings.append(
                f"{split}: {_rows(len(words))} with the {what} {listed(sorted(set(words)))}, as missing values are "
                f"written (kept as a {what})."
            )
    controls = sum(
        not text.isprintable() and _CONTROLS.search(text.replace(UNIT, " ")) is not None for text in rows.texts
    )
    if controls:
        warnings.append(f"{split}: {_rows(controls)} with control characters (kept).")
    replaced = sum("\ufffd" in text for text in rows.texts)
    if replaced:
        warnings.append(f"{split}: {_rows(replaced)} with U+FFFD, the mark of an earlier decoding error (kept).")
    labels: dict[str, str] = {}
    torn = {
        text for text, label in zip(rows.texts, rows.labels, strict=True) if labels.setdefault(text, label) != label
    }
    if torn:
        warnings.append(f"{split}: {counted(len(torn), 'text')} with several labels (kept).")
    return warnings


def side_warnings(train: Rows, test: Rows, labels: Sequence[str], test_only: Sequence[str], task: Task) -> list[str]:
    """What the two sides share, and the labels that one of them alone has; `labels` are those of the training rows."""
    warnings = []
    texts = set(train.texts)
    if shared := sum(text in texts for text in test.texts):
        warnings.append(f"{_rows(shared)} of test with a text that is also in train (kept).")
    groups = {group for group in train.groups if group is not None}
    if shared := sum(group in groups for group in test.groups):
        warnings.append(f"{_rows(shared)} of test in a group that is also in train (kept).")
    seen = set(task.labels(test.labels, ()))
    if absent := [label for label in labels if label not in seen]:
        warnings.append(f"test has no row of {counted(len(absent), 'class')} of train: {listed(absent)}.")
    if test_only:
        unknown = {written for written in set(test.labels) if task.labels([written], labels)}
        count = sum(written in unknown for written in test.labels)
        warnings.append(f"{_rows(count)} of test with a label that train has not: {listed(sorted(test_only))}.")
    return warnings


def check_order(order: Sequence[str], sides: Iterable[Rows], task: Task) -> None:
    """Raise BenchError where labels are given an order that has no meaning, or that names what no row has."""
    if task.in_order is None:
        able = listed([name for name, each in TASKS.items() if each.in_order is not None])
        raise BenchError(
            f"`label_order` is for labels whose order means something ({able}): set `task`, or leave it out."
        )
    there = {label for rows in sides for label in rows.labels}
    for place, name in enumerate(order):
        if name not in there:
            raise BenchError(f"`label_order` names '{name}', which no row has: {nearest(name, sorted(there))}")
        if name in order[:place]:
            raise BenchError(f"`label_order` names '{name}' twice: leave one.")


def require_known_labels(
    labels: Sequence[str], test_only: Sequence[str], tested: Sequence[str], *, ordered: bool = False
) -> None:
    """Refuse a test side of whose labels training knows none: two files that write the same classes differently.

    Of `ordered` labels all must be known: what has no place in the order is neither near nor far.
    """
    if ordered and test_only:
        raise BenchError(
            f"test has {listed(list(test_only))}, and the grades that training has are {listed(list(labels))}: give "
            "training rows of each, or leave these rows out."
        )
    if not labels or not test_only or set(labels) & set(tested):
        return
    spelled = [f"'{label}' ({nearest(label, labels).rstrip('?.')})" for label in test_only[:3]]
    raise BenchError(
        f"No test row has a label that training knows: test has {listed(list(test_only))}, train "
        f"{listed(list(labels))}, e.g. {'; '.join(spelled)}. Write both sides' labels alike."
    )


def published_warnings(row: DatasetRow, train: Rows, test: Rows) -> list[str]:
    """Where the rows of a known data set are not those that its row promises."""
    if row.sizes is None:
        return []
    seen = (len(set(train.labels)), len(train), len(test))
    promised = (row.sizes.classes, row.sizes.train, row.sizes.test)
    if seen != promised:
        sentence = (
            f"{row.name} has {seen[0]} classes and {seen[1]} + {seen[2]} rows here, "
            f"published are {promised[0]} and {promised[1]} + {promised[2]}: results do not compare."
        )
        return [sentence]
    if row.published is None:
        return []
    return [
        f"{row.name}, {side}: the published size, but other texts, labels or order than the published rows."
        for side, rows, published in (("train", train, row.published.train), ("test", test, row.published.test))
        # Published rows have no groups of their own, whatever column the user groups by.
        if split_fingerprint(rows.texts, rows.labels, group_rows(rows.texts, [None] * len(rows))) != published
    ]


def check_folds(dataset: Dataset, folds: int) -> tuple[str, ...]:
    """Sentences about what `folds` folds cannot do.

    Raises:
        BenchError: There are fewer groups of training rows than folds, or nothing can be learnt in them.
    """
    groups = len(np.unique(dataset.train.groups))
    if groups < folds:
        raise BenchError(
            f"{dataset.name} has {groups} groups of training rows, too few for {folds} folds: take fewer folds or "
            "more rows."
        )
    return TASKS[dataset.task].fold_warnings(dataset.train.labels, dataset.labels, folds, dataset.name)


def _rows(count: int) -> str:
    return counted(count, "row")
