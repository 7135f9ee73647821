"""Rows without their texts, kept in the store by their fingerprint: an ask needs no file of the user's."""

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.datasets.dataset import Dataset, Split
from bench.errors import BenchError
from bench.files import read_checked, write_checked
from bench.specs import DEFAULT_TASK
from bench.store import text_key
from bench.store.remote import mirror, publish, remote_of
from bench.tasks import TASKS
from bench.views import View

FOLDER = "rows"
FORMAT = 1
VIEW = "keys."
"""Before the fingerprint of a view: the name of its keys."""


@dataclass(frozen=True, eq=False)
class SplitRows:
    """The training or the test rows of a data set, in its order, without their texts.

    Attributes:
        fingerprint: That of the split.
        keys: What stands for each row in the store, 16 bytes each.
        names: The labels' written forms that occur, sorted.
        labels: Indices of `names`, int64 [rows].
        groups: Rows of one number must stay in one fold, int64 [rows].
        ids: The source's own.
        views: What stands for what is read of each row, by the fingerprint of the view (see `bench.views`).
    """

    fingerprint: str
    keys: tuple[bytes, ...]
    names: tuple[str, ...]
    labels: np.ndarray
    groups: np.ndarray
    ids: tuple[str, ...]
    views: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, split: Split, names: Sequence[str], task: str = DEFAULT_TASK, read: Iterable[View] = ()) -> "SplitRows":
        """A split whose labels are a task's numbers, by `names`, under the views by which it is `read`."""
        written = TASKS[task].written(split.labels, names)
        used = sorted(set(written))
        place = {name: index for index, name in enumerate(used)}
        labels = np.fromiter((place[name] for name in written), np.int64, len(written))
        views = {view.fingerprint(): tuple(text_key(view(text)) for text in split.texts) for view in read}
        keys = tuple(map(text_key, split.texts))
        return cls(split.fingerprint, keys, tuple(used), labels, split.groups, split.ids, views)

    @property
    def by_view(self) -> dict[str | None, tuple[bytes, ...]]:
        """What stands for each row by view; None is that of rows as they are."""
        found: dict[str | None, tuple[bytes, ...]] = {None: self.keys}
        return found | dict(self.views.items())

    def __len__(self) -> int:
        return len(self.keys)

    def labels_in(self, names: Sequence[str], task: str = DEFAULT_TASK) -> np.ndarray:
        """A task's numbers by another list: in classification its indices, int64 [rows], −1 where it lacks one."""
        numbers: np.ndarray = TASKS[task].numbers(self.names, names)[self.labels]
        return numbers


def sides(dataset: Dataset, read: Collection[View] = ()) -> tuple[SplitRows, SplitRows]:
    """The training and the test rows, under the views by which they are `read`."""
    names, task = (*dataset.labels, *dataset.test_only_labels), dataset.task
    return SplitRows.of(dataset.train, names, task, read), SplitRows.of(dataset.test, names, task, read)


def keep(home: Path, dataset: str, side: SplitRows) -> None:
    """Keep a side of a data set of that name, where it is not kept already.

    Raises:
        BenchError: what is kept cannot be read, or is of a newer format; it stays as it is.
    """
    before = _found(home, side.fingerprint)
    if before is not None and {f"{VIEW}{view}" for view in side.views} <= before[0].keys():
        publish(home, _path(home, side.fingerprint))  # which may have failed when it was made
        return
    arrays: dict[str, np.ndarray] = {
        "keys": _array(side.keys),
        "labels": side.labels.astype(np.int32),
        "groups": side.groups.astype(np.int64),
        "ids": np.frombuffer(json.dumps(side.ids).encode(), dtype=np.uint8),
    }
    # by the views of other studies too
    arrays |= {name: array for name, array in (before or ({}, {}))[0].items() if name.startswith(VIEW)}
    arrays |= {f"{VIEW}{view}": _array(keys) for view, keys in side.views.items()}
    metadata = {
        "format": str(FORMAT),
        "fingerprint": side.fingerprint,
        "dataset": dataset,
        "names": json.dumps(side.names),
    }
    # a full disk must not end a search here
    with contextlib.suppress(OSError):
        write_checked(_path(home, side.fingerprint), arrays, metadata)
        publish(home, _path(home, side.fingerprint))


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
        _keys(arrays["keys"]),
        tuple(json.loads(metadata["names"])),
        arrays["labels"].astype(np.int64),
        arrays["groups"],
        tuple(json.loads(arrays["ids"].tobytes())),
        {name.removeprefix(VIEW): _keys(array) for name, array in arrays.items() if name.startswith(VIEW)},
    )


def _array(keys: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1)


def _keys(array: np.ndarray) -> tuple[bytes, ...]:
    return tuple(row.tobytes() for row in array)


def _found(home: Path, fingerprint: str) -> tuple[dict[str, np.ndarray], dict[str, str]] | None:
    path = _path(home, fingerprint)
    mirror(home, path)
    found = read_checked(path, FORMAT)
    if found is None and path.exists() and remote_of(home) is not None:
        path.unlink()  # it came torn, or lay here torn: once more
        mirror(home, path)
        found = read_checked(path, FORMAT)
    return found if found is not None and found[1]["fingerprint"] == fingerprint else None


def kept(home: Path) -> Iterator[tuple[str, str, int]]:
    """Of every side that is kept: its fingerprint, the data set that it came from, and how many rows it has."""
    from safetensors import SafetensorError, safe_open

    for path in sorted((home / FOLDER).glob("*.safetensors")):
        with contextlib.suppress(SafetensorError, OSError, KeyError, ValueError), safe_open(path, "np") as file:
            yield path.stem, file.metadata()["dataset"], file.get_slice("labels").get_shape()[0]


def _path(home: Path, fingerprint: str) -> Path:
    return home / FOLDER / f"{fingerprint}.safetensors"
