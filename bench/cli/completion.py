"""`bench completion`."""

import click

from bench.cli import terminal
from bench.cli.fields import Choice


@click.command()
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell: eval "$(bench completion bash)"."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    terminal.write(found(click.get_current_context().find_root().command, {}, "bench", "_BENCH_COMPLETE").source())
