"""The one way in: a candidate and its jobs → fitted heads, by the kind of head that the candidate asks for."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bench.errors import BenchError
from bench.fusion import FUSIONS, Operator, common_width
from bench.heads.kinds import HEAD_KINDS, Job, Precision, Problem, Trained, check_serves
from bench.heads.pipeline import FittedHead
from bench.products import fast_exact_products
from bench.specs import DEFAULT_TASK, Candidate
from bench.tasks import TASKS

log = logging.getLogger(__name__)

GIBIBYTE = 1 << 30


def fit(
    features: Sequence[Tensor],
    labels: np.ndarray,
    classes: int,
    jobs: Sequence[Job],
    candidate: Candidate,
    *,
    task: str = DEFAULT_TASK,
    groups: np.ndarray | None = None,
    precision: Precision = "float32",
    memory_bytes: int = GIBIBYTE,
) -> list[FittedHead]:
    """Train one head per job; what a job gives does not depend on the other jobs.

    Heads that did not converge are logged as a warning, and say so themselves (`FittedHead.converged`).

    Args:
        features: One float32 matrix [n, d_i] per source of the candidate, on one device.
        labels: The rows' numbers, [n, …]: in classification class indices, int64 [n]. Those of rows that no job trains
            on are not read (−1 is allowed there).
        classes: How many outputs a head has: in classification the length of the label list.
        jobs: Training rows and seeds.
        candidate: Names the fusion, the common width and the head. A width of None stands for the default.
        precision: ``"fast"`` lets the products with the features be computed in bfloat16.
        task: What the numbers are.
        groups: Rows of one number belong together, int64 [n], also where a head tunes a setting of its own; None: each
            row is on its own. Those of rows that no job trains on are not read.
        memory_bytes: About how much workspace may be used, beside the features and the results. A logistic head also
            holds a few d × d matrices while it finds the principal axes (d ≤ 4,096).

    Raises:
        BenchError: Sources and fusion do not fit together, the head does not serve the task, a label is missing, or
            features are not finite.
    """
    check_serves(candidate.head.kind, task)
    kind = HEAD_KINDS[candidate.head.kind].training(task)
    assert kind is not None, "checked above"
    operator = _operator(candidate, features)
    device = features[0].device
    whole = not np.issubdtype(labels.dtype, np.floating)
    targets = torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64 if whole else labels.dtype)).to(device)
    together = None if groups is None else torch.from_numpy(np.ascontiguousarray(groups, dtype=np.int64)).to(device)
    for job in jobs:
        known = labels[job.train]
        if whole and (not len(known) or known.min() < 0 or known.max() >= classes):
            raise BenchError(f"A head needs training rows, each with a label from 0 to {classes - 1}.")
        if not whole and not (len(known) and np.isfinite(known).all()):
            raise BenchError("A head needs training rows, each with a finite number.")

    def train(sources: Sequence[Tensor], operator: Operator | None) -> list[Trained]:
        width = None
        if operator is not None:
            width = common_width(operator, [x.shape[1] for x in sources], candidate.width)
        problem = Problem(
            features=tuple(sources),
            labels=targets,
            classes=classes,
            operator=operator,
            width=width,
            jobs=tuple(jobs),
            settings=candidate.head,
            precision=precision,
            memory_bytes=memory_bytes,
            groups=together,
        )
        return kind(problem)

    with fast_exact_products(device):
        if operator is not None and operator.late:
            trained = [train([x], None) for x in features]
        else:
            trained = [train(features, operator)]
    heads = [
        FittedHead(
            candidate.fusion,
            tuple(one.pipeline for one in parts),
            tuple(one.report for one in parts),
            TASKS[task].link,
        )
        for parts in zip(*trained, strict=True)
    ]
    if unfinished := sum(not fitted.converged for fitted in heads):
        log.warning("%s: %d of %d heads did not converge", candidate, unfinished, len(heads))
    return heads


def fit_predict(
    features: Sequence[Tensor],
    labels: np.ndarray,
    classes: int,
    jobs: Sequence[Job],
    candidate: Candidate,
    *,
    precision: Precision = "float32",
    memory_bytes: int = GIBIBYTE,
) -> list[np.ndarray]:
    """As `fit`, and then each job's class probabilities, float32 [len(job.predict), classes]."""
    heads = fit(features, labels, classes, jobs, candidate, precision=precision, memory_bytes=memory_bytes)
    return [
        fitted.predict(features, job.predict, memory_bytes=memory_bytes)
        for fitted, job in zip(heads, jobs, strict=True)
    ]


def _operator(candidate: Candidate, features: Sequence[Tensor]) -> Operator | None:
    if len(features) != len(candidate.sources):
        raise BenchError(f"{candidate} has {len(candidate.sources)} sources, but {len(features)} matrices were given.")
    if candidate.fusion == "none":
        if len(features) > 1:
            raise BenchError(f"{len(features)} sources need a fusion operator, but the candidate's fusion is 'none'.")
        return None
    if len(features) < 2:
        raise BenchError(f"'{candidate.fusion}' fuses two and more sources; a single one takes 'none'.")
    return FUSIONS[candidate.fusion]
