"""A task in one file, as a package of one's own would hold it: labels are numbers, heads are ridge regressions, R².

Nothing of bench has to know of it. `registered` enters it for as long as a test needs it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch

from bench.errors import BenchError
from bench.evaluation.baselines import TEXT_BASELINES, Classified, text_baseline
from bench.heads import HEAD_KINDS
from bench.heads.kinds import Problem, Trained, head
from bench.heads.pipeline import Affine, Pipeline, standardisations
from bench.heads.projections import random_projections
from bench.measures import MEASURES, Measure, Predictions, add
from bench.specs import HEAD_SETTINGS, HeadSettings
from bench.tasks import TASKS, Task

NAME = "regression"
STRATA = 4


class Ridge(HeadSettings):
    kind: Literal["toy-ridge"] = "toy-ridge"
    penalty: float = 0.1


def read(value: Any, names: Sequence[str] | None) -> str:
    try:
        return repr(float(value))
    except (TypeError, ValueError):
        raise ValueError(f"the label {value!r} is no number") from None


def refuse(written: Sequence[str], name: str) -> None:
    if len(set(written)) < 2:
        raise BenchError(f"All training rows of {name} have one number: there is nothing to learn.")


def numbers(written: Sequence[str], names: Sequence[str]) -> np.ndarray:
    return np.array([float(each) for each in written])


def fold_strata(values: np.ndarray) -> np.ndarray:
    """Quarters of the rows by size."""
    return np.searchsorted(np.quantile(values, np.arange(1, STRATA) / STRATA), values)


def determination(said: Predictions) -> float:
    """R²."""
    residual = np.square(said.truth - said.predicted).sum()
    return float(1 - residual / np.square(said.truth - said.truth.mean()).sum())


def train(problem: Problem) -> list[Trained]:
    """Ridge regression."""
    trained = []
    for job in problem.jobs:
        rows = problem.rows(job)
        base = Pipeline(
            standardisations(problem.features, rows), random_projections(problem, job), problem.operator, ()
        )
        x, y = base.fused(problem.features, rows).double(), problem.labels[rows].double()
        mean, level = x.mean(0), y.mean()
        gram = (x - mean).T @ (x - mean) + problem.settings.penalty * len(rows) * torch.eye(x.shape[1])
        weight = torch.linalg.solve(gram, (x - mean).T @ (y - level))
        layer = Affine(weight[None].float(), (level - weight @ mean)[None].float())
        trained.append(Trained(Pipeline(base.scalings, base.projections, base.operator, (layer,)), {}))
    return trained


def mean_of_training(train: Sequence[str], labels: np.ndarray, predict: Sequence[str], outputs: int) -> Classified:
    """The same number for every text."""
    predicted = np.full(len(predict), labels.mean())
    return Classified(predicted, predicted[:, None].astype(np.float32), "value")


TASK = Task(
    name=NAME,
    read=read,
    refuse=refuse,
    labels=lambda written, known: (),
    numbers=numbers,
    written=lambda values, names: [repr(float(value)) for value in values],
    strata=lambda written: [str(each) for each in fold_strata(numbers(written, ()))],
    fold_strata=fold_strata,
    fold_warnings=lambda values, names, folds, name: (),
    outputs=lambda names: 1,
    link="identity",
    decide=lambda scores: scores[:, 0].astype(np.float64),
    head=Ridge(),
    text_baselines=("mean",),
    measures=("r2",),
    by_class=False,
    columns={"value": "number"},
    say=lambda scores, names: [{"value": value} for value in scores[:, 0]],
)


@contextmanager
def registered() -> Iterator[Task]:
    """The task with its head, its measure and its baseline."""
    TASKS.add(NAME, TASK)
    head(Ridge, tasks=(NAME,))(train)
    add(Measure("r2", "R²", best=1, computed=determination, task=NAME))
    text_baseline("mean")(mean_of_training)
    try:
        yield TASK
    finally:
        for registry, name in (
            (TASKS, NAME),
            (HEAD_KINDS, "toy-ridge"),
            (HEAD_SETTINGS, "toy-ridge"),
            (MEASURES, "r2"),
            (TEXT_BASELINES, "mean"),
        ):
            del registry._entries[name]
