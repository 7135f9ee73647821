"""Where studies and trials are written down for comparison: MLflow."""

import json
import os
import re
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from bench.errors import BenchError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KIND, STUDY, KEY = "bench.kind", "bench.study", "bench.key"
PARENT, SOURCE = "mlflow.parentRunId", "mlflow.source.name"
PAGE = 1000
UI = "http://127.0.0.1:5000"
"""Where `bench ui` listens unless told otherwise."""
SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")
"""What an address may begin with. MLflow also takes folders, whose file stores it gives up."""
FILE = "sqlite:///"
Status = Literal["FINISHED", "KILLED"]


@dataclass(frozen=True)
class Record:
    """One run, whole: it is written after the work is done, so that little can be left half-written.

    `key` identifies it within its study; a record with a known key replaces nothing and is written once. `steps` are
    (name, step, value). `artifacts` map a relative path to a file's content.
    """

    key: str
    name: str
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    steps: Sequence[tuple[str, int, float]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, bytes] = field(default_factory=dict)


class Tracker(Protocol):
    """What a study needs of experiment tracking."""

    uri: str

    def open(self, experiment: str, study: str, params: Mapping[str, str | int | float]) -> str | None:
        """Begin or resume the parent run of a study and return its id."""

    def find(self, key: str) -> str | None:
        """The id of the nested run with that key, or None."""

    def log(self, record: Record) -> str | None:
        """Write a nested run, unless its key is there already, and return its id."""

    def update(self, run: str | None, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Add metrics and set tags of a run that exists."""

    def attach(self, artifacts: Mapping[str, bytes]) -> None:
        """Put files on the parent run; a file of that name is replaced."""

    def close(self, metrics: Mapping[str, float], tags: Mapping[str, str], status: Status = "FINISHED") -> None:
        """End the parent run."""


def check_address(uri: str) -> None:
    """Raise BenchError where `uri` cannot be the address of a tracking store; nothing is connected to."""
    scheme = re.match(r"([a-z]+)(\+\w+)?://|databricks$", uri)
    if scheme is None or scheme[1] not in (*SCHEMES, None):
        raise BenchError(
            f"'{redacted(uri)}' is no address of a tracking store: give sqlite:///FILE, another database, or "
            "http(s)://HOST with --tracking-uri (MLFLOW_TRACKING_URI)."
        )


def redacted(uri: str) -> str:
    """The address without the user and password that it may carry."""
    return re.sub(r"(?<=://)[^/@]*@", "", uri)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Variables that the user has not set, for a moment."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def used(uri: str) -> Iterator[None]:
    """Let MLflow's functions that take the store from the process use this one, for a moment.

    Setting an address also exports it to child processes (`mlflow.set_tracking_uri`); what was exported before, which
    is mostly nothing, comes back at the end, or the next command of this process would write to this store.
    """
    import mlflow

    names = "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"
    before = {name: os.environ.get(name) for name in names}
    tracking = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(tracking)  # type: ignore[arg-type]  # None unsets
        mlflow.set_registry_uri(before["MLFLOW_REGISTRY_URI"])  # type: ignore[arg-type]
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class MlflowTracker:
    """Writes to an MLflow server or database; by default to `mlruns/mlflow.db`, artifacts beside it.

    A trial is one `create_run`, one `log_batch`, files written straight into a local artifact folder, and one
    `set_terminated`: a tenth of the time of MLflow's fluent calls, and flat in the number of runs.

    Raises:
        BenchError: `uri` is no address of a store (see `check_address`).
    """

    def __init__(self, home: Path, uri: str | None = None, source: str = "bench search") -> None:
        self._source = source
        self._home = home.resolve()
        self._local = uri is None
        if uri is not None:
            check_address(uri)
        self.address = uri or f"{FILE}{self._home / 'mlflow.db'}"
        self._shown = home / "mlflow.db"
        self.uri = redacted(self.address)
        self._client: MlflowClient | None = None
        self._experiment = ""
        self._parent = ""
        self._study = ""
        self._children: dict[str, str] = {}

    def connect(self) -> "MlflowClient":
        """MLflow's own client for a store that is there; connects when first asked for.

        Raises:
            BenchError: see `require`; or the store cannot be used.
        """
        self.require()
        return self._connected()

    def require(self) -> None:
        """Raise BenchError where the store is a file that does not exist, which reading must not create."""
        if not self._exists():
            raise BenchError(
                f"There is no {self._shown} here. Run `bench search` in this folder first, or name a store with "
                "--tracking-uri."
                if self._local
                else f"There is no database {self.address.removeprefix(FILE)}: check --tracking-uri."
            )

    def _exists(self) -> bool:
        """Whether there is a store to be read, as far as can be told without connecting."""
        return not self.address.startswith(FILE) or Path(self.address.removeprefix(FILE).partition("?")[0]).exists()

    def _connected(self) -> "MlflowClient":
        if self._client is not None:
            return self._client
        from filelock import FileLock

        # a terminal should not be told of every migration of an empty database
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        from mlflow import MlflowClient

        try:
            if not self._local:
                # MLflow asks a server that is not there for four minutes
                with environment(MLFLOW_HTTP_REQUEST_MAX_RETRIES="2"):
                    client = MlflowClient(self.address)
                    client.search_experiments(max_results=1)
                self._client = client
                return client
            self._home.mkdir(parents=True, exist_ok=True)
            # processes that open a new database together race in creating its tables
            with FileLock(self._home / ".mlflow.lock"):
                self._client = MlflowClient(self.address)
                self._client.search_experiments(max_results=1)
        except Exception as error:
            reason = textwrap.shorten(redacted(str(error)), 200, placeholder=" …").rstrip(".")
            raise BenchError(
                f"The tracking store {self.uri} cannot be used: {reason}. "
                "Check --tracking-uri, or leave it out to write to mlruns/."
            ) from error
        return self._client

    def open(self, experiment: str, study: str, params: Mapping[str, str | int | float]) -> str | None:
        """Begin or resume the parent run of a study; runs that a kill left half-written are deleted."""
        client = self._connected()
        self._experiment = self._experiment_id(experiment)
        self._study = study
        parents = self._search(f"tags.`{KIND}` = 'study' and tags.`{STUDY}` = '{study}'")
        if parents:
            self._parent = parents[0].info.run_id
            client.update_run(self._parent, status="RUNNING")
        else:
            tags = {KIND: "study", STUDY: study, SOURCE: self._source}
            self._parent = client.create_run(self._experiment, run_name=study, tags=tags).info.run_id
            self._batch(self._parent, params, {}, ())
        self._children = {}
        for run in self._search(f"tags.`{PARENT}` = '{self._parent}'"):
            if run.info.status == "RUNNING":
                client.delete_run(run.info.run_id)
            else:
                self._children[run.data.tags[KEY]] = run.info.run_id
        return self._parent

    def look(self, experiment: str, study: str) -> str | None:
        """Find the parent run of a study, so that `attach` and `compare_url` mean it; None where the store has none.

        Nothing is created or changed.
        """
        if not self._exists():
            return None
        found = self._connected().get_experiment_by_name(experiment)
        if found is None:
            return None
        self._experiment = str(found.experiment_id)
        parents = self._search(f"tags.`{KIND}` = 'study' and tags.`{STUDY}` = '{study}'")
        if not parents:
            return None
        self._parent, self._study = str(parents[0].info.run_id), study
        return self._parent

    def compare_url(self, runs: Sequence[str]) -> str:
        """The address in MLflow's UI that sets runs of the opened study side by side.

        That of the server, or the one where `bench ui` shows a database.
        """
        server = self.uri.rstrip("/") if self.uri.startswith(("http://", "https://")) else UI
        chosen, within = (quote(json.dumps(list(ids), separators=(",", ":"))) for ids in (runs, [self._experiment]))
        return f"{server}/#/compare-runs?runs={chosen}&experiments={within}"

    def _experiment_id(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        client = self._connected()
        found = client.get_experiment_by_name(name)
        if found is None:
            location = (self._home / "artifacts").as_uri() if self._local else None
            # the kind makes the UI open on its runs, not on its views for language-model applications
            tags = {"mlflow.experimentKind": "custom_model_development"}
            try:
                return str(client.create_experiment(name, artifact_location=location, tags=tags))
            except MlflowException:
                # another process may have made it since we looked
                found = client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            raise BenchError(
                f"The experiment '{name}' was deleted in the tracking store {self.uri}. Restore it with "
                f"MLFLOW_TRACKING_URI={self.uri} mlflow experiments restore --experiment-id {found.experiment_id}, "
                "or write elsewhere with --tracking-uri."
            )
        return str(found.experiment_id)

    def _search(self, query: str) -> list["Run"]:
        client, token = self._connected(), None
        found: list[Run] = []
        while True:
            page = client.search_runs([self._experiment], query, max_results=PAGE, page_token=token)
            found.extend(page)
            if not (token := page.token):
                return found

    def _batch(
        self,
        run: str,
        params: Mapping[str, str | int | float],
        metrics: Mapping[str, float],
        steps: Sequence[tuple[str, int, float]],
        tags: Mapping[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        self._connected().log_batch(
            run,
            metrics=[
                *(Metric(name, value, now, 0) for name, value in metrics.items()),
                *(Metric(name, value, now, step) for name, step, value in steps),
            ],
            params=[Param(name, str(value)) for name, value in params.items()],
            tags=[RunTag(name, value) for name, value in (tags or {}).items()],
        )

    def find(self, key: str) -> str | None:
        """The id of the nested run with that key, or None."""
        return self._children.get(key)

    def log(self, record: Record) -> str | None:
        """Write a nested run, unless its key is there already, and return its id."""
        if (known := self._children.get(record.key)) is not None:
            # written before a kill; the trial that is told now may have another number
            self.update(known, {}, record.tags)
            return known
        client = self._connected()
        tags = {KIND: "trial", STUDY: self._study, KEY: record.key, PARENT: self._parent, SOURCE: self._source}
        tags |= record.tags
        run = client.create_run(self._experiment, run_name=record.name, tags=tags)
        self._batch(run.info.run_id, record.params, record.metrics, record.steps)
        self._write(run.info.run_id, run.info.artifact_uri, record.artifacts)
        client.set_terminated(run.info.run_id)
        self._children[record.key] = run.info.run_id
        return str(run.info.run_id)

    def _write(self, run: str, location: str, artifacts: Mapping[str, bytes]) -> None:
        parts = urlsplit(location)
        if parts.scheme in ("", "file"):
            _fill(Path(url2pathname(parts.path)), artifacts)
            return
        with tempfile.TemporaryDirectory() as folder:
            _fill(Path(folder), artifacts)
            self._connected().log_artifacts(run, folder)

    def update(self, run: str | None, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Add metrics and set tags of a run that exists."""
        if run is not None:
            self._batch(run, {}, metrics, (), tags)

    def attach(self, artifacts: Mapping[str, bytes]) -> None:
        """Put files on the parent run; a file of that name is replaced."""
        run = self._connected().get_run(self._parent)
        self._write(self._parent, run.info.artifact_uri, artifacts)

    def close(self, metrics: Mapping[str, float], tags: Mapping[str, str], status: Status = "FINISHED") -> None:
        """End the parent run."""
        self._batch(self._parent, {}, metrics, (), tags)
        self._connected().set_terminated(self._parent, status)


def _fill(folder: Path, artifacts: Mapping[str, bytes]) -> None:
    for name, content in artifacts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
