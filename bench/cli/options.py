"""Options that several commands share and that no setting stands for."""

import shlex
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from bench import api
from bench.cli import completers
from bench.cli.fields import Number, names, option

F = TypeVar("F", bound=Callable[..., Any])


def _address(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Refuse what is no address before any work is done."""
    if value is not None:
        api.check_address(value)
    return value


def _off(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
    """Refuse an address that would not be used; one in the environment was not meant for this command."""
    if value and ctx.get_parameter_source("tracking_uri") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--no-tracking leaves no use for --tracking-uri: leave out one of the two.", ctx)
    return value


home_option = option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    is_eager=True,  # what is completed may lie there
    help="Folder of studies, reports and MLflow's database.  [default: mlruns]",
)


def dataset_argument(function: F) -> F:
    """The data set by itself, in the place of `--dataset`, which the command must take as well and not require."""

    @click.argument("named", metavar="[NAME|FILE]", required=False, shell_complete=completers.BY_TABLE["datasets"])
    @wraps(function)
    def call(named: str | None, dataset: str | None, **params: Any) -> Any:
        if named is not None and dataset is not None:
            raise click.UsageError(f"The data set is given twice ({named}, --dataset {dataset}): leave one.")
        if named is None and dataset is None:
            raise click.UsageError("Give a data set: NAME or FILE by itself, or --dataset.")
        return function(dataset=dataset if named is None else named, **params)

    return cast(F, call)


def models_option(words: str, *, required: bool = False) -> Callable[[F], F]:
    """Models, in one list or several."""
    return option(
        "--models",
        callback=names,
        multiple=True,
        required=required,
        metavar="A,B,…",
        shell_complete=completers.models,
        help=words,
    )


def at(home: Path | None) -> tuple[str, ...]:
    """The words by which another command finds what this one wrote to `home`."""
    return () if home is None else ("--home", str(home))


def ui_command(home: Path | None) -> str:
    """How MLflow's UI is opened on what a command wrote to `home`."""
    return shlex.join(("bench", "ui", *at(home)))


tracking_option = option(
    "--tracking-uri",
    envvar="MLFLOW_TRACKING_URI",
    callback=_address,
    is_eager=True,  # before --no-tracking, which asks whether it was given
    metavar="URI",
    help="MLflow's database (sqlite:///FILE, …) or server (http://HOST).  [default: mlflow.db in --home]",
)


def untracked(words: str) -> Callable[[F], F]:
    """Leave MLflow alone."""
    return option("--no-tracking", is_flag=True, callback=_off, help=words)


no_tracking_option = untracked("Write nothing to MLflow. The same command without this writes it later.")


def trial_option(words: str) -> Callable[[F], F]:
    """A trial of the study that the command names, by number or by its place on the front, or a cascade by name."""
    return option(
        "--trial",
        default="recommended",
        show_default=True,
        metavar="recommended|knee|best|cheapest|N|cascade-N",
        shell_complete=completers.trials,
        help=words,
    )


def measure_option(words: str, default: str) -> Callable[[F], F]:
    """A measure of predictions by name, also of one class alone."""
    return option(
        "--measure",
        metavar="NAME",
        shell_complete=completers.BY_TABLE["measures"],
        help=f"{words}: {', '.join(api.names('measures'))}, or f1.CLASS.  [default: {default}]",
    )


package_option = option(
    "--model",
    required=True,
    metavar="URI|FOLDER",
    help="What bench export wrote: a folder, models:/NAME@ALIAS, models:/m-…, or runs:/RUN/NAME.",
)


def reject_option(default: str) -> Callable[[F], F]:
    """Answers only where they are sure."""
    return option(
        "--reject-below",
        type=Number(min=0, max=1),
        metavar="P",
        help="Give no label to a text whose label is less probable than P; bench evaluate has thresholds to choose "
        f"from.  [default: {default}]",
    )


costs_option = option(
    "--costs",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A table of what mistakes cost: a row a true label, a column an answer (`reject` for none). Each text gets "
    "the answer of least expected cost.",
)

trust_option = option(
    "--trust-remote-code",
    is_flag=True,
    help="Run a model's own code, if it is what was recorded. Only this flag allows it: no file does.",
)

dry_run_option = option(
    "--dry-run",
    is_flag=True,
    help="Say what would be done, and how long it might take. Nothing is written or downloaded; what the hub has and "
    "this machine lacks is said.",
)

json_option = option("--json", "as_json", is_flag=True, help="One JSON object on stdout, and nothing else there.")
