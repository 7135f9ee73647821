"""A cost that no machine was asked for, so that no busy one can change it."""

from bench.backends.settings import ResolvedSettings
from bench.cost import ModelCost, TextCost


def made_up(model: str, *layer_ms: float, memory: float = 1.0) -> ModelCost:
    """A model that takes `layer_ms` up to each layer, a text alone as long as one in a batch, and `memory` GiB."""
    return ModelCost(
        model=model,
        settings=ResolvedSettings(),
        texts=1,
        tokens=1,
        repeats=1,
        singles=1,
        layer_ms=layer_ms,
        p50_ms=layer_ms[-1],
        p95_ms=layer_ms[-1],
        tokens_per_second=1,
        load_seconds=1,
        peak_memory_gb=memory,
    )


def made_up_text(classifier: str, *_: object, ms: float = 0.1) -> TextCost:
    """A classifier of texts that takes `ms` in a batch and more alone, however busy the machine is."""
    return TextCost(
        classifier=classifier, texts=32, repeats=5, layer_ms=(ms,), p50_ms=2 * ms, p95_ms=3 * ms, peak_memory_gb=0.01
    )
