"""The services of compose.yaml from installed programs, on loopback: PostgreSQL, MLflow's server, an S3-like store.

    pip install 'psycopg[binary]' boto3 'moto[s3]'   # and PostgreSQL's own programs, such as Debian's postgresql
    python docs/scale/services.py                    # starts them, says what to export, and ends them with Ctrl-C

Passwords go through the environment alone. Where this is root, PostgreSQL, which refuses that, runs as `postgres`.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HOST, BUCKET = "127.0.0.1", "mlflow"
DATABASES = ("mlflow",)
START = 120.0
"""Seconds in which a service answers."""


def program(name: str) -> str | None:
    """A program of PostgreSQL's: on the path, or where Debian keeps the newest."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return shutil.which(name) or (str(places[-1]) if places else None)


def lacking() -> str | None:
    """What these services lack on this machine, in words; None where they lack nothing."""
    from importlib.util import find_spec

    missing = [name for name in ("initdb", "postgres") if program(name) is None]
    missing += [name for name in ("psycopg", "boto3", "moto") if find_spec(name) is None]
    return f"not installed here: {', '.join(missing)}" if missing else None


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


@dataclass
class Service:
    """A process in a group of its own, with a log, that can be ended and started again on its port."""

    folder: Path
    command: list[str]
    answers: Callable[[], object]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        environment = {**os.environ, **self.environment}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self.user,
            )
        until = time.monotonic() + START
        while True:
            try:
                self.answers()
            except Exception as error:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise RuntimeError(f"{self.command[0]} does not answer; see {self.folder / 'log'}") from error
                time.sleep(0.2)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it and all that it has started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, how)
            self._process.wait(60)
            self._process = None

    def restart(self, seconds: float = 0.0) -> None:
        """End it outright, and start it again after a while."""
        self.stop()
        time.sleep(seconds)
        self.start()


class Postgres(Service):
    """A database cluster of its own, whose one role `bench` has a password."""

    def __init__(self, folder: Path, password: str) -> None:
        self.port, self.password, self.data = free_port(), password, folder / "data"
        port = ["-p", str(self.port), "-c", f"listen_addresses={HOST}", "-c", "unix_socket_directories="]
        # a database that only tests write may lose what a power cut takes
        command = [program("postgres") or "postgres", "-D", str(self.data), *port, "-c", "fsync=off"]
        super().__init__(folder, command, self._databases, user="postgres" if os.geteuid() == 0 else None)
        if self.user is not None:
            shutil.chown(folder, self.user)
        self._make()

    def _make(self) -> None:
        secret = self.folder / "password"
        secret.touch(0o600)
        secret.write_text(self.password, encoding="utf-8")
        if self.user is not None:
            shutil.chown(secret, self.user)
        words = [program("initdb") or "initdb", "-D", str(self.data), "-U", "bench", "--no-sync", "--no-locale"]
        words += ["-E", "UTF8", "--auth=scram-sha-256", f"--pwfile={secret}"]
        done = subprocess.run(words, cwd=self.folder, user=self.user, capture_output=True, text=True)
        secret.unlink()
        if done.returncode:
            raise RuntimeError(f"initdb: {done.stderr}")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it at once: it recovers from its log at the next start, as after a crash."""
        super().stop(how)

    def _databases(self) -> None:
        import psycopg

        who = {"host": HOST, "port": self.port, "user": "bench", "password": self.password}
        with psycopg.connect(dbname="postgres", autocommit=True, **who) as connection:
            there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
            for name in set(DATABASES) - there:
                connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]

    def address(self, database: str) -> str:
        """As SQLAlchemy has it, without the password, which is `PGPASSWORD`'s."""
        return f"postgresql+psycopg://bench@{HOST}:{self.port}/{database}"


class Objects(Service):
    """moto's S3, in memory."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(self.port)]
        super().__init__(folder, command, self._bucket)

    @property
    def access(self) -> dict[str, str]:
        """What a client's environment needs."""
        address = f"http://{HOST}:{self.port}"
        keys = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
        return {**keys, "AWS_ENDPOINT_URL": address, "MLFLOW_S3_ENDPOINT_URL": address}

    def _client(self) -> object:
        import boto3

        who = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=f"http://{HOST}:{self.port}", **who)

    def _bucket(self) -> None:
        self._client().create_bucket(Bucket=BUCKET)  # type: ignore[attr-defined]

    def names(self) -> list[str]:
        """Of all objects."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)  # type: ignore[attr-defined]
        return [each["Key"] for page in pages for each in page.get("Contents", ())]


class Mlflow(Service):
    """An MLflow server on that database; files go through it to the objects."""

    def __init__(self, folder: Path, postgres: Postgres, objects: Objects) -> None:
        self.address = f"http://{HOST}:{(port := free_port())}"
        words = ["server", "--host", HOST, "--port", str(port), "--workers", "1"]
        words += ["--artifacts-destination", f"s3://{BUCKET}"]
        environment = {
            **objects.access,
            "MLFLOW_BACKEND_STORE_URI": postgres.address("mlflow"),
            "PGPASSWORD": postgres.password,
        }
        super().__init__(folder, [sys.executable, "-m", "mlflow", *words], self._healthy, environment)

    def _healthy(self) -> None:
        urllib.request.urlopen(f"{self.address}/health", timeout=2).close()


@dataclass(frozen=True)
class Services:
    """All of them, running."""

    postgres: Postgres
    objects: Objects
    mlflow: Mlflow


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder that other users can enter: not below one that only root may."""
    with tempfile.TemporaryDirectory(prefix="bench-services-", ignore_cleanup_errors=True) as top:
        Path(top).chmod(0o755)
        yield Path(top)


@contextmanager
def services(password: str | None = None) -> Iterator[Services]:
    """Start all in a temporary folder, and end them."""
    with folder() as top:
        places = {name: top / name for name in ("postgres", "objects", "mlflow")}
        for place in places.values():
            place.mkdir()
        started: list[Service] = []
        try:
            postgres = Postgres(places["postgres"], password or secrets.token_hex(12))
            objects = Objects(places["objects"])
            mlflow = Mlflow(places["mlflow"], postgres, objects)
            for each in (postgres, objects, mlflow):
                started.append(each)
                each.start()
            yield Services(postgres, objects, mlflow)
        finally:
            for each in reversed(started):
                each.stop()


def main() -> None:
    """Start all, say how they are reached, and wait for Ctrl-C."""
    if (missing := lacking()) is not None:
        sys.exit(f"These services cannot be started: {missing}.")
    with services(os.environ.get("PGPASSWORD")) as running:
        print(f"export MLFLOW_TRACKING_URI={running.mlflow.address}", flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
