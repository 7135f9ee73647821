"""`bench predict`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from bench import api
from bench.cli import options, terminal
from bench.cli.fields import options_of


@click.command()
@click.option(
    "--model",
    required=True,
    metavar="URI|FOLDER",
    help="What bench export wrote: a folder, models:/NAME@ALIAS, models:/m-…, or runs:/RUN/NAME.",
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Where to write.  [default: standard output]"
)
@options_of(
    api.EXTRACT_SETTINGS, "text_column", text_column="Column of the texts, where FILE is a table.  [default: text]"
)
@options.trust_option
@options.home_option
@options.tracking_option
def predict(
    model: str,
    file: Path,
    out: Path | None,
    text_column: str | None,
    trust_remote_code: bool,
    home: Path | None,
    tracking_uri: str | None,
) -> None:
    """Write a JSON line for each text of FILE, in its order: the label, and the probability of every label.

    FILE is csv, tsv, jsonl, json or Parquet, or has a text a line.
    """
    from bench.cli import show

    said = api.predict(
        model,
        file,
        text_column=text_column,
        trust_remote_code=trust_remote_code,
        home=home,
        tracking_uri=tracking_uri,
        progress=show.progress(),
    )
    with _opened(out) as lines:
        for row in said:
            lines.write(terminal.json_text(row, lines) + "\n")
            lines.flush()


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is whole or absent."""
    from bench.files import atomic

    if out is None:
        yield sys.stdout
        return
    with atomic(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file
