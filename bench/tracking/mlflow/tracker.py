"""Studies and trials as runs of MLflow's."""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from bench.errors import BenchError
from bench.progress import SILENT, Progress
from bench.tracking.addresses import UI, is_server
from bench.tracking.mlflow import views
from bench.tracking.mlflow.models import MlflowModels
from bench.tracking.mlflow.store import MlflowStore
from bench.tracking.record import Params, Record, Status, TrackedStudy, TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KIND, STUDY, ID, KEY = "bench.kind", "bench.study", "bench.id", "bench.key"
PARENT, SOURCE = "mlflow.parentRunId", "mlflow.source.name"
PAGE = 1000


class MlflowTracker:
    """Writes to an MLflow server or database; by default to `mlruns/mlflow.db`, artifacts beside it.

    A trial is one `create_run`, one `log_batch`, files written straight into a local artifact folder, and one
    `set_terminated`: a tenth of the time of MLflow's fluent calls, and flat in the number of runs.

    Raises:
        BenchError: `uri` is no address of a store (see `check_address`).
    """

    def __init__(
        self, home: Path, uri: str | None = None, source: str = "bench search", progress: Progress = SILENT
    ) -> None:
        self.store = MlflowStore(home, uri, progress)
        self.uri = self.store.uri
        self.models = MlflowModels(self.store)
        self._source = source
        self._progress = progress
        self._experiment = ""
        self._parent = ""
        self._study = ""
        self._shared: Mapping[str, str] = {}
        self._opening: TrackedStudy | None = None
        self._tags: Mapping[str, str] = {}
        self._children: dict[str, str] = {}
        self._view: str | None = None

    @property
    def _client(self) -> "MlflowClient":
        return self.store.connect_or_create()

    def open(self, study: TrackedStudy) -> str | None:
        """Begin or resume the parent run of a study; what a kill left half-written below it is deleted."""
        self._parent, self._opening = "", None
        self._experiment = self._experiment_id(study.experiment)
        self._study, self._shared, self._opening = study.name, study.tags, study
        self._show(study)
        tags = dict(study.tags) if study.id is None else {ID: study.id, **study.tags}
        if (own := self._own(study)) is not None:
            self._parent = str(own.info.run_id)
            self._client.update_run(self._parent, status="RUNNING")
            known, self._tags = own.data.params, own.data.tags
        else:
            self._tell_of_others(study)
            named = {**tags, KIND: "study", STUDY: study.name, SOURCE: self._source}
            self._parent = self._client.create_run(self._experiment, run_name=study.name, tags=named).info.run_id
            known, self._tags = {}, {}
        missing = {name: value for name, value in study.params.items() if name not in known}
        self._batch(self._parent, missing, {}, (), tags)
        self._children = {}
        for run in self._nested(self._parent):
            if run.info.status == "RUNNING":
                self._client.delete_run(run.info.run_id)
            else:
                self._children[run.data.tags[KEY]] = run.info.run_id
        return self._parent

    def look(self, study: TrackedStudy) -> str | None:
        """The id of the parent run of a study, which `attach` and `compare_url` then mean; None where there is none.

        Nothing is created or changed.
        """
        if not self.store.exists():
            return None
        found = self._client.get_experiment_by_name(study.experiment)
        if found is None:
            return None
        self._experiment = str(found.experiment_id)
        self._view = key if (key := views.key(study)) and views.TAG + key in found.tags else None
        own = self._own(study)
        if own is None:
            return None
        self._parent, self._study = str(own.info.run_id), study.name
        return self._parent

    def trial_run(self, study: TrackedStudy, key: str) -> str | None:
        """The id of a study's nested run with that key, whether or not the study is open here; None without one.

        Raises:
            BenchError: there is no store (see `MlflowStore.require`).
        """
        self.store.connect()
        parent = self.look(study)
        found = [] if parent is None else self._nested(parent, f" and tags.`{KEY}` = '{key}'")
        return str(found[0].info.run_id) if found else None

    def delete_study(self, study: TrackedStudy) -> int:
        """Delete the runs of a study, its own last, and say how many there were: MLflow keeps them as deleted.

        Raises:
            BenchError: the store cannot be used.
        """
        if (parent := self.look(study)) is None:
            return 0
        runs = [*(run.info.run_id for run in self._nested(parent)), parent]
        for run in runs:
            self._client.delete_run(run)
        return len(runs)

    def rename_study(self, study: TrackedStudy, name: str) -> int:
        """Give the runs of a study its new name, its own last, by which it is found; say how many there are.

        Raises:
            BenchError: the store cannot be used.
        """
        if (parent := self.look(study)) is None:
            return 0
        runs = [run.info.run_id for run in self._nested(parent)]
        for run in runs:
            self._client.set_tag(run, STUDY, name)
        self._client.update_run(parent, name=name)
        self._client.set_tag(parent, STUDY, name)
        return len(runs) + 1

    def _named(self, study: TrackedStudy) -> list["Run"]:
        """The parent runs of all studies of that name."""
        return self._search(f"tags.`{KIND}` = 'study' and tags.`{STUDY}` = '{study.name}'")

    def _nested(self, parent: str, further: str = "") -> list["Run"]:
        """The nested runs that bench wrote."""
        return self._search(f"tags.`{PARENT}` = '{parent}' and tags.`{KEY}` LIKE '%'{further}")

    def _own(self, study: TrackedStudy) -> "Run | None":
        """The parent run that is this study's."""
        named = self._named(study)
        for run in named:
            if study.id is not None and run.data.tags.get(ID) == study.id:
                return run
        for run in named:
            if ID not in run.data.tags and not _differences(run, study) and self._remembered(run, study):
                return run
        return None

    def _remembered(self, parent: "Run", study: TrackedStudy) -> bool:
        if not study.runs:
            return study.runs is None
        return any(run.info.run_id in study.runs for run in self._nested(parent.info.run_id))

    def _tell_of_others(self, study: TrackedStudy) -> None:
        """Studies of one name stand side by side, which somebody who looks for a run should know."""
        if others := self._named(study):
            changed = "; ".join(_differences(others[0], study)) or "of another folder, or its journal is gone"
            self._progress.warn(
                f"{self.uri} has another study '{study.name}' ({changed}): this one gets a run of its own there"
            )

    def _show(self, study: TrackedStudy) -> None:
        """Keep a view of the list of runs with the study's columns, the best first."""
        self._view = views.key(study)
        if self._view is None:
            return
        tag, state = views.TAG + self._view, views.state(study)
        if self._client.get_experiment(self._experiment).tags.get(tag) != state:
            self._client.set_experiment_tag(self._experiment, tag, state)

    @property
    def _server(self) -> str:
        """That of the store, or the one where `bench ui` shows a database."""
        return self.store.uri.rstrip("/") if is_server(self.store.uri) else UI

    def runs_url(self) -> str | None:
        """The address in MLflow's UI that lists the runs of the opened study's experiment with its columns."""
        if self._view is None:
            return None
        place = f"{self._server}/#/experiments/{self._experiment}/runs"
        return f"{place}?viewStateShareKey={self._view}&workflowType=machine_learning"

    def compare_url(self, runs: Sequence[str]) -> str:
        """The address in MLflow's UI that sets runs of the opened study side by side."""
        server = self._server
        chosen, within = (quote(json.dumps(list(ids), separators=(",", ":"))) for ids in (runs, [self._experiment]))
        # else the UI opens on its pages for language-model applications
        return f"{server}/#/compare-runs?runs={chosen}&experiments={within}&workflowType=machine_learning"

    def _experiment_id(self, name: str) -> str:
        client = self._client
        found = client.get_experiment_by_name(name)
        if found is None:
            # the kind makes the UI open on its runs, not on its views for language-model applications
            tags = {"mlflow.experimentKind": "custom_model_development"}
            try:
                return str(client.create_experiment(name, artifact_location=self.store.artifacts, tags=tags))
            except TrackingError:
                # another process may have made it since we looked
                found = client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
            raise BenchError(
                f"The experiment '{name}' was deleted in the tracking store {self.uri}. Restore it with "
                f"MLFLOW_TRACKING_URI={self.uri} {restore}, or write elsewhere with `tracking_uri`."
            )
        return str(found.experiment_id)

    def _search(self, query: str) -> list["Run"]:
        token = None
        found: list[Run] = []
        while True:
            page = self._client.search_runs([self._experiment], query, max_results=PAGE, page_token=token)
            found.extend(page)
            if not (token := page.token):
                return found

    def _batch(
        self,
        run: str,
        params: Params,
        metrics: Mapping[str, float],
        steps: Sequence[tuple[str, int, float]],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        self._client.log_batch(
            run,
            metrics=[
                *(Metric(name, value, now, 0) for name, value in metrics.items()),
                *(Metric(name, value, now, step) for name, step, value in steps),
            ],
            params=[Param(name, str(value)) for name, value in params.items()],
            tags=[RunTag(name, value) for name, value in (tags or {}).items()],
        )

    def tag(self, name: str) -> str | None:
        """A tag of the opened parent run, as it was when it was opened; None without one."""
        return self._tags.get(name)

    def set_tag(self, name: str, value: str) -> None:
        """Tag the opened parent run."""
        self._client.set_tag(self._parent, name, value)

    def find(self, key: str) -> str | None:
        """The id of the nested run with that key, or None."""
        return self._children.get(key)

    def log(self, record: Record) -> str | None:
        """Write a nested run, unless its key is there already, and return its id."""
        if (known := self._children.get(record.key)) is not None:
            # written before a kill; the trial that is told now may have another number
            self.update(known, {}, record.tags)
            return known
        client = self._client
        tags = {KIND: "trial", STUDY: self._study, KEY: record.key, PARENT: self._parent, SOURCE: self._source}
        tags |= {**self._shared, **record.tags}
        run = client.create_run(self._experiment, run_name=record.name, tags=tags)
        try:
            self._batch(run.info.run_id, record.params, record.metrics, record.steps)
            self._write(run.info.run_id, run.info.artifact_uri, record.artifacts)
            client.set_terminated(run.info.run_id)
        except BaseException:
            # Ctrl-C included: half a run must not look as if it went on
            self.store.patience.give_up()
            with suppress(TrackingError):
                client.delete_run(run.info.run_id)
            raise
        self._children[record.key] = run.info.run_id
        return str(run.info.run_id)

    def _write(self, run: str, location: str, artifacts: Mapping[str, bytes]) -> None:
        parts = urlsplit(location)
        if parts.scheme in ("", "file"):
            self.store.patience.ask(lambda: _fill(Path(url2pathname(parts.path)), artifacts))
            return
        with tempfile.TemporaryDirectory() as folder:
            _fill(Path(folder), artifacts)
            self._client.log_artifacts(run, folder)

    def update(self, run: str | None, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Add metrics and set tags of a run that exists."""
        if run is not None:
            self._batch(run, {}, metrics, (), tags)

    def attach(self, artifacts: Mapping[str, bytes]) -> None:
        """Put files on the parent run; a file of that name is replaced."""
        run = self._client.get_run(self._parent)
        self._write(self._parent, run.info.artifact_uri, artifacts)

    def close(self, metrics: Mapping[str, float], tags: Mapping[str, str], status: Status = "FINISHED") -> None:
        """End the parent run, and nested ones that were begun in vain: a call that was asked again made them twice."""
        if status == "KILLED":
            self.store.patience.give_up()
            # broken off while it was opened, it may have been made without our knowing its id
            if not self._parent and (self._opening is None or self.look(self._opening) is None):
                return
        for run in self._nested(self._parent, " and attributes.status = 'RUNNING'"):
            self._client.delete_run(run.info.run_id)
        self._batch(self._parent, {}, metrics, (), tags)
        self._client.set_terminated(self._parent, status)


def _fill(folder: Path, artifacts: Mapping[str, bytes]) -> None:
    for name, content in artifacts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _differences(parent: "Run", study: TrackedStudy) -> list[str]:
    """In which parameters a parent run is of other settings, `name: there → here`; a version may know fewer."""
    there, here = parent.data.params, {name: str(value) for name, value in study.params.items()}
    return [f"{name}: {there[name]} → {value}" for name, value in here.items() if there.get(name, value) != value]
