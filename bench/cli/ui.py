"""`bench ui`."""

import click

from bench.cli import options


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="Port to listen on.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; loopback unless you say so."
)
@click.option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="Database to show.  [default: mlruns/mlflow.db]")
def ui(port: int, host: str, tracking_uri: str | None) -> None:
    """Open MLflow's UI on the tracking store."""
    import subprocess
    import sys

    from bench.errors import BenchError
    from bench.tracking import MlflowTracker, redacted

    if tracking_uri and tracking_uri.startswith(("http://", "https://")):
        click.echo(f"{redacted(tracking_uri)} is a server already: open it in a browser.")
        return
    database = options.HOME / "mlflow.db"
    if tracking_uri is None and not database.exists():
        raise BenchError(f"There is no {database} here. Run `bench search` in this folder first.")
    tracker = MlflowTracker(options.HOME, tracking_uri)
    click.echo(f"MLflow on http://{host}:{port} (Ctrl-C ends it)")
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        tracker.address,
        "--host",
        host,
        "--port",
        str(port),
    ]
    raise SystemExit(subprocess.run(command, check=False).returncode)  # noqa: S603 - our own arguments, no shell
