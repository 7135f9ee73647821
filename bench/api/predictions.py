"""Texts classified by what was exported, and labelled rows held against its answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from bench.packaging.texts import Reading, TextFile


def predict(
    model: str,
    texts: Path | str | Sequence[str | None] | pd.DataFrame,
    *,
    text_column: str | Sequence[str] | None = None,
    id_column: str | None = None,
    keep: Sequence[str] = (),
    reject_below: float | None = None,
    costs: Path | str | None = None,
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
    through. `.save(FILE)` writes them as .jsonl, .csv or .parquet. Where texts may be rejected, `rejected` says whether
    this one is, and its label is None.

    Args:
        model: A folder that `export` wrote, or an address in a tracking store (``models:/NAME@ALIAS`` …).
        texts: Texts, a DataFrame, or a file: a table as `search` reads it, or a text a line. A text of several fields
            is a mapping of these.
        text_column: The table's column of texts, or those of its fields; ``text``, or the names that the fields had in
            the search, where it is None.
        id_column: A column by which the answers name their rows; ``id``, if there is one, where it is None.
        keep: Other columns of the table that are to stand beside the answers.
        reject_below: A text whose likeliest label is less probable gets none; what the package was exported with where
            it is None.
        costs: A table of what mistakes cost (a row a true label, a column an answer, ``reject`` for none): each text
            gets the answer whose expected cost is least. Where it is None, that of the package, if it has one.
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
    if reject_below:
        from bench.evaluation.rule import Rule

        Rule(reject_below)  # refused before anything is read
    folder = packaged(model, home, tracking_uri)

    from bench.packaging.pipeline import fields_of

    rows = text_file(
        texts,
        keep,
        fields_of(folder),
        text_column=text_column,
        id_column=id_column,
        delimiter=delimiter,
        encoding=encoding,
        quoting=quoting,
        no_texts=no_texts,
    )

    from bench.packaging.predictions import Answers

    for note in rows.notes:
        progress.say(note)
    title = f"predict {Path(texts).name}" if isinstance(texts, str | Path) else "predict"
    return Answers(_opened(folder, home, trust_remote_code, reject_below, costs), rows, title, progress)


def text_file(
    texts: Path | str | Sequence[str | None] | pd.DataFrame,
    keep: Sequence[str] = (),
    fields: Sequence[str] = (),
    *,
    no_texts: bool = False,
    **settings: str | Sequence[str] | None,
) -> TextFile:
    """Texts without labels, whatever they come as; `settings` are those of a data set that say how a file is read.

    What will read them wants these `fields`; one text, where there are none.

    Raises:
        BenchError: they cannot be read, or are none.
    """
    from bench.datasets.frames import is_frame
    from bench.packaging.texts import of_frame, of_list, read_texts

    reading = reading_of(keep, no_texts=no_texts, **settings).of(fields)
    if isinstance(texts, str | Path):
        return read_texts(Path(texts), reading)
    if is_frame(texts):
        return of_frame(texts, reading)
    if isinstance(texts, Iterable):
        return of_list(list(texts), reading)
    raise BenchError(f"There are no texts in {type(texts).__name__}: give a list of them, a DataFrame or a file.")


def reading_of(keep: Sequence[str] = (), *, no_texts: bool = False, **settings: str | Sequence[str] | None) -> Reading:
    """How files of texts are read, by `settings` as `text_file` takes them."""
    from bench.datasets.tables import Hints
    from bench.packaging.texts import Reading

    told = given(DatasetRequest, settings, name="")
    hints = Hints(told.delimiter, told.encoding, told.quoting, no_texts)
    return Reading(told.text_column, told.id_column, tuple(keep), hints)


def evaluate(
    model: str,
    file: Path | str,
    *,
    min_f1: float | None = None,
    min_accuracy: float | None = None,
    min_score: float | None = None,
    reject_below: float | None = None,
    costs: Path | str | None = None,
    text_column: str | Sequence[str] | None = None,
    label_column: str | None = None,
    label_columns: Sequence[str] | None = None,
    label_sign: str | None = None,
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
    `.sure` has the calibration error and what thresholds to choose from are worth here, `.answered` what is left where
    texts are rejected; `.passed` says whether no score is less than was asked.

    Args:
        model: As for `predict`.
        file: A table of texts and labels, as `search` reads it.
        min_f1: The least macro-F1, over classes or over labels.
        min_accuracy: The least accuracy.
        min_score: The least of what such labels are judged by first: macro-F1 of classes or of labels, quadratic
            weighted kappa of grades, hierarchical F1 of paths.
        reject_below: As for `predict`; what is asked is then asked of the answered rows.
        costs: As for `predict`; `.answered` then has what a row costs.
        text_column: As for `search`.
        label_column: As for `search`.
        label_columns: As for `search`.
        label_sign: As for `search`.
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
    folder = packaged(model, home, tracking_uri)

    from bench.datasets.columns import Columns
    from bench.datasets.tables import Hints
    from bench.evaluation.rule import Rule
    from bench.packaging.evaluated import evaluate as run
    from bench.packaging.evaluated import labelled
    from bench.packaging.pipeline import described, fields_of
    from bench.packaging.texts import Reading
    from bench.tasks import TASKS

    path = Path(file)
    Rule(reject_below or 0.0)  # refused before anything is read
    settings: dict[str, Any] = {"text_column": text_column, "label_column": label_column, "id_column": id_column}
    settings |= {"label_columns": label_columns, "label_sign": label_sign}
    settings |= {"delimiter": delimiter, "encoding": encoding, "quoting": quoting}
    told = given(DatasetRequest, settings, name="")
    task = TASKS[described(folder).task]
    columns = Columns(
        Reading(told.text_column).of(fields_of(folder)).text or ("text",),
        told.label_column or "label",
        group=group_column,
        ids=told.id_column,
        drop_unlabelled=drop_unlabelled,
        read=task.read,
        reading=None if task.reading is None else partial(task.reading, told.label_sign),
        indicators=told.label_columns or (),
        no_texts=no_texts,
    )
    hints = Hints(told.delimiter, told.encoding, told.quoting, no_texts)
    table = labelled(path, columns, hints)
    if min_accuracy is not None and "accuracy" not in task.measures:
        raise BenchError(f"Accuracy is of classes, and the labels are for {task.name}: ask for a least macro-F1.")
    first = task.measures[0]
    if min_f1 is not None and first not in ("f1", "label_f1"):
        raise BenchError(
            f"Macro-F1 is of classes or labels, and the labels are for {task.name}: ask for a least "
            f"{task.measure.title} by `min_score`."
        )
    asked = {first: min_f1 if min_score is None else min_score, "accuracy": min_accuracy}
    classifier = _opened(folder, home, trust_remote_code, reject_below, costs)
    try:
        least = {name: value for name, value in asked.items() if value is not None}
        return run(classifier, table, path.name, least, progress)
    finally:
        classifier.close()


def packaged(model: str, home: Home | Path | str | None, tracking_uri: str | None) -> Path:
    """The folder of an exported pipeline.

    Raises:
        BenchError: nothing that was exported has that address.
    """
    from bench.packaging.home import pipeline_folder
    from bench.tracking.mlflow import MlflowModels, MlflowStore

    return pipeline_folder(model, MlflowModels(MlflowStore(Home.at(home).runs, tracking_uri)))


def _opened(
    folder: Path,
    home: Home | Path | str | None,
    trust_remote_code: bool,
    reject_below: float | None,
    costs: Path | str | None,
) -> Classifier:
    """The package of that folder, which answers under a rule.

    Raises:
        BenchError: it cannot be read, a model is not the one that was searched, or the rule does not fit its labels.
    """
    from bench.evaluation.mistakes import MistakeCosts
    from bench.packaging.classifier import Classifier

    classifier = Classifier.open(folder, Home.at(home).store, trust_remote_code=trust_remote_code)
    try:
        table = None if costs is None else MistakeCosts.read(Path(costs), classifier.pipeline.labels)
        return classifier.under(classifier.rule.but(reject_below, table))
    except BaseException:
        classifier.close()
        raise
