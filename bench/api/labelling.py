"""What to label: training rows whose labels are contradicted, and texts that have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.api.known import known_study
from bench.api.predictions import text_file
from bench.api.study import reopen
from bench.home import Home
from bench.progress import SILENT, Progress

if TYPE_CHECKING:
    import pandas as pd

    from bench.datasets.tables.table import Quoting
    from bench.labelling import Suspects, Unlabelled
    from bench.packaging.texts import TextFile

TO_LABEL = 20


def refuse_ending(out: Path) -> None:
    """Refuse a file that `.save` would not write, before any work is done.

    Raises:
        BenchError: its ending names no format.
    """
    from bench.labelling.written import refuse_ending as refuse

    refuse(out)


def suspects(
    study: str,
    *,
    trust_remote_code: bool = False,
    no_texts: bool = False,
    home: Home | Path | str | None = None,
    progress: Progress = SILENT,
) -> Suspects:
    """Training rows of a searched study whose label its best candidates contradict out of fold, the clearest first.

    Iterate over it; `.save(FILE)` writes them as .csv or .jsonl. Nothing is trained, and no test row has a part in it.

    Args:
        study: Its name.
        trust_remote_code: As for `reopen`.
        no_texts: As for `reopen`.
        home: As for `search`.
        progress: As for `search`.

    Raises:
        BenchError: there is no such study, or its candidates have no probabilities of rows out of fold.
    """
    known_study(study, home)

    from bench.labelling import suspects as run

    opened = reopen(
        study, trust_remote_code=trust_remote_code, no_texts=no_texts, home=home, tracking=False, progress=progress
    )
    return run(opened.study)


def unlabelled_of(
    study: str,
    texts: Path | str | Sequence[str | None] | pd.DataFrame,
    reading: Mapping[str, Any],
    *,
    no_texts: bool,
    home: Home | Path | str | None,
    progress: Progress,
) -> TextFile:
    """Texts without labels, as a study reads its own; `reading` are the settings of `predict` by which they are read.

    Raises:
        BenchError: there is no such study, or the file cannot be read.
    """
    from bench.study.reopen import searched

    _, request = searched(Home.at(home).runs, study)
    hidden = no_texts or request.dataset.no_texts
    found = text_file(texts, fields=request.dataset.fields, no_texts=hidden, **reading)
    for note in found.notes:
        progress.say(note)
    return found


def label_next(
    study: str,
    texts: Path | str | Sequence[str | None] | pd.DataFrame,
    *,
    rows: int = TO_LABEL,
    text_column: str | Sequence[str] | None = None,
    id_column: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    quoting: Quoting | None = None,
    trust_remote_code: bool = False,
    no_texts: bool = False,
    home: Home | Path | str | None = None,
    progress: Progress = SILENT,
) -> Unlabelled:
    """Which texts without a label to label next: those that a study's best candidates are least sure of, no two alike.

    Iterate over it; `.save(FILE)` writes them as .csv or .jsonl. The texts' hidden states are extracted into the store.

    Args:
        study: Its name.
        texts: As for `predict`.
        rows: How many to choose.
        text_column: As for `predict`.
        id_column: As for `predict`; the place in the file where there is none.
        delimiter: As for `search`.
        encoding: As for `search`.
        quoting: As for `search`.
        trust_remote_code: As for `reopen`.
        no_texts: As for `reopen`.
        home: As for `search`.
        progress: As for `search`.

    Raises:
        BenchError: there is no such study, the file cannot be read, or a model cannot be had.
    """
    known_study(study, home)

    from bench.labelling import to_label

    reading = {"text_column": text_column, "id_column": id_column, "delimiter": delimiter}
    reading |= {"encoding": encoding, "quoting": quoting}
    found = unlabelled_of(study, texts, reading, no_texts=no_texts, home=home, progress=progress)
    ids: list[str] = []
    words: list[str | None] = []
    for part in found:
        for beside, text in zip(part.beside, part.texts, strict=True):
            named = next((str(value) for value in beside.values() if value is not None), None)
            ids.append(named or f"row {len(ids) + 1}")
            words.append(text)
    opened = reopen(
        study, trust_remote_code=trust_remote_code, no_texts=no_texts, home=home, tracking=False, progress=progress
    )
    return to_label(opened.study, ids, words, rows, progress)
