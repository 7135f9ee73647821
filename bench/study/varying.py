"""What of the models' states tells texts apart: where every training text has the same one, there is no source.

Before the first block of an encoder, its first token is the same [CLS] at the same place, whatever follows. It is
looked for in the data rather than known of a kind of model, so that prompts, tokenizers and poolings of plugins need no
rule.
"""

from collections.abc import Iterator

import torch

from bench.evaluation.scoring import Scorer
from bench.progress import Progress
from bench.space.candidates import ModelShape, Shape, Shapes
from bench.space.schema import Sources
from bench.specs import Source
from bench.store import slot
from bench.study.journal import Journal

NOTE = "same"
GLANCE = 64
"""Texts that are looked at first: where they differ, the others need not be read."""
ROUNDING = 1e-6
"""Of the largest value: a spread that is less is none."""


def varying(journal: Journal, scorer: Scorer, sources: Sources, shapes: Shapes, progress: Progress) -> Shapes:
    """`shapes` that know where a model's states are the same for all training texts; looked up once a study.

    A study that an earlier bench began has what it had: nothing is left out of it.
    """
    found = journal.note(NOTE)
    if found is None:
        begun = bool(journal.records) or journal.note("screening") is not None
        found = {} if begun else {name: list(_same(scorer, sources, name, shape)) for name, shape in shapes.items()}
        journal.keep(NOTE, found)
        for name, places in found.items():
            if places:
                left = ", ".join(slot(layer, pooling) for layer, pooling in places)
                progress.say(f"{name}: {left} left out, since every training text has the same state there")
    return {name: _known(shape, found.get(name, ())) for name, shape in shapes.items()}


def _known(shape: ModelShape, places: list[tuple[int, str]]) -> ModelShape:
    same = frozenset((layer, pooling) for layer, pooling in places)
    return Shape(shape.layers, shape.width, shape.poolings, shape.own_pooling, same) if same else shape


def _same(scorer: Scorer, sources: Sources, model: str, shape: ModelShape) -> Iterator[tuple[int, str]]:
    """Layers and poolings of the space, from below up to the first that varies: behind it, all of its states do."""
    low, high = sources.layers(model, shape.layers)
    for pooling in sources.pooling:
        if pooling in shape.poolings:
            for layer in range(low, high):  # the highest is left, so that there is a source
                if not _constant(scorer, Source(model=model, layer=layer, pooling=pooling)):
                    break
                yield layer, pooling


def _constant(scorer: Scorer, source: Source) -> bool:
    where, features = scorer.locate(source), scorer.evaluator.features
    first = features.of_train(range(min(GLANCE, len(scorer.dataset.train))))
    return _equal(first.train(where)) and _equal(features.train(where))


def _equal(states: torch.Tensor) -> bool:
    return bool((states.amax(0) - states.amin(0)).max() <= ROUNDING * states.abs().max())
