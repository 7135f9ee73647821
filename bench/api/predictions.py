"""Texts classified by what was exported, and labelled rows held against its answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.home import Home
from bench.progress import SILENT, Progress
from bench.settings import given

if TYPE_CHECKING:
    import pandas as pd

    from bench.datasets.tables.table import Quoting
    from bench.packaging.classifier import Classifier
    from bench.packaging.evaluated import Evaluated
    from bench.packaging.predictions import Answers


def predict(
    model: str,
    texts: Path | str | Sequence[str | None] | pd.DataFrame,
    *,
    text_column: str | None = None,
    id_column: str | None = None,
    keep: Sequence[str] = (),
    delimiter: str | None = None,
    encoding: str | None = None,
    quoting: Quoting | None = None,
    no_texts: bool = False,
    trust_remote_code: bool = False,
    home: Home | Path | str | None = None,
    tracking_uri: str | None = None,
    progress: Progress = SILENT,
) -> Answers:
    """What an exported candidate says of each text, in order: iterate over it, once.

    Each is a mapping of JSON values: what stands beside the text in its file, a label, and each label's probability; of
    a cascade also the stage that answered, from 1, and its margin. A blank text has None for all of these. The rows of
    a file are read and answered a part at a time, in memory that does not grow with it, after the whole file was looked
    through. `.save(FILE)` writes them as .jsonl, .csv or .parquet.

    Args:
        model: A folder that `export` wrote, or an address in a tracking store (``models:/NAME@ALIAS`` …).
        texts: Texts, a DataFrame, or a file: a table as `search` reads it, or a text a line.
        text_column: The table's column of texts; ``text`` where it is None.
        id_column: A column by which the answers name their rows; ``id``, if there is one, where it is None.
        keep: Other columns of the table that are to stand beside the answers.
        delimiter: As for `search`.
        encoding: As for `search`.
        quoting: As for `search`.
        no_texts: Let no message quote what the file holds.
        trust_remote_code: Run a model's own code, which must be what was searched; the package permits nothing itself.
        home: As for `search`.
        tracking_uri: As for `search`.
        progress: What is told on the way; nothing by default.

    Raises:
        BenchError: the file or the model cannot be read, or a model is not the one that was searched.
    """
    from bench.datasets.frames import is_frame
    from bench.datasets.tables import Hints
    from bench.packaging.predictions import Answers
    from bench.packaging.texts import Reading, of_frame, of_list, read_texts

    place = Home.at(home)
    settings = {"text_column": text_column, "id_column": id_column}
    settings |= {"delimiter": delimiter, "encoding": encoding, "quoting": quoting}
    told = given(DatasetRequest, settings, name="")
    hints = Hints(told.delimiter, told.encoding, told.quoting, no_texts)
    reading = Reading(told.text_column, told.id_column, tuple(keep), hints)
    file = Path(texts) if isinstance(texts, str | Path) else None
    if file is not None:
        rows = read_texts(file, reading)
    elif is_frame(texts):
        rows = of_frame(texts, reading)
    elif isinstance(texts, Iterable):
        rows = of_list(list(texts))
    else:
        raise BenchError(f"There are no texts in {type(texts).__name__}: give a list of them, a DataFrame or a file.")
    for note in rows.notes:
        progress.say(note)
    title = "predict" if file is None else f"predict {file.name}"
    return Answers(_opened(model, place, tracking_uri, trust_remote_code), rows, title, progress)


def evaluate(
    model: str,
    file: Path | str,
    *,
    min_f1: float | None = None,
    min_accuracy: float | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    id_column: str | None = None,
    drop_unlabelled: bool = False,
    delimiter: str | None = None,
    encoding: str | None = None,
    quoting: Quoting | None = None,
    no_texts: bool = False,
    trust_remote_code: bool = False,
    home: Home | Path | str | None = None,
    tracking_uri: str | None = None,
    progress: Progress = SILENT,
) -> Evaluated:
    """An exported candidate on labelled rows: scores, and what has changed since its search.

    `.scores` and `.classes` come with 95% intervals over rows, `.changes` are against the search's test set, `.drift`
    says whether inputs, confidence, answers and labels are distributed as they were, `.confusion` is [label, answer];
    `.passed` says whether no score is less than was asked.

    Args:
        model: As for `predict`.
        file: A table of texts and labels, as `search` reads it.
        min_f1: The least macro-F1.
        min_accuracy: The least accuracy.
        text_column: As for `search`.
        label_column: As for `search`.
        group_column: As for `search`: rows of a group are drawn together for intervals, and count as one for drift.
        id_column: As for `search`.
        drop_unlabelled: As for `search`.
        delimiter: As for `search`.
        encoding: As for `search`.
        quoting: As for `search`.
        no_texts: Let no message quote what the file holds.
        trust_remote_code: As for `predict`.
        home: As for `search`.
        tracking_uri: As for `search`.
        progress: What is told on the way; nothing by default.

    Raises:
        BenchError: the file or the model cannot be read, no label is known to the model, or a model is not the one
            that was searched.
    """
    from bench.datasets.columns import Columns
    from bench.datasets.tables import Hints
    from bench.packaging.evaluated import evaluate as run
    from bench.packaging.evaluated import labelled

    place, path = Home.at(home), Path(file)
    settings = {"text_column": text_column, "label_column": label_column, "id_column": id_column}
    settings |= {"delimiter": delimiter, "encoding": encoding, "quoting": quoting}
    told = given(DatasetRequest, settings, name="")
    columns = Columns(
        told.text_column or "text",
        told.label_column or "label",
        group=group_column,
        ids=told.id_column,
        drop_unlabelled=drop_unlabelled,
        no_texts=no_texts,
    )
    hints = Hints(told.delimiter, told.encoding, told.quoting, no_texts)
    table = labelled(path, columns, hints)
    asked = {"f1": min_f1, "accuracy": min_accuracy}
    classifier = _opened(model, place, tracking_uri, trust_remote_code)
    try:
        least = {name: value for name, value in asked.items() if value is not None}
        return run(classifier, table, path.name, least, progress)
    finally:
        classifier.close()


def _opened(model: str, place: Home, tracking_uri: str | None, trust_remote_code: bool) -> Classifier:
    """The package of that folder or address.

    Raises:
        BenchError: there is none, or a model of it is not the one that was searched.
    """
    from bench.packaging.classifier import Classifier
    from bench.packaging.home import pipeline_folder
    from bench.tracking.mlflow import MlflowModels, MlflowStore

    folder = pipeline_folder(model, MlflowModels(MlflowStore(place.runs, tracking_uri)))
    return Classifier.open(folder, place.store, trust_remote_code=trust_remote_code)
