"""What studies would do, before they do it."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.files import existing_parent
from bench.models.scratch import scratch
from bench.progress import Progress
from bench.reproduce.evaluations import Evaluations, stand_in
from bench.reproduce.prepare import PreparedDataset, ReproductionRequest, prepare
from bench.reproduce.questions import Question
from bench.reproduce.study import PaperStudy
from bench.specs import MLP, Candidate
from bench.store import Store
from bench.study.plan import PlannedModel, matrix_peak, planned_models

TRAINING_EFFICIENCY = 0.5
"""The share of the matrix-product peak that head training has been seen to reach."""
LOGISTIC_PASSES = 1500
"""Passes over the rows, for every class, that a tuned logistic regression has been seen to take in all its fits."""


@dataclass(frozen=True)
class PlannedStudy:
    """How many evaluations a study asks for, how many are known already, and a rough time for the others.

    What a later step asks for may depend on scores that are not known yet: then others of the same number stand in.
    """

    study: str
    evaluations: int
    known: int
    seconds: float


@dataclass(frozen=True)
class ReproductionPlan:
    """The work ahead on one data set; studies share evaluations, so that `together` is less than their sum."""

    dataset: str
    train_rows: int
    test_rows: int
    studies: tuple[PlannedStudy, ...]
    together: PlannedStudy
    models: tuple[PlannedModel, ...]
    absent: Mapping[str, str]
    free_bytes: int

    def to_json(self) -> list[dict[str, Any]]:
        """One object a study."""
        shared = {name: value for name, value in asdict(self).items() if name not in {"studies", "together"}}
        return [asdict(study) | shared for study in self.studies]


def dry_run(request: ReproductionRequest, store: Store, progress: Progress) -> list[ReproductionPlan]:
    """What the studies would do; nothing is fetched, and what resolving models leaves is deleted."""
    with scratch(store.home) as folder:
        return [plan(each, progress) for each in prepare(request, store, progress, scratch=folder)]


def plan(prepared: PreparedDataset, progress: Progress) -> ReproductionPlan:
    """Look, estimate, write nothing."""
    material = prepared.material
    peak = matrix_peak(material.settings.dtype)
    evaluations = Evaluations(material, prepared.setup, progress)
    shared: dict[Question, float | None] = {}
    studies = tuple(_planned(study, prepared, evaluations, peak, shared) for study in prepared.request.studies)
    return ReproductionPlan(
        dataset=material.dataset.title,
        train_rows=len(material.dataset.train),
        test_rows=len(material.dataset.test),
        studies=studies,
        together=_summed("together", shared),
        models=planned_models(material) if any(each.states for each in prepared.request.studies) else (),
        absent={model.name: model.reason for model in material.absent},
        free_bytes=shutil.disk_usage(existing_parent(material.store.home)).free,
    )


def _planned(
    study: PaperStudy,
    prepared: PreparedDataset,
    evaluations: Evaluations,
    peak: float,
    shared: dict[Question, float | None],
) -> PlannedStudy:
    """Also enters the study's asks in `shared`: the seconds that each takes, None where it is known."""
    steps = study.steps(prepared.setup)
    asks = next(steps)
    mine: dict[Question, float | None] = {}
    for step in range(study.stages):
        found = {ask: evaluations.known(ask) for ask in dict.fromkeys(asks)}
        for ask, scored in found.items():
            mine[ask] = None if scored else _flops(ask, prepared) / (peak * TRAINING_EFFICIENCY)
        if step < study.stages - 1:
            asks = steps.send({ask: scored or stand_in(ask) for ask, scored in found.items()})
    steps.close()
    shared |= mine
    return _summed(study.name, mine)


def _summed(name: str, asks: Mapping[Question, float | None]) -> PlannedStudy:
    left = [seconds for seconds in asks.values() if seconds is not None]
    return PlannedStudy(name, len(asks), len(asks) - len(left), sum(left))


def _flops(ask: Question, prepared: PreparedDataset) -> float:
    """Operations: an epoch is two products forward and one backward, a fit of logistic regression many passes."""
    if not isinstance(ask.subject, Candidate):
        return 0.0
    width = sum(prepared.setup.shapes[source.model].width for source in ask.subject.sources)
    rows, classes = len(ask.data.train), len(ask.data.labels)
    protocol = prepared.setup.protocol
    single = ask.phase == "confirm" or protocol.uses_validation_split(rows)
    passes = len(ask.seeds) * (1 if single else protocol.folds - 1)
    if isinstance(ask.subject.head, MLP):
        return passes * rows * ask.subject.head.epochs * 6.0 * width * ask.subject.head.hidden
    axes = min(rows, width)
    return passes * 4.0 * rows * axes * (LOGISTIC_PASSES * classes / 10 + axes)
