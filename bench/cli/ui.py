"""`bench ui`."""

import click

from bench.api import HOME
from bench.cli import options
from bench.cli.fields import Whole


@click.command()
@click.option("--port", type=Whole(1, 65535), default=5000, show_default=True, help="Port to listen on.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; loopback unless you say so."
)
@options.tracking_option
def ui(port: int, host: str, tracking_uri: str | None) -> None:
    """Open MLflow's UI on the tracking store."""
    import subprocess
    import sys

    from bench.errors import BenchError
    from bench.tracking.addresses import is_server
    from bench.tracking.mlflow import MlflowStore

    store = MlflowStore(HOME, tracking_uri)
    if is_server(store.uri):
        click.echo(f"{store.uri} is a server already: open it in a browser.")
        return
    store.require()
    _check_free(host, port)
    click.echo(f"MLflow on http://{host}:{port} (Ctrl-C ends it)")
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        store.address,
        "--host",
        host,
        "--port",
        str(port),
    ]
    status = subprocess.run(command, check=False).returncode  # noqa: S603 - our own arguments, no shell
    if status:
        raise BenchError(f"MLflow ended with status {status}; what it said is above.")


def _check_free(host: str, port: int) -> None:
    """Raise BenchError where nothing can listen there: MLflow would say it in a traceback."""
    import errno
    import socket

    from bench.errors import BenchError

    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BenchError(f"Port {port} is taken: choose another with --port.") from error
        raise BenchError(
            f"Nothing can listen on {host}, port {port} ({error.strerror}): choose another --host or --port."
        ) from error
