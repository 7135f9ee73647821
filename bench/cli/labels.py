"""`bench labels`."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import api
from bench.cli import completers, options, terminal
from bench.cli.fields import Whole, option, options_of

if TYPE_CHECKING:
    from bench.labelling import Suspects, Unlabelled

LINES = 2
"""Of a text that a screen shows."""
INDENT = "    "


@click.command()
@click.argument("study", shell_complete=completers.studies)
@option(
    "--unlabelled",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A table, or a file with a text a line: say which of its texts to label next instead.",
)
@option(
    "--rows",
    type=Whole(min=1),
    default=api.TO_LABEL,
    show_default=True,
    help="How many to show; of --unlabelled how many to choose.",
)
@option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file to write all of them to: .csv or .jsonl.",
)
@options_of(
    api.EXTRACT_SETTINGS,
    *("text_column", "id_column", "delimiter", "encoding", "quoting", "no_texts"),
    text_column="Column of the texts of --unlabelled, or of a field. May be repeated.  [default: text]",
    id_column="Column by which its rows are named.  [default: id, if there is one]",
)
@options.trust_option
@options.home_option
@options.json_option
def labels(
    study: str,
    unlabelled: Path | None,
    rows: int,
    out: Path | None,
    no_texts: bool,
    trust_remote_code: bool,
    home: Path | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Which labels of STUDY to look at again, or which texts to label next.

    Training rows are listed whose label the best candidates contradict, from what each said of rows that it was not
    trained on; the clearest come first. It is a question, and no verdict. Test rows have no part in it.

    With --unlabelled, the texts of that file of which these candidates are least sure, no two alike.
    """
    from bench.cli import show

    if out is not None:
        api.refuse_ending(out)
    shared: dict[str, Any] = {"trust_remote_code": trust_remote_code, "no_texts": no_texts, "home": home}
    shared["progress"] = show.progress()
    if unlabelled is None:
        for name, value in reading.items():
            if value is not None:
                raise click.UsageError(f"--{name.replace('_', '-')} is of a file of texts: give --unlabelled too.")
        suspects = api.suspects(study, **shared)
        _given(suspects, out, as_json, lambda: _suspects(suspects, rows))
    else:
        wanted = api.label_next(study, unlabelled, rows=rows, **reading, **shared)
        _given(wanted, out, as_json, lambda: _to_label(wanted))


def _given(found: "Suspects | Unlabelled", out: Path | None, as_json: bool, said: Callable[[], None]) -> None:
    """Write, then show or give as JSON."""
    if out is not None:
        found.save(out)
    if as_json:
        terminal.json_out(found.to_json())
        return
    terminal.echo()
    said()
    if out is not None:
        terminal.echo(f"{len(found)} rows written to {out}")


def _suspects(found: "Suspects", rows: int) -> None:
    terminal.echo(
        f"{len(found)} of {found.rows} training rows have a label that {_named(found.candidates)} contradict out of "
        f"fold, {len(found) / found.rows:.1%}."
    )
    if not found.found:
        return
    shown = found.found[:rows]
    terminal.echo("Look at them again, the clearest first; which label is right is for you to say.")
    terminal.echo()
    for each in shown:
        _row(
            each.id,
            f"{each.label} → {each.instead}, margin {each.margin:+.2f}, {each.against} of {len(found.candidates)} "
            "candidates",
            each.text,
        )
    if len(shown) < len(found):
        terminal.echo(f"and {len(found) - len(shown)} more: --rows {len(found)} shows all, --out FILE writes them")


def _to_label(found: "Unlabelled") -> None:
    known = f"; {found.known} of them are labelled already" if found.known else ""
    terminal.echo(f"{found.rows} texts{known}.")
    if not found.found:
        terminal.echo("There is none to label.")
        return
    terminal.echo(f"Label these {len(found)} next, of which {_named(found.candidates)} are least sure, no two alike:")
    terminal.echo()
    for each in found:
        alike = f", {each.rows} rows have this text" if each.rows > 1 else ""
        votes = f"{each.votes} of {len(found.candidates)} candidates"
        _row(each.id, f"{each.label} ({votes}) or {each.second}, margin {each.margin:.2f}{alike}", each.text)


def _row(name: str, words: str, text: str | None) -> None:
    """A row in two or three lines: what is said of it, and how its text begins."""
    from bench.cli import show

    terminal.echo(f"{name}  {words}", hanging=2)
    if text is not None:
        room = show.room() - len(INDENT)
        # no word longer than a line, and none that is cut
        begun = textwrap.shorten(text, LINES * room - len(INDENT), placeholder=" …")
        for line in textwrap.wrap(begun, room)[:LINES]:
            terminal.echo(INDENT + line)


def _named(candidates: tuple[str, ...]) -> str:
    return f"{', '.join(candidates[:-1])} and {candidates[-1]} together" if len(candidates) > 1 else candidates[0]
