"""What a search would do, before it does it."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.backends.layout import computed
from bench.errors import BenchError
from bench.evaluation.limits import in_words, limits
from bench.extraction import Need, check_disk, first_of
from bench.files import existing_parent
from bench.material import Material
from bench.models.scratch import scratch
from bench.progress import Progress
from bench.screening.growth import Growth
from bench.space.enumeration import COUNTED, count
from bench.store import Store
from bench.study import placing
from bench.study.drops import lazy
from bench.study.journal import Journal, made_under, made_with, noted, read, study_names
from bench.study.lazy import possible, reduced, rungs, sizes
from bench.study.prepared import Prepared, check_workers, prepare
from bench.study.rehearsal import rehearse
from bench.study.restore import same_settings
from bench.study.screen import to_come, wanted
from bench.study.settings import SearchRequest
from bench.study.study import described

TOKENS_A_WORD = 1.4
LONG = 1800.0
"""Seconds of extraction beyond which a search is lazy by itself."""
SLOWEST = 1e9
"""Operations a second that any machine makes."""
EXTRACTION_EFFICIENCY = 0.4
"""The share of the matrix-product peak that extraction has been seen to reach."""


@dataclass(frozen=True)
class PlannedModel:
    """What one model still has to do; `own_pooling` is its authors', None where they do not say."""

    name: str
    texts: int
    missing: int
    bytes: int
    seconds: float
    own_pooling: str | None = None
    dtype: str = "float32"


@dataclass(frozen=True)
class LazyPlan:
    """Models are judged on so many `rows`, one rung after the other; the `first_seconds` are those of the first.

    What is dropped is not known before, so that all may take from `first_seconds` to all models' seconds. `drops` are
    those that were decided already, in words.
    """

    rows: tuple[int, ...]
    first_seconds: float
    keep: tuple[str, ...]
    drops: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The work ahead. Times are rough; `problem` is what would stop it.

    `done` and `left` count candidates that are tried: those known already, and those to come, of which the space may
    have fewer than were asked for. `limits` say what bounds the scores, in words.
    """

    study: str
    dataset: str
    train_rows: int
    test_rows: int
    backend: str
    device: str
    protocol: str
    space_size: str
    trials: int
    done: int
    left: int
    models: tuple[PlannedModel, ...]
    absent: Mapping[str, str]
    screen_seconds: float
    search_seconds: float
    confirm_seconds: float
    free_bytes: int
    problem: str | None
    lazy: LazyPlan | None = None
    limits: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return asdict(self)


def dry_run(request: SearchRequest, home: Path, store: Store, progress: Progress) -> Plan:
    """What a search would do; nothing is fetched, and what resolving models leaves is deleted."""
    with scratch(store.home) as folder:
        return plan(begun(request, store, home, progress, scratch=folder), home)


def begun(
    request: SearchRequest, store: Store, home: Path, progress: Progress, scratch: Path | None = None
) -> Prepared:
    """A search that is ready to run, as it was made where it exists already; see `prepare`."""
    kept, placed = made_with(home, request.study), placing.placed(noted(home, request.study, placing.NOTE))
    return settled(prepare(request, store, progress, scratch=scratch, kept=kept, placed=placed), home)


def settled(prepared: Prepared, home: Path) -> Prepared:
    """A search that knows in which waves it goes and whether it is lazy. A study that exists stays as it was made.

    A new one is lazy where its space screens and its extraction is estimated to take longer than `LONG`.

    Raises:
        BenchError: the study's waves are too small for the workers.
    """
    prepared = _in_its_waves(prepared, home)
    check_workers(prepared.request, prepared.settings.wave)
    request = prepared.request
    if request.lazy is not None or not possible(request, request.dataset.task):
        return prepared
    # without a name it has one by its settings, which say whether it is lazy
    for name in dict.fromkeys((prepared.as_lazy(True).study, prepared.study)):
        if settings := made_under(home, name):
            return prepared.as_lazy(bool(settings.get("lazy")))
    if not request.space.screen.enabled:
        return prepared
    material = prepared.material
    least = planned_models(material, SLOWEST)
    if sum(model.seconds for model in least) <= LONG:
        return prepared
    return prepared.as_lazy(sum(model.seconds for model in planned_models(material)) > LONG)


def _in_its_waves(prepared: Prepared, home: Path) -> Prepared:
    """With the waves of the study that it goes on with, where the call does not say."""
    request = prepared.request
    if request.wave is not None:
        return prepared
    if request.study is not None:
        made = made_under(home, request.study)
        return prepared.in_waves(int(made.get("wave", 1))) if made else prepared
    if request.executor == "ray":
        # a study that is named by its settings has another name for each wave
        begins = prepared.study.rpartition("-")[0]
        for name in (each for each in study_names(home) if each.startswith(f"{begins}-")):
            found = prepared.in_waves(int(made_under(home, name).get("wave", 1)))
            if found.settings.wave > 1 and name in (found.as_lazy(True).study, found.as_lazy(False).study):
                return found
    return prepared


def plan(prepared: Prepared, home: Path) -> Plan:
    """Look, estimate, write nothing."""
    journal = read(home, prepared.study) if prepared.study in study_names(home) else None
    request, material = prepared.request, prepared.material
    lazily = _lazily(prepared, journal) if prepared.settings.lazy else None
    if journal is not None:
        request, material = reduced(request, material, journal)
    dataset = material.dataset
    size = count(request.space, material.models)
    done = 0 if journal is None else journal.tried
    left = max(0, request.trials - done if size is None else min(request.trials, size) - done)
    screened = wanted(request, dataset.task)
    most = Growth(request.space, material.models, {}).most
    pace = rehearse(request.space, material.models, dataset, request.protocol, screened=screened)
    try:
        if lazily is None:
            check_disk(material.needs, material.store)
        if journal is not None:
            same_settings(journal.study, prepared.study, prepared.settings, journal.id)
        problem = None
    except BenchError as error:
        problem = str(error)
    return Plan(
        study=prepared.study,
        dataset=dataset.name,
        train_rows=len(dataset.train),
        test_rows=len(dataset.test),
        backend=material.settings.backend,
        device=material.settings.device,
        protocol=described(request, dataset),
        space_size=f"{size:,} distinct candidates"
        if size is not None
        else f"endless, or more than {COUNTED:,} candidates",
        trials=request.trials,
        done=done,
        left=left,
        models=planned_models(material),
        absent={model.name: model.reason for model in material.absent},
        screen_seconds=pace.screening * to_come(journal, most) if left else 0.0,
        search_seconds=pace.search(left, request.protocol.repetitions),
        confirm_seconds=pace.confirm(len(material.models) + 2, request.protocol),
        free_bytes=shutil.disk_usage(existing_parent(material.store.home)).free,
        problem=problem,
        lazy=lazily,
        limits=in_words(limits(dataset, request.protocol)),
    )


def _lazily(prepared: Prepared, journal: Journal | None) -> LazyPlan:
    """What lazy extraction has decided, and what its first rung takes."""
    material, seed = prepared.material, prepared.request.protocol.seed
    found = None if journal is None else lazy(journal)
    steps = [] if found is not None and found.rungs else list(rungs(material.dataset.train, seed))
    first = planned_models(material.of_train(steps[0].tolist())) if steps else ()
    return LazyPlan(
        rows=tuple(sizes(material.dataset.train)),
        first_seconds=sum(model.seconds for model in first),
        keep=prepared.settings.keep,
        drops=() if found is None else tuple(map(str, found.drops)),
    )


def planned_models(material: Material, peak: float | None = None) -> tuple[PlannedModel, ...]:
    """What is still to be extracted of each model; `peak` is operations a second, measured where it is not given."""
    device = first_of(material.settings).device
    peaks = {
        dtype: matrix_peak(dtype, device) if peak is None else peak
        for dtype in {need.settings.dtype for need in material.needs}
    }
    tokens = material.dataset.stats.mean_words * TOKENS_A_WORD + 2
    return tuple(
        PlannedModel(
            need.model.name,
            need.texts,
            len(need.missing),
            need.bytes,
            len(need.missing) * _flops(need, tokens) / (peaks[need.settings.dtype] * EXTRACTION_EFFICIENCY),
            need.model.own_pooling,
            need.settings.dtype,
        )
        for need in material.needs
    )


def _flops(need: Need, tokens: float) -> float:
    """Operations of a text with so many tokens: a block has about 12 width² weights, each multiplied and added once."""
    return computed(need.model, need.settings, tokens) * 2.0 * 12 * need.layers[-1] * need.model.width**2


def matrix_peak(dtype: str, device: str = "cpu") -> float:
    """Operations a second of a large matrix product on a device of this machine."""
    import torch

    left = torch.ones(1024, 1024, dtype=getattr(torch, dtype), device=device)

    def multiplied(times: int) -> float:
        started = time.perf_counter()
        for _ in range(times):
            found = left @ left
        found[0, 0].item()  # which waits for a GPU
        return time.perf_counter() - started

    multiplied(1)
    return 5 * 2 * 1024**3 / multiplied(5)
