"""What the command line does, as Python calls: `bench.search(...)`, then `.front`, `.report(...)`, `.export(...)`.

`bench.search`, `bench.reopen` and `bench.compare` are these functions. Importing this module is quick: what a call
needs is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from bench.datasets.request import DatasetRequest
from bench.evaluation.protocol import Protocol
from bench.progress import SILENT, Progress
from bench.settings import settings_of, takes
from bench.specs import ExtractionSettings
from bench.study.settings import SEARCH_SETTINGS, search_request

if TYPE_CHECKING:
    from bench import comparison
    from bench.keywords import SearchKeywords
    from bench.packaging.export import Exported
    from bench.report import Report
    from bench.study.confirm import Entry
    from bench.study.journal import TrialRecord
    from bench.study.study import Study
    from bench.tracking import Tracker

__all__ = [
    "CLOSED",
    "EXTRACT_SETTINGS",
    "HOME",
    "KEYWORDS",
    "REPRODUCE_SETTINGS",
    "SEARCH_SETTINGS",
    "Searched",
    "compare",
    "names",
    "reopen",
    "search",
]

HOME = Path("mlruns")
EXTRACT_SETTINGS = {**settings_of(DatasetRequest), **settings_of(ExtractionSettings)}
REPRODUCE_SETTINGS = {**EXTRACT_SETTINGS, **settings_of(Protocol, "repetitions", "folds")}
KEYWORDS = {
    "SearchKeywords": SEARCH_SETTINGS,
    "ExtractKeywords": EXTRACT_SETTINGS,
    "ReproduceKeywords": REPRODUCE_SETTINGS,
}
"""The settings of calls by the name that `bench.keywords` has for them."""
CLOSED = ("backends", "executors", "samplers")
"""The tables of `names` outside of which there is nothing to name."""


@takes(SEARCH_SETTINGS)
def search(
    dataset: str,
    *,
    home: Path | str = HOME,
    tracking_uri: str | None = None,
    tracking: bool = True,
    progress: Progress = SILENT,
    **settings: Unpack[SearchKeywords],
) -> Searched:
    """Search (or go on with) a study and confirm its front.

    Args:
        dataset: A name, hub id, or file.
        home: Where the study's journal and MLflow's store lie.
        tracking_uri: MLflow server or database; that of `home` where it is None.
        tracking: False writes nothing to MLflow; the same call with True writes it later.
        progress: What is told while it runs; nothing by default.
        settings: What may be set, each by the name that `bench search` has for it; None stands for the default.

    Raises:
        BenchError: there is no such setting, data or models cannot be had, or the study was made with other settings.
    """
    from bench.home import store_home
    from bench.store import Store
    from bench.study.run import prepare
    from bench.study.run import search as run_search
    from bench.tracking import tracker_of

    request = search_request(dataset=dataset, **settings)
    tracker = tracker_of(Path(home), tracking_uri, tracking=tracking)
    found = run_search(prepare(request, Store(store_home()), progress), Path(home), tracker, progress)
    return Searched(found, tracker, Path(home), progress)


def reopen(
    study: str,
    *,
    home: Path | str = HOME,
    tracking_uri: str | None = None,
    tracking: bool = True,
    progress: Progress = SILENT,
) -> Searched:
    """A study that was searched before; the arguments are those of `search`.

    Raises:
        BenchError: there is no such study, or its data or models have changed.
    """
    from bench.home import store_home
    from bench.store import Store
    from bench.study.reopen import reopen as reopen_study
    from bench.tracking import tracker_of

    tracker = tracker_of(Path(home), tracking_uri, tracking=tracking)
    opened = reopen_study(Path(home), study, Store(store_home()), progress)
    return Searched(opened, tracker, Path(home), progress)


@dataclass(frozen=True)
class Searched:
    """A searched study. `study` holds its trials, data and evaluator."""

    study: Study
    tracker: Tracker
    home: Path
    progress: Progress = SILENT

    @property
    def front(self) -> Sequence[Entry]:
        """The confirmed front, the cheapest first (by the last objective)."""
        return self.study.front

    @cached_property
    def baselines(self) -> Mapping[str, Entry]:
        """The confirmed baselines by name."""
        return {entry.name: entry for entry in self.study.baselines}

    def choose(self, trial: int | str = "knee") -> TrialRecord:
        """A scored trial: a number, or ``"knee"``, ``"best"``, ``"cheapest"`` of the front, by search scores."""
        return self.study.choose(str(trial))

    def report(self, out: Path | str | None = None, trial: int | str = "knee") -> Report:
        """Write the report's page and images, by default under `home`."""
        from bench.report import write

        folder = self.home / "reports" / self.study.name if out is None else Path(out)
        return write(self.study, folder, str(trial), self.tracker)

    def closing_report(self) -> Report | None:
        """The report that ends a search, or None: a search is not lost because its report cannot be written."""
        from bench.errors import BenchError

        try:
            return self.report()
        except (BenchError, OSError) as error:
            self.progress.warn(f"the search is done, but no report was written: {error}")
            return None

    def export(
        self,
        out: Path | str | None = None,
        trial: int | str = "knee",
        *,
        register: str | None = None,
        alias: str | None = None,
        with_weights: bool = False,
    ) -> Exported:
        """Package a candidate as an MLflow model: in the new folder `out`, else in the tracking store."""
        from bench.packaging.export import export, log

        shared: dict[str, Any] = {"chosen": str(trial), "with_weights": with_weights, "progress": self.progress}
        record = self.choose(trial)
        if out is not None:
            return export(self.study, record, Path(out), **shared)
        return log(self.study, record, self.tracker, register=register, alias=alias, **shared)


def compare(a: Searched | str, b: Searched | str, *, home: Path | str = HOME) -> list[comparison.Compared]:
    """Two studies, candidates (``"STUDY:knee"``) or runs side by side, paired; see `bench.comparison`.

    Raises:
        BenchError: there is no such thing, or the two share no test rows.
    """
    from bench import comparison
    from bench.home import store_home
    from bench.store import Store
    from bench.study.reopen import reopen as reopen_study

    given = {each.study.name: each.study for each in (a, b) if isinstance(each, Searched)}
    store = Store(store_home())

    def opened(name: str) -> Study:
        if name not in given:
            given[name] = reopen_study(Path(home), name, store)
        return given[name]

    names = [each.study.name if isinstance(each, Searched) else each for each in (a, b)]
    found = [comparison.find(name, Path(home)) for name in names]
    return comparison.compare(*(each.sides(opened) for each in found))


def names(table: str, *, home: Path | str | None = None, data_home: str | None = None, study: str = "") -> list[str]:
    """What may be named.

    Backends, data sets, executors, models, samplers, spaces, studies of a home, or trials of a `study`.
    """
    folder = HOME if home is None else Path(home)
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
        case "models":
            from bench.models.rows import MODELS

            return [*MODELS]
        case "samplers":
            from bench.space.samplers import SAMPLERS

            return [*SAMPLERS]
        case "spaces":
            from bench.space.files import spaces_folder

            return [path.stem for path in spaces_folder().glob("*.toml")]
        case "studies":
            from bench.study.journal import study_names

            return study_names(folder)
        case _:
            from bench.study.reopen import trial_names

            return trial_names(folder, study)
