"""Addresses of tracking stores: which there are, and how one is shown."""

import re
from pathlib import Path

from bench.addresses import redacted
from bench.errors import BenchError

SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")
"""What an address may begin with. MLflow also takes folders, whose file stores it gives up."""
FILE = "sqlite:///"
UI = "http://127.0.0.1:5000"
"""Where `bench ui` listens unless told otherwise."""


def check_address(uri: str) -> None:
    """Raise BenchError where `uri` cannot be the address of a tracking store; nothing is connected to."""
    scheme = re.match(r"([a-z]+)(\+\w+)?://|databricks$", uri)
    if scheme is None or scheme[1] not in (*SCHEMES, None):
        raise BenchError(
            f"'{redacted(uri)}' is no address of a tracking store: give sqlite:///FILE, another database, or "
            "http(s)://HOST with `tracking_uri` (MLFLOW_TRACKING_URI)."
        )
    if scheme[1] == "sqlite" and uri.removeprefix(FILE).partition("?")[0] in ("", "sqlite://", ":memory:"):
        raise BenchError(f"'{uri}' is a database in memory, gone when the command ends: name a file, {FILE}FILE.")


def is_server(uri: str) -> bool:
    """Whether a server of MLflow's listens there, which a browser can open as it is."""
    return uri.startswith(("http://", "https://"))


def file_of(uri: str) -> Path | None:
    """The file of a database that is one, else None."""
    return Path(uri.removeprefix(FILE).partition("?")[0]) if uri.startswith(FILE) else None
