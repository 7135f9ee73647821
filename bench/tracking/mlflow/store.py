"""A tracking store of MLflow's: a database or a server, connected to when first asked for."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bench.addresses import redacted
from bench.errors import BenchError
from bench.progress import SILENT, Progress
from bench.tracking.addresses import FILE, check_address, file_of, is_server
from bench.tracking.mlflow.database import prepare, whole
from bench.tracking.mlflow.patience import Patience, PatientClient, quietly, reason_of
from bench.tracking.mlflow.process import unbroken, variables
from bench.tracking.record import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient


class MlflowStore:
    """The store at `address`, by default `mlflow.db` in the folder `home`, with artifacts beside it.

    `uri` is its address without a password, `artifacts` where a new experiment's files go (None: the server decides).

    Raises:
        BenchError: `address` is no address of a store (see `check_address`).
    """

    def __init__(self, home: Path, address: str | None = None, progress: Progress = SILENT) -> None:
        if address is not None:
            check_address(address)
        self._home = home.resolve()
        self._shown = home / "mlflow.db"
        self._local = address is None
        self._progress = progress
        self._client: MlflowClient | None = None
        self.address = address or f"{FILE}{self._home / 'mlflow.db'}"
        self.uri = redacted(self.address)
        self.patience = Patience(self.address, progress)
        self.artifacts = (self._home / "artifacts").as_uri() if self._local else None

    def exists(self) -> bool:
        """Whether there is a store to be read, as far as can be told without connecting."""
        file = file_of(self.address)
        return file is None or file.exists()

    def require(self) -> None:
        """Raise BenchError where the store is a file that does not exist, which reading must not create."""
        if not self.exists():
            raise BenchError(
                f"There is no {self._shown} here. Run `bench search` in this folder first, or name a store with "
                "`tracking_uri`."
                if self._local
                else f"There is no database {self.address.removeprefix(FILE)}: check `tracking_uri`."
            )

    def connect(self) -> "MlflowClient":
        """MLflow's own client for a store that is there; each call of it may raise TrackingError, and no other error.

        Raises:
            BenchError: see `require`; or the store cannot be used.
        """
        self.require()
        return self.connect_or_create()

    def connect_or_create(self) -> "MlflowClient":
        """The same for a store that is written to: a database that is not there is created.

        Raises:
            BenchError: the store cannot be used.
        """
        if self._client is None:
            # a terminal should not be told of every migration of an empty database
            os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
            try:
                file = file_of(self.address)
                if file is not None:
                    self._prepare(file)
                self._client = self._reached()
            except BenchError:
                raise
            except Exception as error:
                remedy = "" if self._local else " Check `tracking_uri`, or leave it out to write to mlruns/."
                raise TrackingError(
                    f"The tracking store {self.uri} cannot be used: {reason_of(error, self.address)}.{remedy}"
                ) from error
        return self._client

    def _reached(self) -> "MlflowClient":
        from mlflow import MlflowClient

        def reached() -> MlflowClient:
            if not is_server(self.address) and file_of(self.address) is None:
                _try_database(self.address)
            client = MlflowClient(self.address)
            client.search_experiments(max_results=1)
            return client

        # a store that is not there is said soon, and not waited for
        short = variables(MLFLOW_HTTP_REQUEST_MAX_RETRIES="2", MLFLOW_HTTP_REQUEST_TIMEOUT="20")
        with short, self.patience.telling():
            return cast("MlflowClient", PatientClient(unbroken(quietly(reached)), self.patience))

    def _prepare(self, file: Path) -> None:
        """Make or migrate a database that is a file; only our own is changed where it is an older MLflow's."""
        from filelock import FileLock

        if whole(file):
            return
        if self._local:
            file.parent.mkdir(parents=True, exist_ok=True)
        # processes that open a new database together race in creating its tables
        lock = file.parent / (".mlflow.lock" if self._local else f".{file.name}.lock")
        with FileLock(lock):
            prepare(file, self._progress.warn, migrate=self._local)


def _try_database(address: str) -> None:
    """Connect once, and raise what the driver says; MLflow tries for 100 seconds."""
    from sqlalchemy import create_engine

    if "://" in address and not address.startswith("databricks"):
        engine = create_engine(address)
        engine.connect().close()
        engine.dispose()
