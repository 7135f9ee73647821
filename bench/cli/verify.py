"""`bench verify`."""

from pathlib import Path

import click

from bench import api
from bench.cli import options, terminal
from bench.errors import BenchError, counted

SHOWN = 20
"""Differences that a terminal shows; --json has all of them."""


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@options.json_option
def verify(bundle: Path, as_json: bool) -> None:
    """Compute every table of BUNDLE again, without models and texts, and name what differs.

    `bench study bundle STUDY` makes a bundle. Ends with 1 where something differs.
    """
    found = api.verify_bundle(bundle)
    if as_json:
        terminal.json_out(found.to_json())
    else:
        for line in found.differences[:SHOWN]:
            terminal.echo(f"differs: {line}")
        if len(found.differences) > SHOWN:
            terminal.echo(f"… and {len(found.differences) - SHOWN} more: --json has all.")
    if found.differences:
        raise BenchError(f"{bundle} does not hold: {counted(len(found.differences), 'difference')}.")
    if not as_json:
        terminal.echo(
            f"The study '{found.study}' holds: {counted(found.numbers, 'value')} of its tables come out of "
            f"{counted(found.outcomes, 'outcome')} as they are written."
        )
