"""`bench predict`."""

import sys
from pathlib import Path
from typing import Any

import click

from bench import api
from bench.cli import options, terminal
from bench.cli.fields import names, option, options_of
from bench.errors import BenchError


@click.command()
@options.package_option
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file to write: .jsonl, .csv or .parquet.  [default: JSON lines on standard output]",
)
@options_of(
    api.EXTRACT_SETTINGS,
    *("text_column", "id_column", "delimiter", "encoding", "quoting", "no_texts"),
    text_column="Column of the texts, where FILE is a table, or of a field. May be repeated.  [default: text]",
    id_column="Column by which the answers name their rows.  [default: id, if there is one]",
)
@option("--keep", callback=names, metavar="A,B,…", help="Other columns of FILE to write beside the answers.")
@options.reject_option("as exported")
@options.costs_option
@options.trust_option
@options.home_option
@options.tracking_option
def predict(model: str, file: Path, out: Path | None, keep: tuple[str, ...] | None, **settings: Any) -> None:
    """Say of each text of FILE, in its order, the label and the probability of every label.

    A cascade also says which stage answered, and by what margin. Where texts may be rejected, `rejected` says whether
    this one is, which then has no label.

    FILE is a table, read as bench search reads it (csv, tsv, jsonl, json, Parquet, xlsx), or has a text a line (.txt).
    A row without a text stays: its answer is null.
    """
    from bench.cli import show

    if out is not None and out.resolve() == file.resolve():
        raise BenchError(f"The answers would take the place of the texts in {file}: give another file with `out`.")
    predictions = api.predict(model, file, keep=keep or (), progress=show.progress(), **settings)
    if out is not None:
        predictions.save(out)
        return
    for row in predictions:
        sys.stdout.write(terminal.json_text(row, sys.stdout) + "\n")
        sys.stdout.flush()
