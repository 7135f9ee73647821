"""A search from request to result: extract, measure the cost, try candidates, confirm the front, write it all down."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.backends.base import backend as backend_module
from bench.cost import ModelCost, measure
from bench.datasets.checks import check_folds
from bench.datasets.dataset import Dataset
from bench.datasets.load import load
from bench.errors import BenchError
from bench.evaluation.cache import EvaluationCache
from bench.evaluation.evaluator import Evaluator
from bench.evaluation.features import Features
from bench.extraction import Need, all_devices, check_disk, extract, heal, survey, truncated
from bench.models.resolve import ResolvedModel
from bench.progress import Progress
from bench.search.confirm import Confirmation, Entry
from bench.search.journal import Journal, check_name, opened
from bench.search.logbook import Logbook
from bench.search.models import Absent, select
from bench.search.result import SearchResult
from bench.search.settings import SearchRequest, StudySettings
from bench.search.trials import Trials
from bench.specs import ExtractionSettings
from bench.store import Store
from bench.tracking import Tracker


@dataclass(frozen=True)
class Prepared:
    """A search that could begin: data, models, and what is still to be extracted."""

    request: SearchRequest
    settings: ExtractionSettings
    dataset: Dataset
    models: Mapping[str, ResolvedModel]
    absent: tuple[Absent, ...]
    needs: tuple[Need, ...]
    study_settings: StudySettings
    study: str
    store: Store
    warnings: tuple[str, ...]

    @property
    def texts(self) -> list[str]:
        """Training texts, then test texts."""
        return [*self.dataset.train.texts, *self.dataset.test.texts]


def prepare(request: SearchRequest, store: Store, progress: Progress) -> Prepared:
    """Load the data, resolve the models and look up what is stored. Writes nothing.

    Raises:
        BenchError: data or models cannot be had, or the request contradicts itself.
    """
    if request.study is not None:
        check_name(request.study)
    settings = backend_module(request.extraction.backend).resolve_settings(request.extraction)
    dataset = load(request.dataset)
    warnings = (*dataset.warnings, *check_folds(dataset, request.protocol.folds))
    for warning in warnings:
        progress.say(f"warning: {warning}")
    selection = select(
        request.models or request.space.sources.models, settings, progress, named=request.models is not None
    )
    models = {model.name: model for model in selection.models}
    texts = [*dataset.train.texts, *dataset.test.texts]
    needs = tuple(survey(model, settings, texts, store) for model in selection.models)
    study_settings = StudySettings(
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        models={need.model.name: dict(need.shelf.identity) for need in needs},
        space=request.space.model_copy(update={"description": ""}),  # words about a space change no number
        protocol=request.protocol,
        constraints=request.constraints,
    )
    name = _default_name(request, study_settings) if request.study is None else request.study
    return Prepared(request, settings, dataset, models, selection.absent, needs, study_settings, name, store, warnings)


def _default_name(request: SearchRequest, settings: StudySettings) -> str:
    """The same command finds its study again; a changed one begins another."""
    name = Path(request.dataset.name).stem.replace("/", "-") or "study"
    return f"{name}-{request.space_name}-{settings.fingerprint()[:8]}"


@dataclass
class Clock:
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of the block to a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def search(prepared: Prepared, home: Path, tracker: Tracker, progress: Progress) -> SearchResult:
    """Run (or go on with) a study until the wanted number of distinct candidates is scored, then confirm the front.

    A kill at any moment loses at most the trial in flight: the same call goes on.

    Raises:
        BenchError: the study was made with other settings or is open elsewhere, or something fails on the way.
    """
    request = prepared.request
    deadline = None if request.time_budget is None else time.monotonic() + request.time_budget
    check_disk(prepared.needs, prepared.store)
    with opened(home, prepared.study, prepared.study_settings) as journal:
        parent = tracker.open(prepared.dataset.name, prepared.study, _params(prepared))
        try:
            return _run(prepared, journal, tracker, parent, progress, deadline)
        except BaseException:
            # Ctrl-C included: a run that nobody works on must not look as if somebody did
            with suppress(Exception):
                tracker.close({}, {}, "KILLED")
            raise


def _run(
    prepared: Prepared,
    journal: Journal,
    tracker: Tracker,
    parent: str | None,
    progress: Progress,
    deadline: float | None,
) -> SearchResult:
    request, clock = prepared.request, Clock()
    costs = _extract_and_measure(prepared, journal, progress, clock)
    evaluator = _evaluator(prepared, progress)
    log = Logbook(tracker, prepared.dataset, request.protocol)
    trials = Trials(
        journal=journal,
        evaluator=evaluator,
        space=request.space,
        shapes=prepared.models,
        costs=costs,
        constraints=request.constraints,
        seed=request.protocol.seed,
        log=log.trial,
    )
    log.catch_up(journal, evaluator)
    done = len(journal.of("complete"))
    with clock.phase("search"), progress.task("search", request.trials, "candidates") as task:
        task.advance(min(done, request.trials))
        stopped = trials.run(request.trials, task, deadline)
    if not journal.of("complete"):
        cheapest = min(cost.layer_ms[0] for cost in costs.values())
        raise BenchError(
            f"No candidate could be scored: {stopped}. The limits are {request.constraints}, and the "
            f"cheapest layer costs {cheapest:.2f} ms a text. "
            "Raise --max-latency-ms or --max-memory-gb, or give other --models."
        )
    with clock.phase("confirm"):
        confirmation = Confirmation(evaluator, prepared.models, costs, request.space.objectives, progress)
        front, baselines = confirmation.run(journal)
    result = _result(prepared, journal, trials, front, baselines, clock, stopped)
    result = replace(result, tracking_uri=tracker.uri, parent_run_id=parent)
    log.study(result, journal, costs, request, [need.shelf.identity for need in prepared.needs])
    return result


def _extract_and_measure(
    prepared: Prepared, journal: Journal, progress: Progress, clock: Clock
) -> dict[str, ModelCost]:
    """Fill the store and time each model, one after the other, so that only one is in memory at a time."""
    kept = journal.note("costs") or {}
    costs = {name: ModelCost.model_validate(cost) for name, cost in kept.items()}
    texts = prepared.texts
    for need in prepared.needs:
        name = need.model.name
        devices = all_devices(prepared.settings)
        shared = len(devices) > 1
        if shared:
            with clock.phase("extract"):
                extract(need, prepared.settings, texts, progress)
        if name in costs and (shared or not need.missing):
            continue
        with clock.phase("extract"):
            progress.say(f"load {name}")
            settings = prepared.settings.model_copy(update={"device": devices[0]})
            backend = backend_module(settings.backend).open(need.model, settings)
        try:
            if name not in costs:
                with clock.phase("cost"):
                    costs[name] = measure(backend, prepared.dataset.train.texts, seed=prepared.request.protocol.seed)
                journal.keep("costs", {known: cost.model_dump(mode="json") for known, cost in costs.items()})
            if not shared:
                with clock.phase("extract"):
                    extract(need, prepared.settings, texts, progress, backend=backend)
        finally:
            backend.close()
    return costs


def _evaluator(prepared: Prepared, progress: Progress) -> Evaluator:
    needs = {need.model.name: need for need in prepared.needs}
    dataset, store = prepared.dataset, prepared.store

    features = Features(
        dataset.train.texts,
        dataset.test.texts,
        {name: need.shelf for name, need in needs.items()},
        lambda name: heal(needs[name], prepared.settings, prepared.texts, progress),
    )
    return Evaluator(dataset, prepared.request.protocol, features, EvaluationCache(store.home))


def _params(prepared: Prepared) -> dict[str, str | int | float]:
    request = prepared.request
    return {
        "dataset": prepared.dataset.name,
        "dataset_fingerprint": prepared.dataset.fingerprint,
        "train_rows": len(prepared.dataset.train),
        "test_rows": len(prepared.dataset.test),
        "models": ", ".join(prepared.models),
        "space": request.space_name,
        "sampler": request.space.sampler.name,
        "protocol": request.protocol.name,
        "folds": request.protocol.folds,
        "repetitions": request.protocol.repetitions,
        "seed": request.protocol.seed,
        "backend": prepared.settings.backend,
        "device": prepared.settings.device,
        "dtype": prepared.settings.dtype,
        "max_length": prepared.settings.max_length,
    }


def _result(
    prepared: Prepared,
    journal: Journal,
    trials: Trials,
    front: list[Entry],
    baselines: list[Entry],
    clock: Clock,
    stopped: str | None,
) -> SearchResult:
    dataset, request = prepared.dataset, prepared.request
    stats = dataset.stats
    states: dict[str, Any] = {
        "requested": request.trials,
        "complete": len(journal.of("complete")),
        "distinct": len({record.candidate.fingerprint() for record in journal.of("complete")}),
        "pruned": len(journal.of("pruned")),
        "failed": journal.failed(),
        "infeasible": len(journal.of("infeasible")),
        "repeats": len(journal.of("repeat")),
        "exhausted": trials.exhausted,
    }
    seconds = {phase: clock.seconds.get(phase, 0.0) for phase in ("extract", "cost", "search", "confirm")}
    return SearchResult(
        study=prepared.study,
        dataset={
            "name": dataset.name,
            "rows": {"train": stats.train, "test": stats.test},
            "classes": stats.classes,
            "fingerprint": dataset.fingerprint,
            "source": dataset.source.model_dump(mode="json"),
        },
        protocol=request.protocol.describe(len(dataset.train)),
        trials=states,
        objectives={
            "maximize": request.space.objectives.maximize,
            "minimize": request.space.objectives.minimize,
        },
        front=front,
        baselines=baselines,
        seconds=seconds,
        tracking_uri="",
        parent_run_id=None,
        absent=prepared.absent,
        truncated={need.model.name: truncated(need, prepared.texts) for need in prepared.needs},
        warnings=prepared.warnings,
        optimistic=request.protocol.name == "paper",
        stopped=stopped,
    )
