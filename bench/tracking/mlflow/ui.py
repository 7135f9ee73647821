"""MLflow's UI on a tracking store."""

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

from bench.errors import BenchError
from bench.tracking.addresses import is_server
from bench.tracking.mlflow.store import MlflowStore


def serve(store: MlflowStore, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve the UI until it is interrupted; a store that is a server already is only named.

    Raises:
        BenchError: there is no such store, nothing can listen there, or MLflow ends by itself.
    """
    if is_server(store.uri):
        say(f"{store.uri} is a server already: open it in a browser.")
        return
    store.require()
    _check_free(host, port)
    say(f"MLflow on http://{host}:{port} (Ctrl-C ends it)")
    # one process serves a person well; of several, those that answer late on a busy machine are ended and begun anew
    command = [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port), "--workers", "1"]
    # its environment is this user's to read, and its command line everybody's: the address may hold a password
    environment = os.environ | {"MLFLOW_BACKEND_STORE_URI": store.address}
    # a group of its own: MLflow starts its server as other processes, and all of them end with this one
    with subprocess.Popen(command, env=environment, start_new_session=True) as server:  # noqa: S603 - no shell
        try:
            status = server.wait()
        finally:
            _end(server)
    if status:
        raise BenchError(f"MLflow ended with status {status}; what it said is above.")


def _end(server: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(server.pid, signal.SIGTERM)
        else:  # Windows has no groups of processes
            server.terminate()


def _check_free(host: str, port: int) -> None:
    """Raise BenchError where nothing can listen there: MLflow would say it in a traceback."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BenchError(f"Port {port} is taken: choose another with `port`.") from error
        raise BenchError(
            f"Nothing can listen on {host}, port {port} ({error.strerror}): choose another `host` or `port`."
        ) from error
