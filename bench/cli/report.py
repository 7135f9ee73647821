"""`bench report`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench import api
from bench.cli import completers, options, terminal
from bench.cli.fields import option, options_of
from bench.cli.words import in_options

if TYPE_CHECKING:
    from bench.report import Report


@click.command()
@click.argument("study", shell_complete=completers.studies)
@option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the page and the images.  [default: reports/STUDY in --home]",
)
@options.trial_option("Whose mistakes are shown, chosen by search scores alone.")
@options.measure_option("By what scores are shown", "what the study was searched for")
@options_of(api.SEARCH_SETTINGS, "no_texts")
@options.costs_option
@options.trust_option
@options.home_option
@options.tracking_option
@options.json_option
def report(
    study: str,
    out: Path | None,
    trial: str,
    measure: str | None,
    no_texts: bool,
    costs: Path | None,
    trust_remote_code: bool,
    home: Path | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Write the report of STUDY: one HTML page that loads nothing, and each figure as PNG and SVG.

    The report is also put on the study's run in the tracking store. One by another --measure shows the same front and
    choice by scores of that measure, in a folder of its own.
    """
    from bench.cli import show

    done = api.report(
        study,
        out,
        trial,
        measure=measure,
        trust_remote_code=trust_remote_code,
        no_texts=no_texts,
        costs=costs,
        home=home,
        tracking_uri=tracking_uri,
        progress=show.progress(),
    )
    terminal.json_out(done.to_json()) if as_json else print_report(done, home)


def print_report(done: "Report", home: Path | None) -> None:
    """Where the report is, and where its runs compare."""
    terminal.echo("Report:")
    terminal.whole(str(done.page))
    if done.note:
        terminal.echo(f"Note: {in_options(done.note)}.")
    if done.compare_url:
        terminal.echo(f"In MLflow: {options.ui_command(home)}")
        if done.runs_url:
            terminal.echo("All runs with their scores:")
            terminal.whole(done.runs_url)
        terminal.echo("The runs of the front side by side:")
        terminal.whole(done.compare_url)
