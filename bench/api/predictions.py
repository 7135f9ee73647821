"""Texts classified by what was exported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.home import Home
from bench.progress import SILENT, Progress


def predict(
    model: str,
    texts: Path | Sequence[str],
    *,
    text_column: str | None = None,
    trust_remote_code: bool = False,
    home: Home | Path | str | None = None,
    tracking_uri: str | None = None,
    progress: Progress = SILENT,
) -> Iterator[dict[str, Any]]:
    """What an exported candidate says of each text, in order, as JSON values: a label, and each label's probability.

    Args:
        model: A folder that `export` wrote, or an address in a tracking store (``models:/NAME@ALIAS`` …).
        texts: Texts, or a file of them: a table, or a text a line.
        text_column: The table's column of texts; ``text`` where it is None.
        trust_remote_code: Run a model's own code, which must be what was searched; the package permits nothing itself.
        home: As for `search`.
        tracking_uri: As for `search`.
        progress: What is told on the way; nothing by default.

    Raises:
        BenchError: the file or the model cannot be read, or a model is not the one that was searched.
    """
    from bench.packaging.classifier import Classifier
    from bench.packaging.home import pipeline_folder
    from bench.packaging.predictions import said_of
    from bench.packaging.texts import read_texts
    from bench.tracking.mlflow import MlflowModels, MlflowStore

    found, place = read_texts(texts, text_column) if isinstance(texts, Path) else list(texts), Home.at(home)
    title = f"predict {texts.name}" if isinstance(texts, Path) else "predict"
    folder = pipeline_folder(model, MlflowModels(MlflowStore(place.runs, tracking_uri)))
    classifier = Classifier.open(folder, place.store, trust_remote_code=trust_remote_code)
    return said_of(classifier, found, title, progress)
