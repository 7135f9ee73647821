"""Options that several commands share and that no setting stands for."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bench.cli import completers

F = TypeVar("F", bound=Callable[..., Any])


def _address(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no address before any work is done."""
    from bench.tracking import check_address

    if value is not None:
        check_address(value)
    return value


tracking_option = click.option(
    "--tracking-uri",
    envvar="MLFLOW_TRACKING_URI",
    callback=_address,
    metavar="URI",
    help="MLflow's database (sqlite:///FILE, …) or server (http://HOST).  [default: mlruns/mlflow.db]",
)


def trial_option(words: str) -> Callable[[F], F]:
    """A trial of the study that the command names, by number or by its place on the front."""
    return click.option(
        "--trial",
        default="knee",
        show_default=True,
        metavar="N|knee|best-f1|cheapest",
        shell_complete=completers.trials,
        help=words,
    )


dry_run_option = click.option(
    "--dry-run",
    is_flag=True,
    help="Say what would be done, and how long it might take. Nothing is written or downloaded; what the hub has and "
    "this machine lacks is said.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, and nothing else there.")
