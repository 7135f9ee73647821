"""What a package takes from the text to its answer, beside what the search predicted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np

from bench.packaging.classifier import Classifier, Predicted
from bench.packaging.pipeline import Latency

SECONDS = 10.0
REPEATS = 3
FEWEST_SINGLES = 4


def end_to_end(
    classifier: Classifier,
    texts: Sequence[str],
    predicted_ms: float,
    predicted_single_ms: float | None = None,
    expected: Sequence[float] = (),
) -> Latency:
    """Timed from the text to its answer, all `texts` together and one by one, in about `SECONDS`.

    The texts are to be such as no stage was trained on: of those it is too sure. What was predicted stands beside it:
    `expected` is the share of texts that the search saw come to each stage but the first, where there are several.
    """
    alone = [_timed(classifier, [text])[0] for text in texts[:FEWEST_SINGLES]]
    together: list[float] = []
    started = time.perf_counter()
    while len(together) < REPEATS and (not together or time.perf_counter() - started < SECONDS / 2):
        seconds, said = _timed(classifier, texts)
        together.append(seconds)
    most = max(FEWEST_SINGLES, int(SECONDS / 2 / statistics.mean(alone)))
    singles = [_timed(classifier, [text])[0] for text in texts[:most]]
    return Latency(
        predicted_ms=predicted_ms,
        measured_ms=1000 * statistics.median(together) / len(texts),
        texts=len(texts),
        predicted_single_ms=predicted_single_ms,
        single_ms=1000 * statistics.median(singles),
        single_p95_ms=1000 * float(np.quantile(singles, 0.95)),
        reached=tuple(float(np.mean(said.stages > stage)) for stage in range(len(expected))),
        expected=tuple(expected),
    )


def _timed(classifier: Classifier, texts: Sequence[str]) -> tuple[float, Predicted]:
    started = time.perf_counter()
    said = classifier.predict(texts)
    return time.perf_counter() - started, said
