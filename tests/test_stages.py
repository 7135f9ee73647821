"""Stages that answer in turn: what the rule gives on all their probabilities, and no block that nobody asked for."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bodies import BODIES, resolve
from test_going_on import counted

from bench.backends import base
from bench.backends.resolution import resolve as resolve_settings
from bench.cascade import margins
from bench.fusion import FUSIONS
from bench.heads import FittedHead
from bench.heads.pipeline import Affine, Pipeline, Scaling
from bench.packaging import stages as module
from bench.packaging.stages import Stages, Stretch, stretches
from bench.specs import Candidate, ExtractionSettings, Source

CLASSES = 3
MANY = [
    f"{text} {more}"
    for more in ("oil", "rate ice", "the dollar fell in late trading", "grain week row", "yen")
    for text in (
        "a",
        "oil prices rose after the meeting",
        "net profit",
        "shares in the company rose",
        "ice on the river",
    )
]


def source(model: str, layer: int, pooling: str = "mean") -> Source:
    return Source(model=model, layer=layer, pooling=pooling)


def candidate(*sources: Source) -> Candidate:
    return Candidate(sources=sources, fusion="none" if len(sources) == 1 else "concat")


def head(stage: Candidate, widths: int, seed: int) -> FittedHead:
    """One that was never trained: random weights over sources of one width."""
    generator = torch.Generator().manual_seed(seed)
    count = len(stage.sources)
    scalings = tuple(Scaling(torch.zeros(widths), torch.ones(widths)) for _ in range(count))
    layer = Affine(torch.randn(CLASSES, count * widths, generator=generator), torch.zeros(CLASSES))
    operator = None if count == 1 else FUSIONS[stage.fusion]
    return FittedHead(stage.fusion, (Pipeline(scalings, (), operator, (layer,)),))


@pytest.fixture(scope="module")
def opened(tiny: Callable[..., Path], in_model_store: None) -> dict[str, Any]:
    """Two small bodies of one width, one that goes on and one that begins at the text."""
    settings = resolve_settings(ExtractionSettings(backend="transformers", device="cpu"))
    folders = {
        "bert": tiny("BertConfig", **BODIES["BertConfig"] | {"num_hidden_layers": 4}),
        "distil": tiny("DistilBertConfig", dim=32, n_layers=3, n_heads=4, hidden_dim=48),
    }
    return {name: base.backend("transformers").open(resolve(str(folder)), settings) for name, folder in folders.items()}


def test_a_stage_runs_the_layers_that_none_before_has_reached() -> None:
    deeper, both = candidate(source("a", 6), source("a", 1)), candidate(source("a", 4), source("b", 2))
    first, second, third = stretches([candidate(source("a", 3)), deeper, both])
    assert first == [Stretch("a", (source("a", 3), source("a", 1)), last=False)], "what is passed on the way is read"
    assert second == [Stretch("a", (source("a", 6), source("a", 4)), last=True)]
    assert third == [Stretch("b", (source("b", 2),), last=True)]
    again = stretches([candidate(source("a", 3)), candidate(source("a", 3), source("b", 1))])
    assert again[1] == [Stretch("b", (source("b", 1),), last=True)], "the same source is read once"


CASCADES = {
    "deeper": [candidate(source("bert", 1)), candidate(source("bert", 4, "first"))],
    "same layer, another model": [candidate(source("bert", 2)), candidate(source("bert", 2), source("distil", 3))],
    "three": [
        candidate(source("bert", 1)),
        candidate(source("bert", 1), source("bert", 3)),
        candidate(source("bert", 0), source("bert", 4), source("distil", 2)),
    ],
    "what begins at the text": [candidate(source("distil", 1)), candidate(source("distil", 3))],
}


@pytest.mark.parametrize("name", CASCADES)
@pytest.mark.parametrize("held", [module.HELD_BYTES, 4096])
def test_answers_are_those_of_the_rule_on_all_probabilities_and_only_deferred_texts_go_on(
    name: str, held: int, opened: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD_BYTES", held)
    candidates = CASCADES[name]
    heads = [head(each, 32, seed) for seed, each in enumerate(candidates)]
    alone = [Stages([each], [one], [], opened).answer(MANY).scores for each, one in zip(candidates, heads, strict=True)]
    shares = (0.5, 0.9)[: len(alone) - 1]
    thresholds = [
        float(np.quantile(margins(scores), share)) + 1e-4 for scores, share in zip(alone[:-1], shares, strict=True)
    ]
    ran = {model: counted(each) for model, each in opened.items()}
    found = Stages(candidates, heads, thresholds, opened).answer(MANY)

    expected, stages = alone[0].copy(), np.zeros(len(MANY), dtype=np.int64)
    left = np.ones(len(MANY), dtype=bool)
    for number, threshold in enumerate(thresholds):
        left &= margins(alone[number]) < threshold
        expected[left], stages[left] = alone[number + 1][left], number + 1
    assert found.stages.tolist() == stages.tolist()
    np.testing.assert_allclose(found.scores, expected, atol=1e-5)

    reached = [len(MANY), *(int((stages > number).sum()) for number in range(len(thresholds)))]
    assert 0 < reached[-1] < len(MANY)
    assert {model: dict(counts) for model, counts in ran.items()} == blocks(candidates, reached, opened)


def blocks(
    candidates: Sequence[Candidate], reached: Sequence[int], opened: dict[str, Any]
) -> dict[str, dict[int, int]]:
    """How many texts each block has to run for."""
    found: dict[str, Counter[int]] = {model: Counter() for model in opened}
    depth = dict.fromkeys(opened, 0)
    for stage, texts in zip(candidates, reached, strict=True):
        for model in stage.models:
            deepest = max(each.layer for each in stage.sources if each.model == model)
            if deepest > depth[model]:
                goes_on = base.backend("transformers").goes_on(opened[model].model, opened[model].settings)
                for block in range(depth[model] if goes_on else 0, deepest):
                    found[model][block] += texts
                depth[model] = deepest
    return {model: dict(counts) for model, counts in found.items()}


def test_texts_wait_in_groups_of_bounded_memory(opened: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = CASCADES["deeper"]
    stages = Stages(candidates, [head(each, 32, 0) for each in candidates], [0.5], opened)
    monkeypatch.setattr(module, "HELD_BYTES", 100 * 32 * 4)
    groups = list(stages._groups(["x" * size for size in (60, 39, 2, 500, 1)], stretches(candidates)))
    assert [[len(text) for text in group] for group in groups] == [[60, 39], [2], [500], [1]]
    whole = list(stages._groups(MANY, stretches(candidates[:1])))
    assert len(whole) == 1, "where nothing waits, nothing is cut"
