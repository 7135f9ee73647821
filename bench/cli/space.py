"""`bench space`."""

import click

from bench.cli import completers, options


@click.group()
def space() -> None:
    """Check search spaces."""


@space.command()
@click.argument("name", metavar="NAME|FILE", shell_complete=completers.spaces)
@options.json_option
def check(name: str, as_json: bool) -> None:
    """Validate a space file and say what it holds."""
    from bench.cli import show
    from bench.models.rows import MODELS
    from bench.pooling import poolings
    from bench.space.candidates import Shape
    from bench.space.enumeration import COUNTED, count
    from bench.space.files import find, load

    found = load(name)
    rows = [MODELS[model] for model in found.sources.models if model in MODELS]
    shapes = {row.name: Shape(row.layers, row.width, poolings(causal=row.causal)) for row in rows}
    unknown = [model for model in found.sources.models if model not in MODELS]
    size = None if unknown or not shapes else count(found, shapes)
    if as_json:
        show.json_out({"file": str(find(name)), "valid": True, "candidates": size, "unregistered_models": unknown})
        return
    click.echo(f"{find(name)} is valid. {found.description}")
    objectives = found.objectives
    goals = [f"maximize {name}" for name in objectives.maximize] + [f"minimize {name}" for name in objectives.minimize]
    click.echo(f"Objectives: {', '.join(goals)}.")
    click.echo(f"Models: {', '.join(found.sources.models)}.")
    if unknown:
        click.echo(f"Not in the table of models, taken as hub ids or folders: {', '.join(unknown)}.")
    elif size is not None:
        click.echo(f"It holds {size:,} distinct candidates.")
    else:
        click.echo(f"It is endless, or holds more than {COUNTED:,} distinct candidates.")


@space.command()
def schema() -> None:
    """Print the JSON schema of space files, for editors."""
    from bench.space.files import schema as space_schema

    click.echo(space_schema())
