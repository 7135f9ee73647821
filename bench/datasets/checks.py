"""What is wrong with rows: an error where nothing sound can be computed, else a sentence that is kept with them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.datasets.dataset import Dataset, split_fingerprint
from bench.datasets.rows import DatasetRow
from bench.datasets.splits import group_rows
from bench.datasets.tables import Rows
from bench.errors import BenchError, counted, listed
from bench.tasks import TASKS

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
    kept = [row for row, text in enumerate(texts) if text and not text.isspace()]
    rows = Rows(rows.ids, texts, rows.labels, rows.groups)
    if len(kept) < len(texts):
        warnings.append(f"{split}: {_rows(len(texts) - len(kept))} with an empty text left out.")
        rows = rows.take(kept)
    if not rows:
        raise BenchError(f"No row of the {split} split has a text.")
    return Cleaned(rows, tuple(warnings))


def mended(text: str) -> str:
    """`text` with U+FFFD for each half of a surrogate pair, which no tokenizer accepts."""
    return _SURROGATES.sub("\ufffd", text)


def row_warnings(rows: Rows, split: str) -> list[str]:
    """Oddities within one split: control characters, replacement characters, contradicting labels."""
    warnings = []
    controls = sum(not text.isprintable() and _CONTROLS.search(text) is not None for text in rows.texts)
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


def side_warnings(train: Rows, test: Rows, test_only: Sequence[str]) -> list[str]:
    """What the two sides share, and the labels that the test side alone has."""
    warnings = []
    texts = set(train.texts)
    if shared := sum(text in texts for text in test.texts):
        warnings.append(f"{_rows(shared)} of test with a text that is also in train (kept).")
    groups = {group for group in train.groups if group is not None}
    if shared := sum(group in groups for group in test.groups):
        warnings.append(f"{_rows(shared)} of test in a group that is also in train (kept).")
    if test_only:
        known = set(train.labels)
        count = sum(label not in known for label in test.labels)
        warnings.append(f"{_rows(count)} of test with a label that train has not: {listed(sorted(test_only))}.")
    return warnings


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
