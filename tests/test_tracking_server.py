"""Studies on a local MLflow server: one that is stopped in mid-search, and one whose address holds a password."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from formats.make import SEARCH
from test_tracking_failures import folder, hasty, nested, searched, undisturbed, whole  # noqa: F401 - fixtures

from bench.cli.main import cli
from bench.tracking import MlflowTracker

pytestmark = pytest.mark.slow
INPUTS = Path(__file__).parent / "inputs" / "11"
SECRET = "S3CR3T"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"nothing answers on port {port}")


class Server:
    """An MLflow server on a database of its own, which can be stopped and started again."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = os.environ | {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{self.home / 'mlflow.db'}"}
        words = ["--port", str(self.port), "--workers", "1", "--artifacts-destination", str(self.home / "artifacts")]
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", *words]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, cwd=self.home, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(self.port)

    def stop(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None


@pytest.fixture
def server(whole: Path, tmp_path: Path) -> Iterator[Server]:  # noqa: F811
    home = tmp_path / "server"
    home.mkdir()
    shutil.copy2(whole / "mlflow.db", home / "mlflow.db")
    made = Server(home)
    made.start()
    yield made
    made.stop()


@pytest.mark.night
def test_a_server_that_is_stopped_in_mid_search_gets_what_it_lacks_later(
    server: Server,
    folder: Path,  # noqa: F811
    undisturbed: tuple[Path, dict[str, Any]],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, log, trials = f"http://127.0.0.1:{server.port}", MlflowTracker.log, []

    def stopping(self: MlflowTracker, record: Any) -> Any:
        trials.append(record)
        if len(trials) == 3:
            server.stop()
        return log(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowTracker, "log", stopping)
        first, words, status = searched("--tracking-uri", address)
    assert (status, len(first["front"])) == (2, len(undisturbed[1]["front"]))
    assert f"tracking store {address} has not answered for" in words
    assert "run the same command again" in words
    assert "Traceback" not in words
    server.start()
    second, _, status = searched("--tracking-uri", address)
    assert (status, second["untracked"]) == (0, None)
    expected = f"sqlite:///{undisturbed[0] / 'mlruns' / 'mlflow.db'}"
    assert nested(address, second["parent_run_id"]) == nested(expected, undisturbed[1]["parent_run_id"])


@contextmanager
def watched() -> Iterator[Callable[[], list[str]]]:
    """The command lines with the secret of all processes that run within, as anybody on the machine sees them."""
    found: set[str] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.3):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    line = path.read_bytes()
                    if SECRET.encode() in line:
                        found.add(line.replace(b"\0", b" ").decode())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lambda: sorted(found)
    finally:
        ended.set()
        thread.join()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs a list of processes")
def test_a_secret_of_the_environment_is_in_no_output_file_database_or_list_of_processes(
    server: Server,
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    host = f"127.0.0.1:{server.port}"
    for name, value in json.loads((INPUTS / "environment.json").read_text("utf-8")).items():
        monkeypatch.setenv(name, value.replace("HOST", host))

    def bench(*words: str, status: int = 0) -> str:
        ran = CliRunner().invoke(cli, words)
        assert (0 if ran.exception is None else 2) == status, ran.exception
        beside = capfd.readouterr()
        assert SECRET not in ran.output + str(ran.exception) + beside.out + beside.err, words
        return ran.stdout

    asked = ("search", *SEARCH, "--trials", "3", "--study", "s", "--json")
    with watched() as seen:
        found = json.loads(bench(*asked))
        assert found["tracking_uri"] == f"http://{host}"
        assert found["compare_url"].startswith(f"http://{host}/#/compare-runs")
        bench("report", "s")
        bench("export", "s", "--out", "package")
        bench("export", "s", "--register", "classifier", "--alias", "champion")
        (folder / "texts.csv").write_text("text\nwheat harvest\n")
        bench("predict", "texts.csv", "--model", "models:/classifier@champion")
        bench("predict", "texts.csv", "--model", "models:/none@champion", status=2)
        bench("ui")
        # errors of addresses: nobody there, no such driver, no address
        for address in (f"http://me:{SECRET}@127.0.0.1:9", f"postgresql://me:{SECRET}@127.0.0.1:9/x", f"me:{SECRET}@h"):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
            bench(*asked, status=2)
        assert seen() == []
    server.stop()
    files = [path for top in (folder, server.home) for path in top.rglob("*") if path.is_file()]
    assert {".journal", ".html", ".db", ".json"} <= {path.suffix for path in files}
    assert [str(path) for path in files if SECRET.encode() in path.read_bytes()] == []


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs a list of processes")
def test_the_address_of_the_ui_s_store_is_on_no_command_line(whole: Path, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / SECRET / "mlflow.db"
    file.parent.mkdir()
    shutil.copy2(whole / "mlflow.db", file)
    port = free_port()
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{quote(str(file))}"}
    command = [sys.executable, "-m", "bench", "ui", "--port", str(port)]
    with watched() as seen, subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as ui:
        try:
            wait_for(port)
            assert seen() == []
        finally:
            ui.terminate()
            ui.wait(60)
