"""Heads that nothing trains: texts are held against each other, and labels only say what that is worth.

Sources are standardised, projected and fused as under any other head that is solved, and what was fused is whitened
column by column, that is standardised again. All of it is fitted on the training rows, without their labels. Whitening
with the whole covariance is not done: on a few hundred rows of hidden states it makes all of them equally far from each
other, however the covariance is shrunk (docs/inputs.md has the numbers).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bench.errors import BenchError
from bench.fusion import FUSIONS, common_width
from bench.heads.kinds import HEAD_KINDS, check_serves, untrained
from bench.heads.pipeline import Pipeline, standardisations
from bench.heads.projections import orthonormal
from bench.metrics import FOUND
from bench.specs import Candidate, Cosine, KMeans

CHUNK = 1024
"""Queries that are answered at once."""

Said = tuple[np.ndarray, np.ndarray]
"""What is predicted of each row, and scores."""


def compared(
    candidate: Candidate,
    train: Sequence[Tensor],
    rows: Sequence[Tensor],
    groups: np.ndarray,
    classes: int,
    seeds: Sequence[int],
    task: str,
) -> list[Said]:
    """What a candidate says of rows under each seed, by holding them against each other.

    Args:
        candidate: Its head is untrained.
        train: One float32 matrix [m, d_i] per source: training rows, on which whitening is fitted.
        rows: The same of the rows that are asked about, [n, d_i].
        groups: Which of these belong together, int [n].
        classes: How many classes the training rows have.
        seeds: Of random projections and of the head.
        task: What it is for.

    Raises:
        BenchError: the head does not serve the task, or the operator needs a head that is trained.
    """
    found: dict[int | None, Tensor] = {}
    said: dict[int | None, Said] = {}
    for seed in seeds:
        of_features = seed if candidate.width is not None else None
        if of_features not in found:
            found[of_features] = represented(candidate, train, rows, seed)
        of_all = seed if candidate.drawn else None
        if of_all not in said:
            said[of_all] = said_of(candidate.head.kind, task, found[of_features], groups, classes, seed)
    return [said[seed if candidate.drawn else None] for seed in seeds]


def said_of(kind: str, task: str, rows: Tensor, groups: np.ndarray, classes: int, seed: int) -> Said:
    """What a kind of head says of rows as they are, float32 [n, d]."""
    check_serves(kind, task)
    return HEAD_KINDS[kind].compares[task](rows, groups, classes, seed)


@torch.no_grad()
def represented(candidate: Candidate, train: Sequence[Tensor], rows: Sequence[Tensor], seed: int) -> Tensor:
    """Fused and whitened rows, float32 [n, d], by what training rows say without their labels."""
    operator = None if candidate.fusion == "none" else FUSIONS[candidate.fusion]
    if operator is not None and operator.late:
        raise BenchError(f"'{operator.name}' fuses what trained heads say, and here none is trained: leave it out.")
    width = None if operator is None else common_width(operator, [x.shape[1] for x in train], candidate.width)
    every = torch.arange(len(train[0]), device=train[0].device)
    scalings = standardisations(train, every)
    pipeline = Pipeline(scalings, orthonormal(operator, width, train, seed), operator, ())
    whole = torch.arange(len(rows[0]), device=rows[0].device)
    fitted, fused = pipeline.fused(train, every), pipeline.fused(rows, whole)
    (again,) = standardisations([fitted], every)
    return again.apply(fused)


@untrained(KMeans, task="clustering")
def kmeans(rows: Tensor, groups: np.ndarray, classes: int, seed: int) -> Said:  # noqa: ARG001
    """As many groups as there are classes, each of the texts that are nearest to its mean."""
    from sklearn.cluster import KMeans as Fitted

    values = rows.cpu().numpy()
    fitted = Fitted(n_clusters=min(classes, len(np.unique(values, axis=0))), n_init=1, random_state=seed).fit(values)
    return fitted.labels_.astype(np.int64), -fitted.transform(values).astype(np.float32)


@untrained(Cosine, task="retrieval")
def cosine(rows: Tensor, groups: np.ndarray, classes: int, seed: int) -> Said:  # noqa: ARG001
    """Of each text the ten others that are nearest by the cosine, none of them of its own group."""
    units = torch.nn.functional.normalize(rows)
    own = torch.from_numpy(np.ascontiguousarray(groups)).to(rows.device)
    places, scores = [], []
    for chunk in torch.arange(len(rows), device=rows.device).split(CHUNK):
        near = (units[chunk] @ units.T).masked_fill_(own[chunk, None] == own, -torch.inf)
        score, place = near.topk(min(FOUND, len(rows)))
        places.append(place.masked_fill_(score == -torch.inf, -1))
        scores.append(score)
    found, values = torch.cat(places).cpu().numpy(), torch.cat(scores).cpu().numpy()
    lacking = ((0, 0), (0, FOUND - found.shape[1]))
    return np.pad(found, lacking, constant_values=-1), np.pad(values, lacking, constant_values=-np.inf)
