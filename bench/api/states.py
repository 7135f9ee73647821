"""Hidden states: extracted, looked at, verified and exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from bench.api.known import known
from bench.api.tables import EXTRACT_SETTINGS, on_disk
from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.executors.settings import Workers
from bench.home import Home
from bench.progress import SILENT, Progress
from bench.settings import given, refuse_unknown, takes
from bench.specs import ExtractionSettings

if TYPE_CHECKING:
    import pandas as pd

    from bench.api.keywords import ExtractKeywords
    from bench.evaluation.cache import Kept
    from bench.material import Material
    from bench.store import Store
    from bench.store.importing import Imported


@takes(EXTRACT_SETTINGS)
def extract(
    dataset: str | pd.DataFrame,
    models: Sequence[str],
    *,
    layers: Sequence[int] | None = None,
    home: Home | Path | str | None = None,
    progress: Progress = SILENT,
    **settings: Unpack[ExtractKeywords],
) -> Material:
    """Fill the store with the hidden states of a data set, without searching; what is stored is not computed again.

    Args:
        dataset: A name, hub id, file, or DataFrame.
        models: Names, hub ids or folders; each must be there.
        layers: Only these, from 0 (the embeddings) on; all where it is None.
        home: Where the store is, if a `Home`; else the usual store.
        progress: What is told while it runs; nothing by default.
        settings: What may be set, each by the name that `bench extract` has for it; None stands for the default.

    Raises:
        BenchError: there is no such setting or layer, or data or models cannot be had or run.
    """
    refuse_unknown("An extraction", settings, EXTRACT_SETTINGS)
    request = given(DatasetRequest, on_disk({"dataset": dataset, **settings}, Home.at(home)))
    known(request, models)

    from bench.material import gather
    from bench.store import Store
    from bench.study.run import extracting
    from bench.views import expanded, usual
    from bench.wanted import Wanted

    forms = usual(request.fields)
    named = expanded(models, forms)
    chosen = {} if layers is None else dict.fromkeys(named, layers)
    wanted = Wanted(request, named, given(ExtractionSettings, settings), layers=chosen, forms=forms)
    workers = given(Workers, settings)
    if workers.executor != "ray" and workers != Workers():
        raise BenchError(
            "An extraction is shared among the GPUs of this machine by itself; `workers` and `ray_address` are for "
            "`executor='ray'`."
        )
    material = gather(wanted, None, Store(Home.at(home).store), progress)
    with extracting(workers, material.store.home, progress) as executor:
        material.extract(progress, executor)
    return material


@takes(EXTRACT_SETTINGS)
def export_states(
    dataset: str | pd.DataFrame,
    model: str,
    file: Path | str,
    *,
    home: Home | Path | str | None = None,
    progress: Progress = SILENT,
    **settings: Unpack[ExtractKeywords],
) -> Material:
    """Write a data set's hidden states under one model to a safetensors file; what is missing is extracted first.

    Raises:
        BenchError: as for `extract`; or the file cannot be written.
    """
    from bench.extraction import heal
    from bench.store.export import export_states as write_states
    from bench.views import expanded, usual

    forms = usual(given(DatasetRequest, {"dataset": "", **settings}).fields)
    if len(expanded((model,), forms)) > 1:
        known_forms = ", ".join(f"{model}:{form}" for form in forms)
        raise BenchError(f"A file holds the states of one input: name the model as one of {known_forms}.")
    material = extract(dataset, (model,), home=home, progress=progress, **settings)
    (need,) = material.needs

    def mend() -> None:
        heal(need, material.texts, progress)

    write_states(need.shelf, need.layers, need.model.poolings, material.dataset, Path(file), mend, need.model.reads)
    return material


def import_states(file: Path | str, *, home: Home | Path | str | None = None) -> Imported:
    """Take what `export_states` wrote elsewhere into the store; rows that it has are left as they are.

    Raises:
        BenchError: the file is no such export, was altered, or names an identity that its states were not computed
            under; or the store cannot be written.
    """
    from bench.store.importing import import_states as read_states

    return read_states(Path(file), store(home))


def store(home: Home | Path | str | None = None) -> Store:
    """The store of a home: its shelves, and what in it can be deleted.

    Raises:
        BenchError: it is a file.
    """
    from bench.store import Store

    return Store(Home.at(home).store)


def remembered(home: Home | Path | str | None = None) -> tuple[Kept, list[tuple[str, str, int]]]:
    """What else the store of a home keeps: evaluations, and sides of data sets (fingerprint, data set, rows)."""
    from bench.evaluation.cache import kept
    from bench.evaluation.rows import kept as kept_rows

    folder = Home.at(home).store
    return kept(folder), list(kept_rows(folder))


@dataclass(frozen=True)
class Verified:
    """Segments of a shelf that are whole, and that were set aside as damaged; or why it cannot be read to its end."""

    whole: int = 0
    damaged: int = 0
    problem: str | None = None


def verify_store(home: Home | Path | str | None = None, progress: Progress = SILENT) -> dict[str, Verified]:
    """Read every byte of every shelf; damaged segments are set aside, to be extracted again, and nothing else."""
    opened = store(home)
    shelves = list(opened.shelves())
    found = {path.name: Verified(problem=reason) for path, reason in opened.closed().items()}
    with progress.task("verify", len(shelves), "shelves") as task:
        for shelf in shelves:
            try:
                found[shelf.folder.name] = Verified(shelf.verify(), len(shelf.damaged))
            except BenchError as error:
                found[shelf.folder.name] = Verified(damaged=len(shelf.damaged), problem=str(error))
            task.advance()
    return dict(sorted(found.items()))
