"""The paper's studies: run, or planned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from bench.api.known import known
from bench.api.tables import REPRODUCE_SETTINGS, on_disk
from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.evaluation.protocol import Protocol
from bench.home import Home
from bench.progress import SILENT, Progress
from bench.settings import given, refuse_unknown, takes
from bench.specs import ExtractionSettings

if TYPE_CHECKING:
    import pandas as pd

    from bench.api.keywords import ReproduceKeywords
    from bench.reproduce.finished import FinishedStudy
    from bench.reproduce.plan import ReproductionPlan
    from bench.reproduce.prepare import ReproductionRequest


def reproductions() -> dict[str, str]:
    """The studies by name, each with the place in the paper that it reproduces."""
    from bench.reproduce.studies import STUDIES

    return {name: study.paper for name, study in STUDIES.items()}


@takes(REPRODUCE_SETTINGS)
def reproduce(
    study: str | Sequence[str],
    datasets: Sequence[str | pd.DataFrame],
    *,
    models: Sequence[str] | None = None,
    out: Path | str | None = None,
    home: Home | Path | str | None = None,
    tracking_uri: str | None = None,
    tracking: bool = True,
    progress: Progress = SILENT,
    **settings: Unpack[ReproduceKeywords],
) -> list[FinishedStudy]:
    """Reproduce a table or figure of the paper on data sets and models, the published numbers beside it.

    Args:
        study: One or several of ``reproductions()``, by name or as the paper calls them (``"table2"``), or ``"all"``.
        datasets: Names, hub ids, or files.
        models: Names, hub ids or folders; all of ``names("models")`` that can be had where it is None.
        out: Folder of tables and figures; ``reproduce`` among the runs of `home` where it is None.
        home: As for `search`.
        tracking_uri: As for `search`.
        tracking: As for `search`.
        progress: What is told while it runs; nothing by default.
        settings: What may be set, each by the name that `bench reproduce` has for it; None stands for the default.

    Raises:
        BenchError: there is no such study or setting, data cannot be had, or no model can.
    """
    place = Home.at(home)
    request = _request(study, _named(datasets, place), models, out, settings)

    from bench.reproduce.prepare import prepare
    from bench.reproduce.run import reproduce as run
    from bench.store import Store
    from bench.tracking import tracker_of

    tracker = tracker_of(place.runs, tracking_uri, tracking=tracking, source="bench reproduce", progress=progress)
    return run(prepare(request, Store(place.store), progress), place.runs, tracker, progress)


@takes(REPRODUCE_SETTINGS)
def plan_reproduction(
    study: str | Sequence[str],
    datasets: Sequence[str | pd.DataFrame],
    *,
    models: Sequence[str] | None = None,
    home: Home | Path | str | None = None,
    progress: Progress = SILENT,
    **settings: Unpack[ReproduceKeywords],
) -> list[ReproductionPlan]:
    """What the same `reproduce` would do on each data set; nothing is written or downloaded.

    Raises:
        BenchError: there is no such study or setting, or data or models are not at hand.
    """
    from bench.reproduce.plan import dry_run
    from bench.store import Store

    place = Home.at(home)
    return dry_run(_request(study, _named(datasets, place), models, None, settings), Store(place.store), progress)


def _named(datasets: Sequence[str | pd.DataFrame], place: Home) -> list[str]:
    """Data sets by what finds them; frames by the files that hold their rows."""
    if isinstance(datasets, str):
        raise BenchError(f"Data sets are a list: give ['{datasets}'].")
    return list(on_disk(dict(enumerate(datasets)), place).values())


def _request(
    study: str | Sequence[str],
    datasets: Sequence[str],
    models: Sequence[str] | None,
    out: Path | str | None,
    settings: Any,
) -> ReproductionRequest:
    from bench.models.rows import MODELS

    refuse_unknown("A reproduction", settings, REPRODUCE_SETTINGS)
    chosen = tuple(models or MODELS)
    requests = tuple(given(DatasetRequest, {**settings, "dataset": name}) for name in dict.fromkeys(datasets))
    for each in requests:
        # a model that cannot be had is shown as missing; a name that means nothing is a mistake
        known(each, chosen)

    from bench.reproduce.prepare import ReproductionRequest
    from bench.reproduce.studies import named
    from bench.reproduce.study import check_answers

    studies = named([study] if isinstance(study, str) else study)
    for each in requests:
        check_answers(studies, each.task)
    return ReproductionRequest(
        studies=studies,
        datasets=requests,
        models=chosen,
        extraction=given(ExtractionSettings, settings),
        protocol=given(Protocol, settings),
        out=None if out is None else Path(out),
    )
