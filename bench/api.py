"""What the command line does, as Python calls: `bench.search(...)`, then `.front`, `.report(...)`, `.export(...)`.

`bench.search`, `bench.reopen` and `bench.compare` are these functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import comparison
from bench.datasets.load import DatasetRequest
from bench.errors import BenchError, nearest
from bench.evaluation.protocol import Protocol
from bench.files import store_home
from bench.progress import SILENT, Progress
from bench.space.files import load as load_space
from bench.space.schema import Sampler
from bench.specs import ExtractionSettings
from bench.store import Store
from bench.study.journal import TrialRecord
from bench.study.reopen import Study
from bench.study.reopen import reopen as reopen_study
from bench.study.run import prepare
from bench.study.run import search as run_search
from bench.study.settings import Constraints, SearchRequest
from bench.tracking import MlflowTracker

if TYPE_CHECKING:
    from bench.packaging.package import Exported
    from bench.report import Report
    from bench.study.confirm import Entry

HOME = Path("mlruns")
PAPER_RUNS = 5
"""The paper's runs of a candidate (section 4)."""
_PARTS = (DatasetRequest, ExtractionSettings, Constraints, Protocol)


def search_request(
    dataset: str,
    *,
    models: Sequence[str] | None = None,
    space: str = "default",
    trials: int = 50,
    study: str | None = None,
    protocol: str = "cv",
    sampler: str | None = None,
    time_budget: float | None = None,
    **settings: Any,
) -> SearchRequest:
    """A request from the names that `bench search` has for its options.

    `settings` are those of the data set (`max_train`, `text_column`, `seed` …), of the extraction (`backend`, `device`,
    `dtype`, `max_length` …) and the limits (`max_latency_ms`, `max_memory_gb`); None stands for the default.

    Raises:
        BenchError: there is no such setting or space.
    """
    known = {name for part in _PARTS for name in part.model_fields} - {"name"}
    for name in settings:
        if name not in known:
            raise BenchError(f"A search has no setting '{name}': {nearest(name, known)}")
    found = load_space(space)
    if sampler:
        found = found.model_copy(update={"sampler": Sampler.model_validate({"name": sampler})})

    def part(kind: Any, **fixed: Any) -> Any:
        given = {key: value for key, value in settings.items() if key in kind.model_fields and value is not None}
        return kind.model_validate(given | fixed)

    least = PAPER_RUNS if protocol == "paper" else 1
    return SearchRequest(
        dataset=part(DatasetRequest, name=dataset),
        space=found,
        space_name=Path(space).stem,
        models=None if models is None else tuple(models),
        trials=trials,
        study=study,
        extraction=part(ExtractionSettings),
        protocol=part(
            Protocol,
            name=protocol,
            folds=found.protocol.folds,
            repetitions=max(found.protocol.repetitions, least),
            confirm=found.protocol.confirm,
        ),
        constraints=part(Constraints),
        time_budget=time_budget,
    )


def search(
    dataset: str,
    *,
    home: Path | str = HOME,
    tracking_uri: str | None = None,
    progress: Progress = SILENT,
    **options: Any,
) -> Searched:
    """Search (or go on with) a study and confirm its front; the options are those of `search_request`.

    Args:
        dataset: A name, hub id, or file.
        home: Where the study's journal and MLflow's store lie.
        tracking_uri: MLflow server or database; that of `home` where it is None.
        progress: What is told while it runs; nothing by default.
        options: See `search_request`.

    Raises:
        BenchError: data or models cannot be had, or the study was made with other settings.
    """
    request = search_request(dataset, **options)
    tracker = MlflowTracker(Path(home), tracking_uri)
    result = run_search(prepare(request, Store(store_home()), progress), Path(home), tracker, progress)
    return reopen(result.study, home=home, tracking_uri=tracking_uri, progress=progress)


def reopen(
    study: str, *, home: Path | str = HOME, tracking_uri: str | None = None, progress: Progress = SILENT
) -> Searched:
    """A study that was searched before.

    Raises:
        BenchError: there is no such study, or its data or models have changed.
    """
    tracker = MlflowTracker(Path(home), tracking_uri)
    opened = reopen_study(Path(home), study, Store(store_home()), progress)
    return Searched(opened, tracker, Path(home), progress)


@dataclass(frozen=True)
class Searched:
    """A searched study. `study` holds its trials, data and evaluator."""

    study: Study
    tracker: MlflowTracker
    home: Path
    progress: Progress = SILENT

    @property
    def front(self) -> list[Entry]:
        """The confirmed front, the cheapest first (by the last objective)."""
        return self.study.front

    @cached_property
    def baselines(self) -> Mapping[str, Entry]:
        """The confirmed baselines by name."""
        return {entry.name: entry for entry in self.study.baselines}

    def choose(self, trial: int | str = "knee") -> TrialRecord:
        """A scored trial: a number, or ``"knee"``, ``"best-f1"``, ``"cheapest"`` of the front, by search scores."""
        return self.study.choose(str(trial))

    def report(self, out: Path | str | None = None, trial: int | str = "knee") -> Report:
        """Write the report's page and images, by default under `home`."""
        from bench.report import write

        folder = self.home / "reports" / self.study.name if out is None else Path(out)
        return write(self.study, folder, str(trial), self.tracker)

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
        from bench.packaging.package import export, log

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
    given = {each.study.name: each.study for each in (a, b) if isinstance(each, Searched)}
    store = Store(store_home())

    def opened(name: str) -> Study:
        if name not in given:
            given[name] = reopen_study(Path(home), name, store)
        return given[name]

    names = [each.study.name if isinstance(each, Searched) else each for each in (a, b)]
    found = [comparison.find(name, Path(home)) for name in names]
    return comparison.compare(*(each.sides(opened) for each in found))
