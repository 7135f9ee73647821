"""A static student, taught by a study's candidate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.api.known import known_study
from bench.api.labelling import unlabelled_of
from bench.api.study import Searched
from bench.home import Home
from bench.progress import SILENT, Progress

if TYPE_CHECKING:
    import pandas as pd

    from bench.datasets.tables.table import Quoting


def distill(
    study: str,
    unlabelled: Path | str | Sequence[str | None] | pd.DataFrame | None = None,
    *,
    trial: int | str | None = None,
    text_column: str | Sequence[str] | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    quoting: Quoting | None = None,
    trust_remote_code: bool = False,
    no_texts: bool = False,
    home: Home | Path | str | None = None,
    tracking_uri: str | None = None,
    tracking: bool = True,
    progress: Progress = SILENT,
) -> Searched:
    """Teach a static student: a table of words that answers without a language model, as fast as TF-IDF does.

    It is scored out of fold as the search scores, priced, confirmed on the test set, and stands among the study's
    baselines as ``student``, where it may be on the front, a stage of a cascade, compared and exported. One that is
    taught later takes its place. Front, cascades and recommendation are chosen anew; nothing else is searched.

    Args:
        study: Its name.
        unlabelled: Texts without labels on which it is taught too, as `predict` takes texts; they are kept under
            `home`, and their hidden states in the store.
        trial: Who teaches: a trial on hidden states by its number or role; the best trial where it is None.
        text_column: As for `predict`.
        delimiter: As for `search`.
        encoding: As for `search`.
        quoting: As for `search`.
        trust_remote_code: As for `reopen`.
        no_texts: As for `reopen`.
        home: As for `search`.
        tracking_uri: As for `search`.
        tracking: As for `search`.
        progress: As for `search`.

    Raises:
        BenchError: there is no such study or trial, its labels are no classes, or the file cannot be read.
    """
    place = Home.at(home)
    known_study(study, place)

    from bench.store import Store
    from bench.study.distilling import distill as run
    from bench.tracking import tracker_of

    texts: list[str | None] = []
    if unlabelled is not None:
        reading = {"text_column": text_column, "delimiter": delimiter, "encoding": encoding, "quoting": quoting}
        found = unlabelled_of(study, unlabelled, reading, no_texts=no_texts, home=place, progress=progress)
        texts = [text for part in found for text in part.texts]
    tracker = tracker_of(place.runs, tracking_uri, tracking=tracking, progress=progress)
    made = run(
        place.runs,
        study,
        Store(place.store),
        tracker,
        texts,
        None if trial is None else str(trial),
        progress,
        trust_remote_code=trust_remote_code,
        no_texts=no_texts,
    )
    return Searched(made, tracker, place, progress)
