"""Studies: planned, searched, and opened again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from bench.api.known import known, known_study
from bench.api.tables import on_disk
from bench.errors import BenchError, in_words
from bench.home import Home
from bench.measures import score
from bench.notebook import Shown
from bench.progress import SILENT, Progress
from bench.settings import takes
from bench.study.settings import SEARCH_SETTINGS, search_request

if TYPE_CHECKING:
    import pandas as pd

    from bench.api.keywords import SearchKeywords
    from bench.figures import Figure
    from bench.packaging.export import Exported
    from bench.packaging.graphs.manifest import Form, Precision
    from bench.report import Report
    from bench.study.cascades import Selected
    from bench.study.entry import Entry
    from bench.study.plan import Plan
    from bench.study.study import Study
    from bench.tracking import Tracker


@takes(SEARCH_SETTINGS)
def search(
    dataset: str | pd.DataFrame,
    *,
    home: Home | Path | str | None = None,
    tracking_uri: str | None = None,
    tracking: bool = True,
    progress: Progress = SILENT,
    **settings: Unpack[SearchKeywords],
) -> Searched:
    """Search (or go on with) a study and confirm its front.

    Args:
        dataset: A name, hub id, or file; or a DataFrame, whose rows are kept as a file under `home`, where the study
            finds them again.
        home: Where the study's journal and MLflow's database lie: a folder, ``mlruns`` where it is None, or a `Home`.
        tracking_uri: MLflow server or database; that of `home` where it is None.
        tracking: False writes nothing to MLflow; the same call with True writes it later.
        progress: What is told while it runs; nothing by default.
        settings: What may be set, each by the name that `bench search` has for it; None stands for the default.

    Raises:
        BenchError: there is no such setting, data or models cannot be had, or the study was made with other settings.
    """
    place = Home.at(home)
    request = search_request(**on_disk({"dataset": dataset, **settings}, place))
    known(request.dataset, request.models)

    from bench.store import Store
    from bench.study.plan import begun
    from bench.study.run import search as run_search
    from bench.tracking import tracker_of

    tracker = tracker_of(place.runs, tracking_uri, tracking=tracking, progress=progress)
    prepared = begun(request, Store(place.store), place.runs, progress)
    return Searched(run_search(prepared, place.runs, tracker, progress), tracker, place, progress)


@takes(SEARCH_SETTINGS)
def plan(
    dataset: str | pd.DataFrame,
    *,
    home: Home | Path | str | None = None,
    progress: Progress = SILENT,
    **settings: Unpack[SearchKeywords],
) -> Plan:
    """What the same `search` would do, and roughly how long it would take; nothing is written or downloaded.

    Raises:
        BenchError: there is no such setting, or data or models are not at hand.
    """
    place = Home.at(home)
    request = search_request(**on_disk({"dataset": dataset, **settings}, place))
    known(request.dataset, request.models)

    from bench.store import Store
    from bench.study.plan import dry_run

    return dry_run(request, place.runs, Store(place.store), progress)


def reopen(
    study: str,
    *,
    trial: int | str | None = None,
    trust_remote_code: bool = False,
    no_texts: bool = False,
    home: Home | Path | str | None = None,
    tracking_uri: str | None = None,
    tracking: bool = True,
    progress: Progress = SILENT,
) -> Searched:
    """A study that was searched before; the arguments are those of `search`.

    A `trial` that will be asked for is looked up first, so that a mistyped one costs nothing. A model's own code runs
    only if this call says so (`trust_remote_code`), and only if it is what was searched. Texts are kept out of what is
    made of the study if this call says so (`no_texts`), or its search did.

    Raises:
        BenchError: there is no such study or trial, or its data or models have changed.
    """
    place = Home.at(home)
    known_study(study, place)

    from bench.store import Store
    from bench.study.reopen import reopen as reopen_study
    from bench.tracking import tracker_of

    tracker = tracker_of(place.runs, tracking_uri, tracking=tracking, progress=progress)
    which = None if trial is None else str(trial)
    opened = reopen_study(
        place.runs,
        study,
        Store(place.store),
        progress,
        which,
        trust_remote_code=trust_remote_code,
        no_texts=no_texts,
    )
    return Searched(opened, tracker, place, progress)


@dataclass(frozen=True, repr=False)
class Searched(Shown):
    """A searched study. `study` holds its trials, data and evaluator."""

    study: Study
    tracker: Tracker
    home: Home
    progress: Progress = SILENT

    @property
    def front(self) -> Sequence[Entry]:
        """The confirmed front of the trials, the cheapest first (by the last objective)."""
        return self.study.front

    @property
    def cascades(self) -> Sequence[Entry]:
        """The confirmed cascades, the cheapest first."""
        return self.study.cascades

    @cached_property
    def baselines(self) -> Mapping[str, Entry]:
        """The confirmed baselines by name."""
        return {entry.name: entry for entry in self.study.baselines}

    @property
    def shown_words(self) -> str:
        """What to ship, and why."""
        return str(self.study.decision)

    def to_frame(self) -> pd.DataFrame:
        """The front, the cascades and the baselines by name: search scores, costs, and what the test set says."""
        from bench.study.tables import entries_frame

        return entries_frame([*self.study.found, *self.study.baselines])

    def shown_frame(self) -> pd.DataFrame:
        """The study's scores, the other measures of its task, and the cost."""
        objectives = self.study.request.space.objectives
        score = objectives.score
        names = [score.name, *(f"{each.name}_mean" for each in objectives.beside), "latency_ms"]
        test = [f"test_{name}" for name in (f"{score.measure.name}_mean", *names[1:-1])]
        return self.to_frame()[["candidate", *names, *test]]

    @cached_property
    def figures(self) -> Mapping[str, Figure]:
        """The figures of the report by name, of the recommended candidate; a notebook shows each as a picture."""
        from bench.report.report import ReportData, draw

        chosen = self.choose()
        return draw(self.study, chosen, ReportData.of(self.study, chosen), self.progress.warn)

    def choose(self, trial: int | str = "recommended") -> Selected:
        """A number, ``"recommended"``, ``"knee"``, ``"best"`` or ``"cheapest"`` by search scores, or a cascade."""
        return self.study.choose(str(trial))

    def report(
        self,
        out: Path | str | None = None,
        trial: int | str = "recommended",
        *,
        measure: str | None = None,
        costs: Path | str | None = None,
    ) -> Report:
        """Write the report's page and images, by default among the runs of `home`.

        Scores are those that were searched for, or by a `measure` of that name, in a folder of its own. With a table of
        what mistakes `costs` the page has what those of each candidate do.
        """
        from bench.evaluation.mistakes import MistakeCosts
        from bench.report import write

        folder, dataset = self.home.runs / "reports" / self.study.name, self.study.material.dataset
        if measure is not None and score(measure) != self.study.request.space.objectives.score.measure:
            folder /= score(measure).name
        table = None if costs is None else MistakeCosts.read(Path(costs), dataset.labels, dataset.test_only_labels)
        place = folder if out is None else Path(out)
        return write(self.study, place, str(trial), self.tracker, self.progress, measure, table)

    def closing_report(self) -> Report | None:
        """The report that ends a search, or None: a search is not lost because its report cannot be written."""
        try:
            return self.report()
        except Exception as error:  # noqa: BLE001 - whatever it is, the search is done
            # what was not written for people may quote anything
            hidden = self.study.request.dataset.no_texts and not isinstance(error, BenchError)
            words = type(error).__name__ if hidden else in_words(error)
            self.progress.warn(f"the search is done, but no report was written: {words}")
            return None

    def export(
        self,
        out: Path | str | None = None,
        trial: int | str = "recommended",
        *,
        register: str | None = None,
        alias: str | None = None,
        with_weights: bool = False,
        reject_below: float = 0.0,
        costs: Path | str | None = None,
        format: Form = "mlflow",  # noqa: A002 - as the option is called
        precision: Precision = "float32",
    ) -> Exported:
        """Package a candidate or a cascade as an MLflow model: in the new folder `out`, else in the tracking store.

        By `format` ``"onnx"`` or ``"openvino"`` it answers as a graph in a `precision` (see `bench.export`).

        It answers by `reject_below` and a table of what mistakes `costs`, as for `predict`, unless a call asks for
        others.
        """
        from bench.evaluation.mistakes import MistakeCosts
        from bench.evaluation.rule import Rule
        from bench.packaging.export import asked_graphs, export, log
        from bench.tasks import require_trained

        graphs = asked_graphs(format, precision, with_weights=with_weights)
        dataset = self.study.material.dataset
        require_trained(dataset.task, "An export")
        labels = dataset.labels
        rule = Rule(reject_below, None if costs is None else MistakeCosts.read(Path(costs), labels))
        shared: dict[str, Any] = {"chosen": str(trial), "with_weights": with_weights, "progress": self.progress}
        shared |= {"rule": rule, "graphs": graphs}
        record = self.choose(trial)
        if out is not None:
            return export(self.study, record, Path(out), **shared)
        return log(self.study, record, self.tracker, register=register, alias=alias, **shared)
