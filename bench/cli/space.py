"""`bench space`."""

import click

from bench import api
from bench.cli import completers, options, terminal


@click.group()
def space() -> None:
    """Check search spaces."""


@space.command()
@click.argument("name", metavar="NAME|FILE", shell_complete=completers.spaces)
@options.json_option
def check(name: str, as_json: bool) -> None:
    """Validate a space file and say what it holds."""
    found = api.space(name)
    file, unknown, objectives = str(found.file), list(found.unknown), found.space.objectives
    if as_json:
        terminal.json_out({"file": file, "valid": True, "candidates": found.candidates, "unregistered_models": unknown})
        return
    terminal.echo(f"{file} is valid. {found.space.description}")
    goals = [f"maximize {name}" for name in objectives.maximize] + [f"minimize {name}" for name in objectives.minimize]
    terminal.echo(f"Objectives: {', '.join(goals)}.")
    terminal.echo(f"Models: {', '.join(found.space.sources.models)}.")
    if unknown:
        terminal.echo(f"Not in the table of models, taken as hub ids or folders: {', '.join(unknown)}.")
    elif found.candidates is not None:
        terminal.echo(f"It holds {found.candidates:,} distinct candidates.")
    else:
        terminal.echo(f"It is endless, or holds more than {found.counted:,} distinct candidates.")


@space.command()
def schema() -> None:
    """Print the JSON schema of space files, for editors."""
    terminal.write(api.space_schema())
