"""The `bench` command and the one place where errors become messages."""

import os
import sys

import click

from bench.cli.check import check
from bench.cli.compare import compare
from bench.cli.completion import completion
from bench.cli.doctor import doctor
from bench.cli.export import export
from bench.cli.extract import extract
from bench.cli.listing import listing
from bench.cli.predict import predict
from bench.cli.report import report
from bench.cli.reproduce import reproduce
from bench.cli.search import search
from bench.cli.space import space
from bench.cli.store import store
from bench.cli.ui import ui
from bench.errors import BenchError, nearest
from bench.version import __version__

INTERRUPTED = 130


class Group(click.Group):
    """A group that answers a mistyped command with the nearest one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a better message."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            ctx.fail(f"There is no command '{args[0]}': {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bench")
def cli() -> None:
    """Search for the best fusion of frozen language models' hidden states for text classification.

    Which model, which layer, which pooling, which combination and which operator classify best, most stably, and at
    what cost? Begin with:

        bench doctor

        bench search --dataset r8 --trials 50

        bench ui
    """


for command in (
    search,
    reproduce,
    report,
    compare,
    export,
    predict,
    check,
    extract,
    listing,
    space,
    store,
    ui,
    doctor,
    completion,
):
    cli.add_command(command)


def _of_file(error: OSError) -> str:
    """What a person can do about a file that cannot be read or written."""
    from pathlib import Path

    from bench.files import final
    from bench.home import store_home

    path = final(Path(str(error.filename)))
    remedy = "; BENCH_STORE moves the store" if path.is_relative_to(store_home()) else ""
    return f"{path}: {error.strerror}. Check that its folder is there, may be written and has room{remedy}."


def run() -> None:
    """Run the command line; errors meant for people are printed without a traceback."""
    try:
        cli(prog_name="bench", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nInterrupted. What is done is kept: run the same command again to go on.", err=True)
        sys.exit(INTERRUPTED)
    except BenchError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # the reader of our output has left; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("BENCH_TRACEBACK"):
            raise
        if isinstance(error, OSError) and error.strerror and error.filename:
            click.echo(f"Error: {_of_file(error)} What is done is kept.", err=True)
            sys.exit(BenchError.exit_code)
        click.echo(
            f"This is a bug in bench: {type(error).__name__}: {error}\n"
            "What is done is kept. With BENCH_TRACEBACK=1 the same command shows where it happened.",
            err=True,
        )
        sys.exit(70)
