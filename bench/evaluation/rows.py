"""Rows without their texts, kept in the store by their fingerprint: an ask needs no file of the user's."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.datasets.dataset import Dataset, Split
from bench.errors import BenchError
from bench.files import read_checked, write_checked
from bench.specs import DEFAULT_TASK
from bench.store import text_key
from bench.tasks import TASKS

FOLDER = "rows"
FORMAT = 1


@dataclass(frozen=True, eq=False)
class SplitRows:
    """The training or the test rows of a data set, in its order, without their texts.

    Attributes:
        fingerprint: That of the split.
        keys: What stands for each text in the store, 16 bytes each.
        names: The labels' written forms that occur, sorted.
        labels: Indices of `names`, int64 [rows].
        groups: Rows of one number must stay in one fold, int64 [rows].
        ids: The source's own.
    """

    fingerprint: str
    keys: tuple[bytes, ...]
    names: tuple[str, ...]
    labels: np.ndarray
    groups: np.ndarray
    ids: tuple[str, ...]

    @classmethod
    def of(cls, split: Split, names: Sequence[str], task: str = DEFAULT_TASK) -> "SplitRows":
        """A split whose labels are a task's numbers, by `names`."""
        written = TASKS[task].written(split.labels, names)
        used = sorted(set(written))
        place = {name: index for index, name in enumerate(used)}
        labels = np.fromiter((place[name] for name in written), np.int64, len(written))
        return cls(split.fingerprint, tuple(map(text_key, split.texts)), tuple(used), labels, split.groups, split.ids)

    def __len__(self) -> int:
        return len(self.keys)

    def labels_in(self, names: Sequence[str], task: str = DEFAULT_TASK) -> np.ndarray:
        """A task's numbers by another list: in classification its indices, int64 [rows], −1 where it lacks one."""
        numbers: np.ndarray = TASKS[task].numbers(self.names, names)[self.labels]
        return numbers


def sides(dataset: Dataset) -> tuple[SplitRows, SplitRows]:
    """The training and the test rows."""
    names = (*dataset.labels, *dataset.test_only_labels)
    return SplitRows.of(dataset.train, names, dataset.task), SplitRows.of(dataset.test, names, dataset.task)


def keep(home: Path, dataset: str, side: SplitRows) -> None:
    """Keep a side of a data set of that name, where it is not kept already.

    Raises:
        BenchError: what is kept cannot be read, or is of a newer format; it stays as it is.
    """
    if _found(home, side.fingerprint) is not None:
        return
    arrays: dict[str, np.ndarray] = {
        "keys": np.frombuffer(b"".join(side.keys), dtype=np.uint8).reshape(len(side), -1),
        "labels": side.labels.astype(np.int32),
        "groups": side.groups.astype(np.int64),
        "ids": np.frombuffer(json.dumps(side.ids).encode(), dtype=np.uint8),
    }
    metadata = {
        "format": str(FORMAT),
        "fingerprint": side.fingerprint,
        "dataset": dataset,
        "names": json.dumps(side.names),
    }
    # a full disk must not end a search here
    with contextlib.suppress(OSError):
        write_checked(_path(home, side.fingerprint), arrays, metadata)


def read(home: Path, fingerprint: str) -> SplitRows:
    """The side of that fingerprint.

    Raises:
        BenchError: it is not kept, or the file is torn, altered, not to be read, or of a newer format.
    """
    if (found := _found(home, fingerprint)) is None:
        raise BenchError(
            f"The store {home} does not hold the rows {fingerprint}. They are kept when a study of their data set "
            "begins: run its command again where the data is."
        )
    arrays, metadata = found
    return SplitRows(
        fingerprint,
        tuple(row.tobytes() for row in arrays["keys"]),
        tuple(json.loads(metadata["names"])),
        arrays["labels"].astype(np.int64),
        arrays["groups"],
        tuple(json.loads(arrays["ids"].tobytes())),
    )


def _found(home: Path, fingerprint: str) -> tuple[dict[str, np.ndarray], dict[str, str]] | None:
    found = read_checked(_path(home, fingerprint), FORMAT)
    return found if found is not None and found[1]["fingerprint"] == fingerprint else None


def kept(home: Path) -> Iterator[tuple[str, str, int]]:
    """Of every side that is kept: its fingerprint, the data set that it came from, and how many rows it has."""
    from safetensors import SafetensorError, safe_open

    for path in sorted((home / FOLDER).glob("*.safetensors")):
        with contextlib.suppress(SafetensorError, OSError, KeyError, ValueError), safe_open(path, "np") as file:
            yield path.stem, file.metadata()["dataset"], file.get_slice("labels").get_shape()[0]


def _path(home: Path, fingerprint: str) -> Path:
    return home / FOLDER / f"{fingerprint}.safetensors"
