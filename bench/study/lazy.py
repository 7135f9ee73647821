"""A lazy search: all models are extracted on few rows, and whole only what can still matter.

Rows are doubled from rung to rung. On each, representations are screened, and models are cut back or left out as
`bench.screening.reach` says. What a rung decided is kept in the study's journal, and holds when the study goes on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from bench.cost import ModelCost
from bench.datasets.dataset import Split
from bench.errors import BenchError, nearest
from bench.material import Material
from bench.progress import Progress
from bench.screening.growth import Growth
from bench.screening.reach import Cut, Judged, Judgement, Loss, Reach, cuts
from bench.screening.ridge import scoring_of, serves
from bench.screening.table import Seen
from bench.space.candidates import Shapes
from bench.specs import Candidate, Source
from bench.study.drops import NOTE, Drop, Rung, lazy
from bench.study.journal import Journal
from bench.study.screen import within
from bench.study.settings import SearchRequest
from bench.threads import torch_threads

if TYPE_CHECKING:
    import torch

FIRST, MOST = 128, 1024
"""Rows of the first rung and of the last, about: then what is left is extracted whole."""
FEW = 32
"""Of more rows the first rung has one in so many: they cost little, and say more."""
EACH = 8
"""Of each class that has them: nothing is dropped on fewer."""


def possible(request: SearchRequest, task: str) -> bool:
    """Whether a search can be lazy: its candidates are not selected on the test set, and its labels are classes."""
    return request.protocol.name == "cv" and serves(task)


def check(request: SearchRequest, task: str, models: Sequence[str]) -> None:
    """Raise BenchError where a request contradicts itself."""
    if request.lazy and not possible(request, task):
        raise BenchError(
            "A lazy search judges models by cross-validation of classes: leave out `lazy`, or take the protocol 'cv' "
            "and a classification task."
        )
    for name in request.keep or ():
        if name not in models:
            raise BenchError(f"No model '{name}' takes part, which is to be kept: {nearest(name, models)}")


def sizes(split: Split) -> list[int]:
    """How many rows each rung has, about: doubled up to `MOST`, as long as at least as many are left."""
    found, size = list[int](), max(FIRST, min(MOST, len(split) // FEW), EACH * len(np.unique(split.labels)))
    while 2 * size <= len(split) and (size <= MOST or not found):
        found.append(size)
        size *= 2
    return found


def rungs(split: Split, seed: int) -> Iterator[np.ndarray]:
    """Positions of each rung's rows, ascending; those of one rung are among those of the next.

    Groups are whole. They stand in a seeded queue in which every class has its share of any beginning, but `EACH` of
    each class come first.
    """
    random = np.random.default_rng(seed)
    _, first, groups = np.unique(split.groups, return_index=True, return_inverse=True)
    places = np.empty(len(first))
    for label in np.unique(split.labels[first]):
        own = random.permutation(np.flatnonzero(split.labels[first] == label))
        places[own] = np.where(np.arange(len(own)) < EACH, -1.0, (np.arange(len(own)) + 0.5) / len(own))
    order = np.argsort(places, kind="stable")
    held = np.cumsum(np.bincount(groups)[order])
    for size in sizes(split):
        chosen = order[: np.searchsorted(held, size) + 1]
        yield np.flatnonzero(np.isin(groups, chosen))


Extract = Callable[[Material], Mapping[str, ModelCost]]
"""Extracts what a material misses, and gives what its models cost."""


@dataclass(frozen=True)
class Earning:
    """Finds out what of each model is worth its extraction."""

    journal: Journal
    request: SearchRequest
    material: Material
    progress: Progress

    def run(self, extract: Extract) -> None:
        """Rung by rung, until what is left should be extracted whole; what is in the journal is not decided again."""
        split, space = self.material.dataset.train, self.request.space
        if self.journal.note(NOTE) is None:
            self.journal.keep(NOTE, {"of": len(split), "keep": list(self.request.keep or ())})
        known = lazy(self.journal)
        assert known is not None
        deepest = {name: space.sources.layers(name, model.layers)[1] for name, model in self.material.models.items()}
        for number, rows in enumerate(rungs(split, self.request.protocol.seed)):
            if number < len(known.rungs):
                deepest = known.rungs[number].deepest
                continue
            material = self.material.within(deepest)
            costs = extract(material.of_train(rows.tolist()))
            with torch_threads(1):
                rung = self._judged(material, rows, costs)
            self.journal.keep(f"{NOTE}.{number}", rung.model_dump(mode="json"))
            for drop in rung.drops:
                self.progress.say(str(drop))
            deepest = rung.deepest

    def _judged(self, material: Material, rows: np.ndarray, costs: Mapping[str, ModelCost]) -> Rung:
        split = material.dataset.train
        features, locate = material.features(rows.tolist(), self.progress), material.locate
        judge = Judge(self.request, material.models, costs, material.dataset.labels, self.progress)
        return judge.rung(
            lambda source: features.train(locate(source)), split.labels[rows], split.groups[rows], material.deepest
        )


@dataclass(frozen=True)
class Judge:
    """Decides what of each model is needed, from the states of few rows.

    Attributes:
        request: Of the study.
        shapes: Of the models.
        costs: Of the models.
        labels: The label list.
        progress: Told how far it is.
    """

    request: SearchRequest
    shapes: Shapes
    costs: Mapping[str, ModelCost]
    labels: tuple[str, ...]
    progress: Progress

    def rung(
        self, read: Callable[[Source], "torch.Tensor"], truth: np.ndarray, groups: np.ndarray, deepest: Reach
    ) -> Rung:
        """What is decided on rows of which `read` gives the features, where models go no deeper than `deepest`."""
        request, shapes = self.request, {name: self.shapes[name] for name in deepest}
        space = narrowed(request, deepest).space
        growth, values = Growth(space, shapes, self.costs, within(request, self.costs)), Values(truth)
        found: dict[Candidate, np.ndarray] = {}
        by = space.objectives.single
        # in folds, however few rows: a fixed split would leave most of them without a value
        protocol = request.protocol.model_copy(update={"validation_above": len(truth)})

        def told(candidate: Candidate, scores: np.ndarray) -> None:
            found[candidate] = values.of(scores)

        score, judged = (
            scoring_of(read, truth, groups, self.labels, protocol, by, told, request.dataset.task),
            list[Judged](),
        )
        with self.progress.task(f"judge models on {len(truth)} rows", growth.most, "representations") as task:

            def judging(candidate: Candidate) -> Seen | None:
                seen = score(candidate)
                task.advance()
                if seen is not None:
                    judged.append(Judged(candidate.sources, growth.cost(seen), found[candidate]))
                return seen

            growth.run(judging)
        reach, least = growth.reach, space.sources.at_least
        if not judged or len(reach) < least:
            # nothing is known, or nothing is within the limits: all stays, and the search says so
            return Rung(rows=len(truth), representations=len(judged), hypervolume=0.0, deepest=dict(deepest))
        judgement = Judgement(judged, groups)
        dropped = cuts(
            judgement,
            reach,
            {name: cost.layer_ms for name, cost in self.costs.items()},
            keep=request.keep or (),
            shallowest={name: space.sources.layers(name, shape.layers)[0] for name, shape in shapes.items()},
            least=least,
        )
        drops = tuple(Drop.of(cut, len(truth)) for cut in chain(self._beyond(deepest, reach), dropped))
        left = dict(deepest)
        for drop in drops:
            if drop.deepest is None:
                del left[drop.model]
            else:
                left[drop.model] = drop.deepest
        return Rung(
            rows=len(truth),
            representations=len(judged),
            hypervolume=judgement.hypervolume,
            deepest=left,
            drops=drops,
        )

    def _beyond(self, deepest: Reach, reach: Reach) -> Iterator[Cut]:
        """Cuts of what no candidate within the limits has: they lose nothing."""
        for model, before in deepest.items():
            after = reach.get(model)
            if after != before and model not in (self.request.keep or ()):
                ms = self.costs[model].layer_ms
                yield Cut(model, before, after, ms[before] - (0.0 if after is None else ms[after]), Loss(0.0, 0.0))


class Values:
    """What a representation is worth on each row of a rung.

    That is by how much its squared error is less than that of knowing only how frequent classes are. Rows weigh by
    their class, as in screening.
    """

    def __init__(self, truth: np.ndarray) -> None:
        import torch

        from bench.heads.weights import class_weights

        self._weights = class_weights(torch.from_numpy(truth), "sqrt").numpy()
        self._truth = np.eye(truth.max() + 1)[truth]
        self._nothing = ((self._truth - (self._weights[:, None] * self._truth).mean(0)) ** 2).sum(1)

    def of(self, scores: np.ndarray) -> np.ndarray:
        """Of estimates [repetitions, rows, classes]: [rows]."""
        errors = ((scores[..., : self._truth.shape[1]] - self._truth) ** 2).sum(-1).mean(0)
        return np.asarray(self._weights * (self._nothing - errors))


def narrowed(request: SearchRequest, deepest: Mapping[str, int]) -> SearchRequest:
    """A request whose space goes no deeper."""
    sources = request.space.sources.model_copy(update={"deepest": dict(deepest)})
    return request.model_copy(update={"space": request.space.model_copy(update={"sources": sources})})


def reduced(request: SearchRequest, material: Material, journal: Journal) -> tuple[SearchRequest, Material]:
    """A study's request and material without what its lazy extraction has dropped."""
    found = lazy(journal)
    if found is None or (deepest := found.deepest) is None:
        return request, material
    return narrowed(request, deepest), material.within(deepest)
