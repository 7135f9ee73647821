"""`bench explain`."""

from typing import TYPE_CHECKING

import click

from bench import api
from bench.cli import completers, options, terminal
from bench.cli.words import in_options

if TYPE_CHECKING:
    from bench.glossary import Term


@click.command()
@click.argument("term", nargs=-1, shell_complete=completers.terms)
@options.json_option
def explain(term: tuple[str, ...], as_json: bool) -> None:
    """Say what TERM means, a word of bench's tables and sentences; all terms where none is given."""
    found = [api.explain(" ".join(term))] if term else api.terms()
    if as_json:
        terminal.json_out({each.name: {"meaning": each.meaning, "see": list(each.see)} for each in found})
        return
    for each in found:
        _print(each)


def _print(found: "Term") -> None:
    see = f" See {', '.join(found.see)}." if found.see else ""
    terminal.echo(f"{found.name}: {in_options(found.meaning)}{see}", hanging=2)
