"""The `bench` command and the one place where errors become messages."""

import errno
import io
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module

import click

from bench.cli import signals, terminal
from bench.errors import BenchError, nearest
from bench.version import __version__

COMMANDS = {
    "apply": "Classify the texts of many files with an exported candidate.",
    "check": "Check that pinned candidates are as good as a baseline says.",
    "compare": "Two studies, runs or model selections side by side, paired.",
    "completion": "Print the completion script of a shell.",
    "cost": "What a study's candidates cost, as searched or on this machine.",
    "distill": "Teach a static student, which answers without a language model.",
    "doctor": "Say what is at hand, and what to fix.",
    "evaluate": "Score an exported candidate on labelled rows, and say what changed.",
    "explain": "What a word of bench's tables and sentences means.",
    "export": "Package a candidate of a study as an MLflow model.",
    "extract": "Fill the store with hidden states, without searching.",
    "labels": "Labels to look at again, and texts to label next.",
    "list": "List models, data sets, fusion operators, or studies.",
    "predict": "Classify the texts of a file with an exported candidate.",
    "report": "A finished study as one page, with its figures as images.",
    "reproduce": "The paper's tables and figures, and what it leaves open.",
    "search": "Search, and confirm the front on the test set.",
    "space": "Check search spaces.",
    "store": "List, verify, prune or export what is stored.",
    "study": "Show, rename, delete or bundle a study.",
    "ui": "Open MLflow's UI on the tracking store.",
    "verify": "Compute the tables of a bundled study again.",
}
"""What each does. It stands in the module of its name, which is imported when the command is asked for."""
MODULES = {"list": "listing"}
"""Where a module cannot have the name of its command."""
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""What a disk refuses without saying for which file."""


class Commands(MutableMapping[str, click.Command]):
    """Commands by name, each imported when it is taken out."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)
        self._taken: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name in self._names and name not in self._taken:
            module = MODULES.get(name, name)
            self._taken[name] = getattr(import_module(f"bench.cli.{module}"), module)
        return self._taken[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._names[name] = command.get_short_help_str()
        self._taken[name] = command

    def __delitem__(self, name: str) -> None:
        del self._names[name]
        self._taken.pop(name, None)


class Group(click.Group):
    """A group that lists its commands without importing them, and answers a mistyped one with the nearest."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """A line a command."""
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a better message."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            ctx.fail(f"There is no command '{args[0]}': {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Group,
    commands=Commands(COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="bench")
def cli() -> None:
    """Search for the best fusion of frozen language models' hidden states for text classification.

    Which model, which layer, which pooling, which combination and which operator classify best, how sure is that, and
    at what cost? Begin with:

        bench doctor

        bench search r8 --trials 50

        bench ui
    """


def _of_file(error: OSError) -> str:
    """What a person can do about a file that cannot be read or written."""
    from pathlib import Path

    from bench.api import Home
    from bench.files import final

    if error.filename is None:
        return f"{error.strerror}: this folder, the store or the system's temporary folder lies on that disk."
    path = final(Path(str(error.filename)))
    remedy = "; BENCH_STORE moves the store" if path.is_relative_to(Home.at().store) else ""
    return f"{path}: {error.strerror}. Check that its folder is there, may be written and has room{remedy}."


def run() -> None:
    """Run the command line; errors meant for people are printed without a traceback."""
    signals.heed()
    terminal.prepare()
    try:
        cli(prog_name="bench", standalone_mode=False)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        terminal.echo(shown.getvalue().rstrip(), err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        terminal.echo("\nInterrupted. What is done is kept: run the same command again to go on.", err=True)
        sys.exit(signals.status_of(error))
    except BenchError as error:
        from bench.cli.words import in_options

        terminal.echo(f"Error: {in_options(str(error))}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # the reader of our output has left; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("BENCH_TRACEBACK"):
            raise
        if isinstance(error, OSError) and error.strerror and (error.filename or error.errno in DISK):
            terminal.echo(f"Error: {_of_file(error)} What is done is kept.", err=True)
            sys.exit(BenchError.exit_code)
        # such an error was not written for people, and may quote anything
        words = "" if "--no-texts" in sys.argv else f": {error}"
        terminal.echo(
            f"This is a bug in bench: {type(error).__name__}{words}\n"
            "What is done is kept. With BENCH_TRACEBACK=1 the same command shows where it happened.",
            err=True,
        )
        sys.exit(70)
