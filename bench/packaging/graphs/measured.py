"""Graphs held against the search's evaluation, and timed in turn with the package that torch runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.errors import BenchError
from bench.packaging.graphs.graph_classifier import GraphClassifier
from bench.packaging.graphs.manifest import AskedGraphs, MeasuredGraphs, Speed

if TYPE_CHECKING:
    from bench.measures import Predictions
    from bench.progress import Progress

Answer = Callable[[Sequence[str]], Any]

COMPARED = 2_500
"""Test rows at most whose answers are compared with the search's."""
TOLERATED = {"float32": 0.02, "bfloat16": 0.05, "int8": 0.05}
"""The share of labels that may differ: in float32 as of a package that torch runs, else what one would still ship."""
SECONDS = 20.0
"""About how long the two sides are timed."""
MOST_SINGLES, TOGETHER, REPEATS = 400, 200, 3


def measure(
    place: Path,
    plain: Answer,
    texts: Sequence[str],
    found: Predictions,
    asked: AskedGraphs,
    progress: Progress,
) -> MeasuredGraphs:
    """The graphs in the folder `place` beside the search's evaluation of the test rows, `texts`, and beside torch's.

    `found` is what the search says of them, `plain` how the package that torch runs answers.

    Raises:
        BenchError: more labels differ than `TOLERATED`.
    """
    threads = torch.get_num_threads()
    graphs = GraphClassifier(place, threads)
    rows = np.random.default_rng(0).permutation(len(texts))[:COMPARED].tolist()
    progress.say(f"compare the graphs with the search on {len(rows)} test rows")
    said = graphs.scored([texts[row] for row in rows]).probabilities
    same = int((said.argmax(1) == found.predicted[rows]).sum())
    if len(rows) - same > (bound := TOLERATED[asked.precision]) * len(rows):
        advice = "leave out `format`" if asked.precision == "float32" else "use `precision='float32'`"
        raise BenchError(
            f"In {asked.precision} the graphs give {len(rows) - same} of {len(rows)} test rows another label than the "
            f"search's evaluation did, more than {bound:.0%}, so that they are not written: {advice}."
        )
    logs = found.log_probabilities
    assert logs is not None
    progress.say("time the graphs and torch in turn")
    graph, beside = _speeds((graphs.answers, plain), [texts[row] for row in rows])
    return MeasuredGraphs(
        rows=len(rows),
        same=same,
        furthest=float(np.abs(said - np.exp(logs[rows])).max()),
        graph=graph,
        torch=beside,
        threads=threads,
    )


def _speeds(sides: Sequence[Answer], texts: Sequence[str]) -> list[Speed]:
    """Each side's, in turn on the same texts."""
    singles: list[list[float]] = [[] for _ in sides]
    together: list[list[float]] = [[] for _ in sides]
    for side in sides:
        side(texts[:1])
    for rounds, most, groups in (
        (singles, SECONDS / 2, [[text] for text in texts[:MOST_SINGLES]]),
        (together, SECONDS / 2, [texts[:TOGETHER]] * REPEATS),
    ):
        started = time.perf_counter()
        for group in groups:
            if rounds[0] and time.perf_counter() - started > most:
                break
            for seconds, side in zip(rounds, sides, strict=True):
                before = time.perf_counter()
                side(group)
                seconds.append(time.perf_counter() - before)
    count = len(texts[:TOGETHER])
    return [
        Speed(
            p50_ms=1000 * float(np.median(one)),
            p99_ms=1000 * float(np.quantile(one, 0.99)),
            per_second=count / float(np.median(many)),
        )
        for one, many in zip(singles, together, strict=True)
    ]
