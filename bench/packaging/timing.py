"""What a package takes, beside what the search predicted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

import numpy as np

from bench.cost import ModelCost, latency_ms, measure
from bench.packaging.classifier import Classifier, Predicted
from bench.packaging.pipeline import Latency
from bench.specs import Candidate

SECONDS = 10.0
REPEATS = 3
FEWEST_SINGLES = 4


def of_models(
    classifier: Classifier, candidate: Candidate, texts: Sequence[str], seed: int, predicted: Mapping[str, ModelCost]
) -> Latency:
    """Timed as the search timed its models, on the same texts; each model ends at the deepest layer that is used."""
    costs = {name: measure(opened, texts, seed=seed) for name, opened in classifier.backends.items()}
    return Latency(
        predicted_ms=latency_ms(predicted, candidate),
        measured_ms=latency_ms(costs, candidate),
        texts=next(iter(costs.values())).texts,
    )


def end_to_end(classifier: Classifier, texts: Sequence[str], predicted_ms: float, expected: Sequence[float]) -> Latency:
    """Timed from the text to its answer, all `texts` together and one by one, in about `SECONDS`.

    The texts are to be such as no stage was trained on: of those it is too sure. `expected` is the share of texts that
    the search saw come to each stage but the first.
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
        single_ms=1000 * statistics.median(singles),
        reached=tuple(float(np.mean(said.stages > stage)) for stage in range(len(expected))),
        expected=tuple(expected),
    )


def _timed(classifier: Classifier, texts: Sequence[str]) -> tuple[float, Predicted]:
    started = time.perf_counter()
    said = classifier.predict(texts)
    return time.perf_counter() - started, said
