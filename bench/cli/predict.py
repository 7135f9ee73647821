"""`bench predict`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from bench.api import EXTRACT_SETTINGS, HOME
from bench.cli import options
from bench.cli.fields import options_of

TEXTS_AT_ONCE = 256


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
@options_of(EXTRACT_SETTINGS, "text_column", text_column="Column of the texts, where FILE is a table.  [default: text]")
@options.tracking_option
def predict(model: str, file: Path, out: Path | None, text_column: str | None, tracking_uri: str | None) -> None:
    """Write a JSON line for each text of FILE, in its order: the label, and the probability of every label.

    FILE is csv, tsv, jsonl, json or Parquet, or has a text a line.
    """
    from bench.cli import show
    from bench.home import store_home
    from bench.packaging.classifier import Classifier
    from bench.packaging.home import pipeline_folder
    from bench.packaging.texts import read_texts
    from bench.tracking.mlflow import MlflowModels, MlflowStore

    texts = read_texts(file, text_column)
    models = MlflowModels(MlflowStore(HOME, tracking_uri))
    classifier = Classifier.open(pipeline_folder(model, models), store_home())
    try:
        with _opened(out) as lines, show.progress().task(f"predict {file.name}", len(texts), "texts") as task:
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                chunk = texts[start : start + TEXTS_AT_ONCE]
                # the shortest decimals that are these float32
                for row in classifier.said(classifier.predict(chunk), lambda number: float(str(number))):
                    lines.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
                lines.flush()
                task.advance(len(chunk))
    finally:
        classifier.close()


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is whole or absent."""
    from bench.files import atomic

    if out is None:
        yield sys.stdout
        return
    with atomic(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file
