"""`bench completion`."""

import click

from bench.cli import options


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=options.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell: eval "$(bench completion bash)"."""
    from click.shell_completion import get_completion_class

    from bench.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "bench", "_BENCH_COMPLETE").source())
