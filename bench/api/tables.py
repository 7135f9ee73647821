"""What calls take: their settings, and what may be named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from bench.datasets.request import DatasetRequest
from bench.errors import BenchError, nearest
from bench.evaluation.protocol import Protocol
from bench.executors.settings import Workers
from bench.home import Home
from bench.settings import settings_of
from bench.specs import ExtractionSettings
from bench.study.settings import SEARCH_SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

K = TypeVar("K")
FRAMES = "data"
"""The folder of a home that holds the rows of DataFrames."""
_EXTRACTION = {**settings_of(DatasetRequest), **settings_of(ExtractionSettings)}
EXTRACT_SETTINGS = {**_EXTRACTION, **settings_of(Workers)}
REPRODUCE_SETTINGS = {**_EXTRACTION, **settings_of(Protocol, "repetitions", "folds")}
KEYWORDS = {
    "SearchKeywords": SEARCH_SETTINGS,
    "ExtractKeywords": EXTRACT_SETTINGS,
    "ReproduceKeywords": REPRODUCE_SETTINGS,
}
"""The settings of calls by the name that `bench.api.keywords` has for them."""
TABLES = (
    "backends",
    "datasets",
    "executors",
    "measures",
    "models",
    "objectives",
    "reproductions",
    "samplers",
    "spaces",
    "studies",
    "terms",
    "trials",
)
"""What `names` knows."""
CLOSED = ("backends", "executors", "reproductions", "samplers")
"""The tables of `names` outside of which there is nothing to name."""


def on_disk(settings: Mapping[K, Any], home: Home) -> dict[K, Any]:
    """Settings of a data set in which DataFrames are replaced by the files of `home` that hold their rows.

    Raises:
        BenchError: a frame cannot be kept.
    """
    from bench.datasets.frames import is_frame, kept

    return {name: kept(each, home.runs / FRAMES) if is_frame(each) else each for name, each in settings.items()}


def names(
    table: str, *, home: Home | Path | str | None = None, data_home: str | None = None, study: str = ""
) -> list[str]:
    """What may be named, by the name of its table.

    Args:
        table: ``backends``, ``datasets``, ``executors``, ``measures`` of predictions, ``models``, ``objectives``,
            ``reproductions``, ``samplers``, ``spaces``, ``studies`` of `home`, ``terms``, or ``trials`` of its `study`.
        home: Where studies lie.
        data_home: A folder of data sets.
        study: A study of `home`.
    """
    match table:
        case "backends":
            from bench.backends.base import AUTO, BACKENDS

            return [*BACKENDS, AUTO]
        case "datasets":
            from bench.datasets.catalog import available

            return [entry.name for entry in available(data_home)]
        case "executors":
            from bench.executors.base import EXECUTORS

            return [*EXECUTORS]
        case "measures" | "objectives":
            from bench.measures import measure_names, objective_names

            return measure_names() if table == "measures" else objective_names()
        case "models":
            from bench.models.rows import MODELS

            return [*MODELS]
        case "reproductions":
            from bench.reproduce.studies import words

            return words()
        case "samplers":
            from bench.space.samplers import SAMPLERS

            return [*SAMPLERS]
        case "spaces":
            from bench.space.files import spaces_folder

            return [path.stem for path in spaces_folder().glob("*.toml")]
        case "studies":
            from bench.study.journal import study_names

            return study_names(Home.at(home).runs)
        case "terms":
            from bench.glossary import spellings

            return spellings()
        case "trials":
            from bench.study.reopen import trial_names

            return trial_names(Home.at(home).runs, study)
        case _:
            raise BenchError(f"There is no table '{table}': {nearest(table, TABLES)}")
