"""What a loaded data set is."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bench.datasets.sides import Sides
from bench.errors import counted, listed
from bench.specs import DEFAULT_TASK, Spec, fingerprint


class Provenance(Spec):
    """Where rows came from.

    `files` maps the names of the files read to the SHA-256 of their bytes; `repo` and `revision` (a commit hash)
    are the hub's, for rows from there.
    """

    kind: Literal["home", "package", "hub", "file"]
    description: str
    files: dict[str, str]
    repo: str | None = None
    revision: str | None = None


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one side, in data-set order.

    Attributes:
        ids: The source's own ids, else ``split/n``; unique within the split, not part of the fingerprint.
        texts: One a row, never blank.
        labels: The rows' targets as numbers, [rows, …]; in classification indices into the data set's `labels` +
            `test_only_labels`, int64 [rows].
        groups: Rows of one number must stay in one fold, int64 [rows], numbered by first appearance.
        fingerprint: 16 hex digits of texts, label names, groups and their order, whatever the source.
    """

    ids: tuple[str, ...] = field(repr=False)
    texts: tuple[str, ...] = field(repr=False)
    labels: npt.NDArray[Any]
    groups: npt.NDArray[np.int64]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Stats:
    """Sizes of a data set; `mean_words` is that of the training texts, split at white space."""

    classes: int
    train: int
    test: int
    mean_words: float


@dataclass(frozen=True)
class Rare:
    """What became of the classes with fewer than `least` training rows (see `bench.datasets.rare`).

    Attributes:
        least: Training rows that a class must have to stay as it is.
        classes: Those that have fewer, with their training rows, most first; 0 of those that test rows alone have.
        rows: Rows of these classes by side.
        merged: The class that they became; None where they were left out.
    """

    least: int
    classes: Mapping[str, int]
    rows: Mapping[str, int]
    merged: str | None = None

    @property
    def how(self) -> str:
        """As the setting has it."""
        return "drop" if self.merged is None else "merge"

    @property
    def short(self) -> str:
        """What was done, to stand beside the name of the data set."""
        if not self.classes:
            return f"no class has fewer than {self.least} training rows"
        done = "left out" if self.merged is None else f"merged into '{self.merged}'"
        return f"{counted(len(self.classes), 'class')} of fewer than {self.least} training rows {done}"

    @property
    def words(self) -> str:
        """The same with all that it was done to."""
        if not self.classes:
            return f"{self.short[0].upper()}{self.short[1:]}."
        named = listed([f"{name} ({rows})" for name, rows in self.classes.items()])
        sides = " and ".join(f"{counted(rows, 'row')} of {side}" for side, rows in self.rows.items())
        still = ""
        if self.merged is not None and self.rows["train"] < self.least:
            still = f" '{self.merged}' has no more than these itself."
        return f"{self.short}: {named}, {sides}.{still}"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "min_class_rows": self.least,
            "rare": self.how,
            "classes": dict(self.classes),
            "rows": dict(self.rows),
            "merged": self.merged,
        }


@dataclass(frozen=True, eq=False)
class Grown:
    """What has become of a file since it was first split.

    Attributes:
        train: All training rows: those of the data set's `train`, then the later ones.
        rows: How many rows are later, by side; the later test rows are the last of the data set's `test`.
        test: Fingerprint of the test rows of the first split.
        gone: By side, what rows were called that are no longer there.
    """

    train: Split
    rows: Mapping[str, int]
    test: str
    gone: Mapping[str, Sequence[str]]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, ready for extraction and evaluation.

    Attributes:
        name: As requested; of a file, its name without folders.
        labels: The label list of the training rows, sorted (whole numbers by value): all that a search may know.
        test_only_labels: Labels that no training row has; their test rows hold the indices from `len(labels)` on.
        warnings: What a reader of the results should know about the rows, one sentence each.
        task: What the labels are, by its name in `bench.tasks`.
        rare: What became of classes with few training rows; None where nothing was to.
        sides: Which rows of a file were placed where, by text; None of other sources.
        grown: What has changed since that was so; None where nothing has.
        fields: What the fields of a row are called (see `bench.views`), where it has several.
        ordered: Whether somebody gave the order of `labels`.
    """

    name: str
    source: Provenance
    labels: tuple[str, ...]
    test_only_labels: tuple[str, ...]
    train: Split
    test: Split
    warnings: tuple[str, ...]
    task: str = DEFAULT_TASK
    rare: Rare | None = None
    sides: Sides | None = None
    grown: Grown | None = None
    fields: tuple[str, ...] = ()
    ordered: bool = False

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with any text, label, group or order, the rule for rare classes or a given order.

        Test rows that came after the first split have no part in it: whoever searched did not see them.
        """
        rule: list[Any] = [] if self.rare is None else [[self.rare.least, self.rare.how]]
        rule += [list(self.labels)] if self.ordered else []
        test = self.test.fingerprint if self.grown is None else self.grown.test
        return fingerprint([self.train.fingerprint, test, *rule])

    @property
    def whole(self) -> "Dataset":
        """The same with all training rows, those that came after the first split too."""
        if self.grown is None or self.sides is None:
            return self
        train, test = self.grown.train, self.test
        every = Sides.of({"train": train, "test": test}, self.sides.closed, self.sides.salt)
        if every is not None:
            # a side that takes no later rows may have been reduced: its rows are remembered all the same
            same = [side for side, count in self.grown.rows.items() if not count]
            kept: dict[str, Any] = {side: getattr(self.sides, side) for side in same}
            ids = every.ids | {side: self.sides.ids[side] for side in same if side in self.sides.ids}
            every = every.model_copy(update=kept | {"ids": ids})
        return replace(self, train=train, sides=every, grown=None)

    @property
    def came(self) -> dict[str, Sequence[str]]:
        """By side, what later rows are called."""
        grown = self.grown
        if grown is None:
            return {}
        sides = {"train": grown.train.ids, "test": self.test.ids}
        return {side: ids[len(ids) - grown.rows[side] :] for side, ids in sides.items()}

    @property
    def texts(self) -> list[str]:
        """Training texts, then test texts, then those of later training rows."""
        later = () if self.grown is None else self.grown.train.texts[len(self.train) :]
        return [*self.train.texts, *self.test.texts, *later]

    @property
    def title(self) -> str:
        """Its name for people, with what was done to its classes."""
        return self.name if self.rare is None else f"{self.name} ({self.rare.short})"

    @property
    def stats(self) -> Stats:
        """Sizes; the words are counted at each call."""
        words = sum(len(text.split()) for text in self.train.texts)
        return Stats(len(self.labels), len(self.train), len(self.test), words / len(self.train))


def split_fingerprint(
    texts: Sequence[str], labels: Sequence[str], groups: npt.NDArray[np.int64], task: str = DEFAULT_TASK
) -> str:
    """The fingerprint of a split's rows, of their written labels and of their task, which means something by them.

    Lengths are written before contents, so that no two splits read alike.
    """
    digest = hashlib.sha256()
    for text, label in zip(texts, labels, strict=True):
        encoded, name = text.encode(), label.encode()
        digest.update(b"%d %d " % (len(encoded), len(name)))
        digest.update(encoded)
        digest.update(name)
    digest.update(groups.astype("<i8").tobytes())
    if task != DEFAULT_TASK:
        digest.update(task.encode())
    return digest.hexdigest()[:16]
