"""Prompts as forms of the input: given or named by the model's files, pooled or not, within the maximum length."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from formats.make import SEARCH, SPACE
from pydantic import ValidationError
from small import exported_and_checked, here, said  # noqa: F401

import bench
from bench.backends import base
from bench.backends.settings import ResolvedSettings
from bench.backends.tokenizer import Tokenizer, token_identity
from bench.errors import BenchError
from bench.models.resolve import ResolvedModel, resolve
from bench.packaging.graphs.build import _tokenizer
from bench.views import Form

TEXT = "wheat maize harvest tonnes port crop soy export"
SETTINGS = ResolvedSettings(backend="transformers", device="cpu", dtype="float32", max_length=16, attention="sdpa")


@pytest.fixture
def model(here: Path) -> ResolvedModel:  # noqa: F811
    return resolve(str(here / "model"), here / "store")


def under(model: ResolvedModel, **form: Any) -> ResolvedModel:
    return model.under("m:form", Form(**form), ())


def ids(model: ResolvedModel, text: str, **settings: Any) -> list[int]:
    return Tokenizer(model, SETTINGS.model_copy(update=settings)).encode([text]).text(0).tolist()


def test_a_prompt_comes_before_the_text_or_around_it(model: ResolvedModel) -> None:
    assert ids(under(model, prompt="the new "), "crop") == ids(model, "the new crop")
    assert ids(under(model, prompt="the {text} said"), "crop") == ids(model, "the crop said")
    assert ids(under(model, prompt=""), "crop") == ids(model, "crop")


def test_what_a_prompt_has_behind_a_text_is_never_cut(model: ResolvedModel) -> None:
    around = under(model, prompt="the {text} last week")
    assert ids(around, TEXT, max_length=8) == ids(model, "the wheat maize harvest last week")
    found = Tokenizer(around, SETTINGS.model_copy(update={"max_length": 8})).encode([TEXT, "crop"])
    assert found.truncated.tolist() == [True, False]
    with pytest.raises(BenchError, match="prompt of 'm:form' has 5 tokens"):
        ids(around, TEXT, max_length=5)
    assert token_identity(around, SETTINGS)["truncation"] != token_identity(model, SETTINGS)["truncation"]


@pytest.mark.parametrize(
    ("prompt", "text", "span"),
    [
        ("the new ", "crop soy", [3, 6]),  # [CLS] the new | crop soy [SEP]
        ("the {text} last week", "crop soy", [2, 4]),
        ("", "crop", [1, 3]),
        ("the new ", TEXT, [3, 8]),
    ],
)
def test_the_text_s_own_tokens_are_pooled(model: ResolvedModel, prompt: str, text: str, span: list[int]) -> None:
    own = under(model, prompt=prompt, pooled="text")
    settings = SETTINGS.model_copy(update={"max_length": 8})
    found = Tokenizer(own, settings).encode([text])
    assert found.spans is not None
    assert found.spans.tolist() == [span]
    assert token_identity(own, settings)["pooled"] == "text"
    assert "pooled" not in token_identity(model, settings)


def test_pooling_the_text_alone_is_the_mean_of_its_states(model: ResolvedModel) -> None:
    texts = ["crop soy", TEXT, "port"]
    own = under(model, prompt="the new ", pooled="text")
    opened = base.backend("transformers").open(own, SETTINGS)
    encoded = opened.encode(texts)
    layers = range(model.layers + 1)
    found = {
        int(row): each
        for batch in opened.hidden_states(encoded, range(3), layers)
        for row, each in zip(batch.rows, batch.states, strict=True)
    }
    body = opened._body.module  # type: ignore[attr-defined]
    for row in range(3):
        tokens = torch.tensor(encoded.text(row)[None].astype("int64"))
        with torch.inference_mode():
            states = body(tokens, attention_mask=torch.ones_like(tokens), output_hidden_states=True).hidden_states
        for layer in layers:
            expected = states[layer][0, 3:]
            torch.testing.assert_close(found[row][layer, 0], expected.mean(0), atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(found[row][layer, 2], expected[0], atol=1e-5, rtol=1e-4)


def test_a_prompt_is_found_by_its_name(model: ResolvedModel, here: Path) -> None:  # noqa: F811
    with pytest.raises(BenchError, match="no prompt called 'query'"):
        under(model, named="query")
    prompts = {"prompts": {"query": "the new ", "passage": "the last "}, "default_prompt_name": None}
    (here / "model" / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert under(model, named="query").prompt == "the new "
    with pytest.raises(BenchError, match="did you mean 'query'"):
        under(model, named="qeury")


def test_a_form_that_makes_no_sense_is_refused() -> None:
    for form in ({"prompt": "a", "named": "b"}, {"pair": True, "pooled": "text"}, {"pair": True, "prompt": "{text} b"}):
        with pytest.raises(ValidationError):
            Form.model_validate(form)


def test_prompts_are_searched_exported_and_checked(here: Path) -> None:  # noqa: F811
    inputs = '[inputs.plain]\n[inputs.own]\nprompt = "the new "\npooled = "text"\n\n[fusion]'
    text = SPACE.replace("[fusion]", inputs).replace('["mlp", "logistic"]', '["ridge"]')
    (here / "space.toml").write_text(text.replace("layers_per_model = 2", "at_least = 2\nat_most = 2"))

    said("search", *SEARCH, "--trials", "6", "--study", "p", "--no-tracking")
    opened = bench.reopen("p", tracking=False).study
    assert set(opened.material.models) == {"./model:plain", "./model:own"}
    assert len(set(opened.material.shelves.values())) == 2  # other states, on a shelf of their own
    record = opened.journal.of("complete")[0]
    exported_and_checked(opened, record)
    with pytest.raises(BenchError, match="which no graph does yet"):
        _tokenizer("./model:own", 1, opened.material, here)
