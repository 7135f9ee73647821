"""A search from request to study: extract, measure the cost, screen, try candidates, confirm the front, write down."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.cost import Costs, ModelCost
from bench.errors import BenchError
from bench.evaluation.ask import Ask
from bench.evaluation.outcome import Outcome
from bench.evaluation.scoring import Scorer
from bench.executors.base import Executor, Place, open_executor
from bench.executors.settings import Workers
from bench.extraction import check_disk
from bench.material import Material
from bench.preparation import Clock, extract_and_measure
from bench.progress import Progress
from bench.specs import TextCandidate
from bench.study import lazy, placing, rungs, screen, selection
from bench.study.baselines import Baselining, all_costs, outdated, taken
from bench.study.cascades import forget, why_not
from bench.study.choosing import Choosing
from bench.study.confirm import Confirmation
from bench.study.journal import Journal, opened
from bench.study.logbook import Logbook
from bench.study.outside import read as read_outside
from bench.study.prepared import Prepared
from bench.study.rescoring import rescore
from bench.study.settings import SearchRequest
from bench.study.study import Session, Study
from bench.study.trials import Trials
from bench.study.unlabelled import reader
from bench.study.varying import varying
from bench.study.writing import tracked
from bench.tasks import TASKS
from bench.tracking import Tolerant, Tracker

PHASES = ("extract", "cost", "screen", "search", "cascade", "confirm")
OPTIONAL = {"screen", "cascade"}
"""Phases that not every study has."""


def search(
    prepared: Prepared, home: Path, tracker: Tracker, progress: Progress, *, student: TextCandidate | None = None
) -> Study:
    """Run (or go on with) a study until the wanted number of distinct candidates is tried, then confirm the front.

    A kill at any moment loses at most the trial in flight: the same call goes on. Where there is a `student`, no more
    candidates are tried: it is taught, and stands beside those that were.

    Raises:
        BenchError: the study was made with other settings or is open elsewhere, or something fails on the way.
    """
    # from here on it is known in which waves it goes and whether models earn their extraction, and stays so
    settled = {"lazy": prepared.settings.lazy, "wave": prepared.settings.wave}
    request = prepared.request.model_copy(update=settled)
    prepared = replace(prepared, request=request)
    deadline = None if request.time_budget is None else time.monotonic() + request.time_budget
    prepared = replace(prepared, material=replace(prepared.material, unlabelled=reader(home)))
    material = prepared.material
    if not prepared.settings.lazy:
        check_disk(material.needs, material.store)
    tracking = Tolerant(tracker, progress)
    with opened(home, prepared.study, prepared.settings, progress.warn) as journal:
        if student is None:
            # what `reopen` needs to find the study's material again
            journal.keep("request", request.model_dump(mode="json"))
        placing.keep(journal, material.dataset, request.protocol)
        with (
            tracking.opened(tracked(prepared.study, journal, request, material)) as parent,
            extracting(request, material.store.home, progress) as executor,
        ):
            return _run(prepared, home, journal, tracking, parent, progress, deadline, executor, student)


def _run(
    prepared: Prepared,
    home: Path,
    journal: Journal,
    tracker: Tolerant,
    parent: str | None,
    progress: Progress,
    deadline: float | None,
    extractor: Executor | None,
    student: TextCandidate | None,
) -> Study:
    request, material, clock = prepared.request, prepared.material, Clock()
    wanted = request.trials if student is None else journal.tried
    against = () if student is not None else request.against or ()
    outside = read_outside(against, material.dataset, taken(TASKS[material.dataset.task]))

    def extracted(material: Material) -> dict[str, ModelCost]:
        return extract_and_measure(
            material,
            request.protocol.seed,
            kept_costs(journal),
            lambda costs: journal.keep("costs", {name: cost.model_dump(mode="json") for name, cost in costs.items()}),
            progress,
            clock,
            extractor,
        )

    if prepared.settings.lazy:
        lazy.Earning(journal, request, material, progress).run(extracted)
        request, material = lazy.reduced(request, material, journal)
    costs = extracted(material)
    scorer = material.scorer(request.protocol, progress)
    rescore(journal, scorer, request.space.objectives, progress)
    log = Logbook(tracker, journal, material.dataset, request.protocol, progress)
    log.check_end()
    closed = log.closed_at()
    log.catch_up(scorer)
    shapes = varying(journal, scorer, request.space.sources, material.models, progress)
    table = None
    if screen.wanted(request, material.dataset.task):
        with clock.phase("screen"):
            table = screen.Screener(journal, scorer, request, shapes, costs, progress).run(deadline)
    with (
        _executor(prepared, extractor, scorer.evaluator.answer) as executor,
        clock.phase("search"),
        progress.task("search", wanted, "candidates", min(journal.tried, wanted)) as task,
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
            wave=prepared.settings.wave,
        )
        stopped = trials.run(wanted, task, deadline)
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
        if outdated(journal):  # what was made of them goes first: whoever is killed then finds none of it
            forget(journal)
            selection.forget(journal)
        Baselining(scorer, material.models, costs, objectives, limits, progress, deepest).run(journal, outside, student)
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
    untracked = log.study(study, closed)
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
def extracting(request: Workers, home: Path, progress: Progress) -> Iterator[Executor | None]:
    """Who fills the store under `home`, where that are workers who can train as well; None where it is this process.

    Raises:
        BenchError: there are no such workers.
    """
    if request.executor != "ray":
        yield None
        return
    place = Place(home, ("cpu",) * request.workers, address=request.ray_address, warn=progress.warn)
    with open_executor("ray", place) as executor:
        yield executor


@contextmanager
def _executor(prepared: Prepared, extractor: Executor | None, answer: Callable[[Ask], Outcome]) -> Iterator[Executor]:
    """Who trains the candidates of a wave: those who extracted, or others."""
    request = prepared.request
    name = request.executor or ("inline" if request.workers == 1 else "processes")
    with shared_threads(prepared.settings.wave) as threads:
        if extractor is not None:
            yield extractor
            return
        place = Place(prepared.material.store.home, ("cpu",) * request.workers, threads, answer)
        with open_executor(name, place) as executor:
            yield executor


@contextmanager
def shared_threads(wave: int) -> Iterator[int]:
    """Torch's threads for each candidate of a wave, set for this process and to be set for every worker.

    How the terms of a product are summed depends on them, so that they must follow from the study, not the workers.
    """
    import torch

    from bench.threads import torch_threads

    each = max(1, torch.get_num_threads() // wave)
    with torch_threads(each):
        yield each


def kept_costs(journal: Journal) -> dict[str, ModelCost]:
    """What the study's models were measured to cost."""
    return {name: ModelCost.model_validate(cost) for name, cost in (journal.note("costs") or {}).items()}
