"""`bench ui`."""

from pathlib import Path

import click

from bench import api
from bench.cli import options, terminal
from bench.cli.fields import Whole, option


@click.command()
@option("--port", type=Whole(1, 65535), default=5000, show_default=True, help="Port to listen on.")
@option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; loopback unless you say so.")
@options.home_option
@options.tracking_option
def ui(port: int, host: str, home: Path | None, tracking_uri: str | None) -> None:
    """Open MLflow's UI on the tracking store."""
    api.open_ui(host, port, home=home, tracking_uri=tracking_uri, say=terminal.echo)
