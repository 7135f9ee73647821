"""What an open package says of many texts, a chunk at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

from bench.packaging.classifier import Classifier
from bench.progress import Progress

TEXTS_AT_ONCE = 256


def said_of(classifier: Classifier, texts: Sequence[str], title: str, progress: Progress) -> Iterator[dict[str, Any]]:
    """What is said of each text, in order, as JSON values; closes the classifier at the end."""
    try:
        with progress.task(title, len(texts), "texts") as task:
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                chunk = texts[start : start + TEXTS_AT_ONCE]
                # the shortest decimals that are these float32
                yield from classifier.said(classifier.predict(chunk), lambda number: float(str(number)))
                task.advance(len(chunk))
    finally:
        classifier.close()
