"""What a kind of head is: the problem that it is given, what it gives back, and the table of all kinds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bench.errors import BenchError
from bench.fusion import Operator
from bench.heads.pipeline import Pipeline
from bench.registry import Registry
from bench.specs import DEFAULT_TASK, HEAD_SETTINGS, HeadSettings
from bench.tasks import TASKS

Precision = Literal["float32", "fast"]


@dataclass(frozen=True, eq=False)
class Job:
    """One head to train.

    Attributes:
        train: Indices of the rows that it learns from.
        predict: Indices of the rows that it predicts.
        seed: Seeds initialisation, the order of batches, and random projections.
    """

    train: np.ndarray
    predict: np.ndarray
    seed: int


@dataclass(frozen=True, eq=False)
class Problem:
    """What a kind of head is given: one pipeline is to be trained per job.

    Attributes:
        features: One float32 matrix [n, d_i] per source.
        labels: The rows' targets as numbers, on the features' device: in classification class indices, int64 [n]; of
            several labels a row 0 or 1 of each, int64 [n, classes].
        classes: How many outputs are wanted: in classification the length of the label list.
        operator: What fuses the sources; None for a single one.
        width: The common width that sources are projected to, or None.
        jobs: Training rows and seeds.
        settings: The candidate's head.
        precision: ``"float32"``, or ``"fast"`` where a kind has a faster arithmetic.
        memory_bytes: Bound on the workspace, beside the features and the results.
        groups: Rows of one number belong together, int64 [n] on the features' device: what a head holds out to tune a
            setting of its own it holds out whole. None: each row is on its own.
    """

    features: tuple[Tensor, ...]
    labels: Tensor
    classes: int
    operator: Operator | None
    width: int | None
    jobs: tuple[Job, ...]
    settings: Any
    precision: Precision
    memory_bytes: int
    groups: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the features are."""
        return self.features[0].device

    def rows(self, job: Job) -> Tensor:
        """The training rows of a job, on the device."""
        return torch.from_numpy(np.ascontiguousarray(job.train)).to(self.device)

    def groups_of(self, rows: Tensor) -> Tensor | None:
        """The groups of some rows; None where each is on its own, or all are of one, so that none can be held out."""
        if self.groups is None:
            return None
        groups = self.groups[rows]
        return groups if 1 < len(groups.unique()) < len(groups) else None


@dataclass(frozen=True)
class Trained:
    """A trained pipeline and how its training went."""

    pipeline: Pipeline
    report: dict[str, float]


Train = Callable[[Problem], list[Trained]]
"""Returns one `Trained` per job, in their order."""


Compare = Callable[[Tensor, np.ndarray, int, int], tuple[np.ndarray, np.ndarray]]
"""(rows float32 [n, d], their groups int [n], how many classes there are, a seed) → what is predicted of each row, the
task's numbers, and scores float32 [n, …]. The labels have no part in it."""


@dataclass(frozen=True)
class HeadKind:
    """A kind of head: the `kind` of its settings, one line for people, and how it is trained for each task.

    What is not trained has in place of that, for each task, how it holds rows against each other.
    """

    name: str
    summary: str
    trains: dict[str, Train]
    compares: dict[str, Compare] = field(default_factory=dict)

    def training(self, task: str) -> Train | None:
        """How it is trained for a task, or for the one that it is like; None where it serves neither."""
        return next((self.trains[name] for name in TASKS[task].kinds if name in self.trains), None)

    def serves(self, task: str) -> bool:
        """Whether it is trained for a task, or holds its rows against each other."""
        return task in self.compares or self.training(task) is not None


HEAD_KINDS: Registry[HeadKind] = Registry("head", pluggable=True)


def head(settings: type[HeadSettings], *, tasks: tuple[str, ...] = (DEFAULT_TASK,)) -> Callable[[Train], Train]:
    """Register the decorated function as the kind of head that is made with `settings`, whose `kind` has a default.

    A kind that is trained otherwise for other tasks has a function for these too.
    """
    name: str = settings.model_fields["kind"].default
    if name not in HEAD_SETTINGS:
        HEAD_SETTINGS.add(name, settings, settings)

    def register(train: Train) -> Train:
        trains = dict.fromkeys(tasks, train)
        if name in HEAD_KINDS and not HEAD_KINDS[name].trains.keys() & trains:
            HEAD_KINDS[name].trains.update(trains)
            return train
        summary = (train.__doc__ or name).splitlines()[0].rstrip(".")
        HEAD_KINDS.add(name, HeadKind(name, summary, trains), train)
        return train

    return register


def untrained(settings: type[HeadSettings], *, task: str) -> Callable[[Compare], Compare]:
    """Register the decorated function as the kind of head that is made with `settings`, which no label trains."""
    name: str = settings.model_fields["kind"].default

    def register(compare: Compare) -> Compare:
        summary = (compare.__doc__ or name).splitlines()[0].rstrip(".")
        HEAD_KINDS.add(name, HeadKind(name, summary, {}, {task: compare}), compare)
        return compare

    return register


def check_serves(kind: str, task: str) -> None:
    """Raise BenchError, which names those that do, where a kind of head cannot be trained for a task."""
    if not HEAD_KINDS[kind].serves(task):
        able = [name for name, each in HEAD_KINDS.items() if each.serves(task)]
        raise BenchError(
            f"The head '{kind}' does not serve {task}. Heads that do: {', '.join(able) or 'none is known'}."
        )
