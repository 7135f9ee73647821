"""A search from request to study: extract, measure the cost, screen, try candidates, confirm the front, write down."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.cost import Costs, ModelCost
from bench.datasets.sides import Sides
from bench.errors import BenchError
from bench.evaluation.ask import Ask
from bench.evaluation.outcome import Outcome
from bench.evaluation.scoring import Scorer
from bench.executors.base import Executor, Place, open_executor
from bench.extraction import check_disk
from bench.foreign import foreign_parts
from bench.heads.kinds import check_serves
from bench.material import Material, gather
from bench.measures import check_classes
from bench.preparation import Clock, extract_and_measure
from bench.progress import Progress
from bench.space.schema import Cascades
from bench.store import Store
from bench.study import lazy, placing, rungs, screen, selection
from bench.study.baselines import Baselining, all_costs, taken
from bench.study.cascades import forget, why_not
from bench.study.choosing import Choosing
from bench.study.confirm import Confirmation
from bench.study.journal import Journal, check_name, opened
from bench.study.logbook import Logbook
from bench.study.outside import read as read_outside
from bench.study.rescoring import rescore
from bench.study.settings import SearchRequest, StudySettings
from bench.study.study import Session, Study, tracked
from bench.study.trials import Trials
from bench.study.varying import varying
from bench.tasks import TASKS
from bench.tracking import Tolerant, Tracker
from bench.wanted import Wanted

PHASES = ("extract", "cost", "screen", "search", "cascade", "confirm")
OPTIONAL = {"screen", "cascade"}
"""Phases that not every study has."""


@dataclass(frozen=True)
class Prepared:
    """A search that could begin."""

    request: SearchRequest
    material: Material
    settings: StudySettings
    study: str

    def as_lazy(self, lazily: bool) -> "Prepared":
        """The same search with lazy extraction, or without."""
        keep = tuple(self.request.keep or ()) if lazily else ()
        settings = self.settings.model_copy(update={"lazy": lazily, "keep": keep})
        name = default_name(self.request, settings) if self.request.study is None else self.request.study
        return replace(self, settings=settings, study=name)


def prepare(
    request: SearchRequest,
    store: Store,
    progress: Progress,
    *,
    scratch: Path | None = None,
    recorded: Mapping[str, Mapping[str, Any]] | None = None,
    kept: Mapping[str, Mapping[str, Any]] | None = None,
    placed: Sides | None = None,
) -> Prepared:
    """Load the data, resolve the models and look up what is stored. Extracts nothing.

    For a `scratch` folder, which makes it a dry run, identities that were `recorded` or `kept`, and the sides on which
    rows were `placed`, see `bench.wanted.Wanted`.

    Raises:
        BenchError: data or models cannot be had, rows are gone, or the request contradicts itself.
    """
    if request.study is not None:
        check_name(request.study)
    _check_workers(request)
    models = request.models or request.space.sources.models
    named = request.models is not None
    wanted = Wanted(
        request.dataset,
        models,
        request.extraction,
        named=named,
        scratch=scratch,
        recorded=recorded,
        kept=kept,
        poolings=request.space.sources.pooling,
        placed=placed,
    )
    material = gather(wanted, request.protocol.folds, store, progress)
    placing.tell(material.dataset, progress)
    for model in material.models.values():
        if model.own_pooling not in (None, *request.space.sources.pooling):
            progress.warn(
                f"the authors of {model.name} pool by '{model.own_pooling}', which is none of the space's poolings "
                f"({', '.join(request.space.sources.pooling)}): take a space that has it."
            )
    for kind in request.space.head.kinds:
        check_serves(kind, request.dataset.task)
    if (searched := request.space.objectives).task != request.dataset.task:
        known = ", ".join(TASKS[request.dataset.task].measures)
        raise BenchError(
            f"The objectives {', '.join(searched.names)} are for {searched.task}, and the labels are for "
            f"{request.dataset.task}: take a space whose objectives are of {known}."
        )
    check_classes(request.space.objectives.each, material.dataset.labels)
    lazy.check(request, material.dataset.task, tuple(material.models))
    settings = StudySettings(
        dataset=material.dataset.name,
        dataset_fingerprint=material.dataset.fingerprint,
        models=material.identities,
        # what changes no number of a trial tells no study from another
        space=request.space.model_copy(update={"description": "", "cascade": Cascades()}),
        protocol=request.protocol,
        constraints=request.constraints,
        wave=request.wave,
        plugins=foreign_parts(request.space.fusion.operators, request.space.head.kinds, request.space.sources.pooling),
    )
    prepared = Prepared(request, material, settings, "")
    return prepared.as_lazy(request.lazy is True)


def _check_workers(request: SearchRequest) -> None:
    """Workers that could have nothing to do are refused: who asks for them expects them to help."""
    if request.workers > request.wave:
        raise BenchError(
            f"Workers share the candidates of a wave, and {request.workers} have nothing to share in waves of "
            f"{request.wave}: set wave to {request.workers} or more (which makes another study), or take fewer workers."
        )
    if request.workers > 1 and request.executor == "inline":
        raise BenchError("The executor 'inline' is one worker: take another, or set workers to 1.")


def default_name(request: SearchRequest, settings: StudySettings) -> str:
    """The same command finds its study again; a changed one begins another. A file may be called as no study can."""
    stem = Path(request.dataset.name).stem.replace("/", "-")
    name = re.sub(r"\s*[^\w .,=@+-]+\s*", "_", stem).strip("_ ") or "study"
    return f"{name}-{request.space_name}-{settings.fingerprint()[:8]}"


def search(prepared: Prepared, home: Path, tracker: Tracker, progress: Progress) -> Study:
    """Run (or go on with) a study until the wanted number of distinct candidates is tried, then confirm the front.

    A kill at any moment loses at most the trial in flight: the same call goes on.

    Raises:
        BenchError: the study was made with other settings or is open elsewhere, or something fails on the way.
    """
    # from here on it is known whether models earn their extraction, and stays so when the study is opened again
    request = prepared.request.model_copy(update={"lazy": prepared.settings.lazy})
    prepared = replace(prepared, request=request)
    deadline = None if request.time_budget is None else time.monotonic() + request.time_budget
    material = prepared.material
    if not prepared.settings.lazy:
        check_disk(material.needs, material.store)
    tracking = Tolerant(tracker, progress)
    with opened(home, prepared.study, prepared.settings, progress.warn) as journal:
        # what `reopen` needs to find the study's material again
        journal.keep("request", request.model_dump(mode="json"))
        placing.keep(journal, material.dataset, request.protocol)
        with tracking.opened(tracked(prepared.study, journal, request, material)) as parent:
            return _run(prepared, home, journal, tracking, parent, progress, deadline)


def _run(
    prepared: Prepared,
    home: Path,
    journal: Journal,
    tracker: Tolerant,
    parent: str | None,
    progress: Progress,
    deadline: float | None,
) -> Study:
    request, material, clock = prepared.request, prepared.material, Clock()
    outside = read_outside(request.against or (), material.dataset, taken(TASKS[material.dataset.task]))

    def extracted(material: Material) -> dict[str, ModelCost]:
        return extract_and_measure(
            material,
            request.protocol.seed,
            kept_costs(journal),
            lambda costs: journal.keep("costs", {name: cost.model_dump(mode="json") for name, cost in costs.items()}),
            progress,
            clock,
        )

    if prepared.settings.lazy:
        lazy.Earning(journal, request, material, progress).run(extracted)
        request, material = lazy.reduced(request, material, journal)
    costs = extracted(material)
    scorer = material.scorer(request.protocol, progress)
    rescore(journal, scorer, request.space.objectives, progress)
    log = Logbook(tracker, journal, material.dataset, request.protocol, progress)
    log.check_end()
    log.catch_up(scorer)
    shapes = varying(journal, scorer, request.space.sources, material.models, progress)
    table = None
    if screen.wanted(request, material.dataset.task):
        with clock.phase("screen"), screen.one_thread():
            table = screen.Screener(journal, scorer, request, shapes, costs, progress).run(deadline)
    with (
        _executor(request, material.store.home, scorer.evaluator.answer) as executor,
        clock.phase("search"),
        progress.task("search", request.trials, "candidates", min(journal.tried, request.trials)) as task,
    ):
        trials = Trials(
            journal=journal,
            scorer=scorer,
            space=request.space,
            shapes=shapes,
            costs=costs,
            constraints=request.constraints,
            seed=request.protocol.seed,
            log=log.trial,
            rungs=rungs.of_study(request.space, shapes, costs, table),
            executor=executor,
            progress=progress,
            wave=request.wave,
        )
        stopped = trials.run(request.trials, task, deadline)
    if not journal.of("complete"):
        cheapest = min(cost.layer_ms[0] for cost in costs.values())
        raise BenchError(
            f"No candidate could be scored: {stopped}. The limits are {request.constraints}, and the "
            f"cheapest layer costs {cheapest:.2f} ms a text. "
            "Raise `max_latency_ms` or `max_memory_gb`, or give other `models`."
        )
    if tracker.missing is not None:
        log.catch_up(scorer)
    objectives, limits, deepest = request.space.objectives, request.constraints, material.deepest
    with clock.phase("search"):
        Baselining(scorer, material.models, costs, objectives, limits, progress, deepest).run(journal, outside)
    priced = all_costs(journal, costs)
    if request.space.cascade.enabled:
        with clock.phase("cascade"):
            _choose_cascades(request, journal, scorer, material, priced, progress)
    else:
        forget(journal)
    with clock.phase("confirm"):
        confirmation = Confirmation(scorer, material.models, priced, objectives, progress, deepest)
        found = confirmation.run(journal)
        selection.keep(journal, scorer, objectives)
    shown = [phase for phase in PHASES if phase in clock.seconds or phase not in OPTIONAL]
    seconds = {phase: clock.seconds.get(phase, 0.0) for phase in shown}
    session = Session(seconds, stopped, trials.exhausted, tracker.uri, parent)
    asked = as_searched(request, prepared.study, material.models)
    study = Study(prepared.study, asked, journal, material, costs, scorer, *found, session=session, home=home)
    untracked = log.study(study)
    return study.closed(replace(session, untracked=untracked))


def _choose_cascades(
    request: SearchRequest,
    journal: Journal,
    scorer: Scorer,
    material: Material,
    costs: Costs,
    progress: Progress,
) -> None:
    """Put cascades of what was scored beside the front, or say why there are none."""
    if (reason := why_not(request, material.dataset.task)) is not None:
        progress.say(f"no cascades: {reason}")
        return
    space = request.space
    found = Choosing(scorer, costs, space.objectives, space.cascade, request.constraints, material.resumable, progress)
    found.run(journal)


def as_searched(request: SearchRequest, study: str, models: Iterable[str]) -> SearchRequest:
    """A request that names its study, and the models that took part."""
    return request.model_copy(update={"study": study, "models": tuple(models)})


@contextmanager
def _executor(request: SearchRequest, home: Path, answer: Callable[[Ask], Outcome]) -> Iterator[Executor]:
    """Who trains the candidates of a wave."""
    name = request.executor or ("inline" if request.workers == 1 else "processes")
    with shared_threads(request.wave) as threads:
        place = Place(home, ("cpu",) * request.workers, threads, answer)
        with open_executor(name, place) as executor:
            yield executor


@contextmanager
def shared_threads(wave: int) -> Iterator[int]:
    """Torch's threads for each candidate of a wave, set for this process and to be set for every worker.

    How the terms of a product are summed depends on them, so that they must follow from the study, not the workers.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // wave))
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def kept_costs(journal: Journal) -> dict[str, ModelCost]:
    """What the study's models were measured to cost."""
    return {name: ModelCost.model_validate(cost) for name, cost in (journal.note("costs") or {}).items()}
