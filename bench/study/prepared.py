"""A search that could begin: its data loaded, its models resolved, and nothing extracted."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.datasets.sides import Sides
from bench.errors import BenchError
from bench.foreign import foreign_parts
from bench.heads.kinds import check_serves
from bench.material import Material, gather
from bench.measures import check_classes
from bench.progress import Progress
from bench.space.schema import Cascades
from bench.store import Store
from bench.study import lazy, placing
from bench.study.journal import check_name
from bench.study.settings import SearchRequest, StudySettings
from bench.tasks import TASKS
from bench.wanted import Wanted


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
        return self._under({"lazy": lazily, "keep": keep})

    def in_waves(self, wave: int) -> "Prepared":
        """The same search with so many candidates proposed at once."""
        return self._under({"wave": wave})

    def _under(self, changes: Mapping[str, Any]) -> "Prepared":
        settings = self.settings.model_copy(update=changes)
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
    wave = _usual_wave(request) if request.wave is None else request.wave
    if request.wave is not None:
        check_workers(request, wave)
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
        forms=request.space.inputs,
        extracted=request.space.sources.pooling,
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
        wave=wave,
        plugins=foreign_parts(request.space.fusion.operators, request.space.head.kinds, request.space.sources.pooling),
    )
    prepared = Prepared(request, material, settings, "")
    return prepared.as_lazy(request.lazy is True)


def _usual_wave(request: SearchRequest) -> int:
    """Of a new study that is not told: twice what works at once, so that nobody waits for the slowest of a wave."""
    return 2 * request.workers if request.executor == "ray" else 1


def check_workers(request: SearchRequest, wave: int) -> None:
    """Refuse workers that could have nothing to do: who asks for them expects them to help.

    Raises:
        BenchError: they are more than the candidates of a wave, or their executor is one worker or is no cluster's.
    """
    if request.workers > wave:
        raise BenchError(
            f"Workers share the candidates of a wave, and {request.workers} have nothing to share in waves of "
            f"{wave}: set wave to {request.workers} or more (which makes another study), or take fewer workers."
        )
    if request.workers > 1 and request.executor == "inline":
        raise BenchError("The executor 'inline' is one worker: take another, or set workers to 1.")
    if request.ray_address is not None and request.executor != "ray":
        raise BenchError("A `ray_address` is for the Ray executor: set `executor='ray'` with it.")


def default_name(request: SearchRequest, settings: StudySettings) -> str:
    """The same command finds its study again; a changed one begins another. A file may be called as no study can."""
    stem = Path(request.dataset.name).stem.replace("/", "-")
    name = re.sub(r"\s*[^\w .,=@+-]+\s*", "_", stem).strip("_ ") or "study"
    return f"{name}-{request.space_name}-{settings.fingerprint()[:8]}"
