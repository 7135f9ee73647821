"""Forms of the input for decoders: a text twice, of which the second time is pooled, and its end marked."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from bodies import BODIES, resolve
from conftest import train_tokenizer
from formats.make import SEARCH, SPACE
from small import exported_and_checked, here, said  # noqa: F401

import bench
from bench.backends import base, forms
from bench.backends.batches import in_order
from bench.backends.settings import ResolvedSettings
from bench.backends.tokenizer import Tokenizer, token_identity
from bench.backends.vllm.backend import VLLMBackend
from bench.errors import BenchError
from bench.models.resolve import ResolvedModel
from bench.views import Form

SETTINGS = ResolvedSettings(backend="transformers", device="cpu", dtype="float32", max_length=32, attention="sdpa")
TEXTS = ["Wheat prices rose in the north.", "Crude oil fell.", "The bank cut its rate by a quarter of a point."]


def under(model: ResolvedModel, **form: Any) -> ResolvedModel:
    return model.under("m:form", Form(**form), ())


def encode(model: ResolvedModel, texts: Sequence[str], **settings: Any) -> base.Encoded:
    return Tokenizer(model, SETTINGS.model_copy(update=settings)).encode(texts)


def pooled(opened: base.Backend, texts: Sequence[str], layers: Sequence[int]) -> torch.Tensor:
    """[texts, layers, poolings, width]."""
    rows = range(len(texts))
    return in_order(opened.hidden_states(opened.encode(texts), rows, layers), rows)


def test_of_an_echo_the_second_time_is_pooled_and_of_an_end_its_token_too(smollm2: ResolvedModel) -> None:
    """Beside what transformers' own hidden states of the same token ids come to, computed by hand."""
    ways = {"echo": {"echo": True}, "eos": {"eos": True}, "both": {"echo": True, "eos": True}}
    asked = {name: under(smollm2, **way) for name, way in ways.items()}
    opened = base.backend("transformers").open(asked["echo"], SETTINGS)
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2.folder)
    body = transformers.AutoModel.from_pretrained(smollm2.folder, dtype=torch.float32, attn_implementation="sdpa")
    layers = [0, 1, 17, smollm2.layers]
    mean, last = (smollm2.poolings.index(name) for name in ("mean", "last"))
    for name, model in asked.items():
        found = pooled(forms.under(opened, model), TEXTS, layers)
        for row, text in enumerate(TEXTS):
            ids = tokenizer(text).input_ids
            end = [tokenizer.eos_token_id] if "eos" in ways[name] else []
            begin = len(ids) if "echo" in ways[name] else 0
            whole = [*ids[:begin], *ids, *end]
            assert len(whole) <= SETTINGS.max_length
            with torch.inference_mode():
                hidden = body(torch.tensor([whole]), output_hidden_states=True).hidden_states
            for place, layer in enumerate(layers):
                second = hidden[layer][0, begin:]
                scale = second.norm(dim=-1).max().item()
                assert (found[row, place, mean] - second.mean(0)).norm() < 1e-4 * scale
                assert (found[row, place, last] - second[-1]).norm() < 1e-4 * scale


@pytest.fixture
def llama(tiny: Callable[..., Path], in_model_store: None) -> ResolvedModel:
    """A decoder whose tokenizer, as most, puts nothing around a text, and has a token that ends one."""
    import tokenizers

    folder = tiny("LlamaConfig", **BODIES["LlamaConfig"])
    train_tokenizer(folder, "right", 0, TEXTS)
    saved = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    saved.post_processor = None
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "eos_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=saved, **names).save_pretrained(folder)
    return resolve(str(folder))


EOS = 3


def test_both_times_of_an_echo_are_within_the_limit(llama: ResolvedModel) -> None:
    ids = encode(llama, TEXTS).text(2).tolist()
    found = encode(under(llama, echo=True), TEXTS, max_length=9)
    assert found.text(2).tolist() == [*ids[:4], *ids[:4]]
    assert found.spans is not None
    assert found.spans[2].tolist() == [4, 8]
    assert found.truncated.tolist() == [True, False, True]
    ends = encode(under(llama, echo=True, long="head+tail", eos=True), TEXTS, max_length=9)
    assert ends.text(2).tolist() == [*ids[:2], *ids[-2:], *ids[:2], *ids[-2:], EOS]
    windows = encode(under(llama, echo=True, long="chunks", overlap=1), TEXTS[2:], max_length=8).windows
    assert windows is not None
    assert windows.each.spans is not None
    starts = range(0, len(ids) - 1, 3)
    assert [windows.each.text(place).tolist() for place in range(len(starts))] == [
        [*ids[start : start + 4], *ids[start : start + 4]] for start in starts
    ]
    assert (windows.each.spans[:, 1] - windows.each.spans[:, 0]).tolist() == (windows.each.lengths // 2).tolist()


def test_a_prompt_stands_around_both_times_and_the_end_behind_all(llama: ResolvedModel) -> None:
    text, prompt = "oil fell", "The bank {text} rose"
    the, bank, oil, fell, rose = encode(llama, ["The bank oil fell rose"]).text(0).tolist()
    found = encode(under(llama, echo=True, prompt=prompt), [text])
    assert found.text(0).tolist() == [the, bank, oil, fell, oil, fell, rose]
    assert found.spans is not None
    assert found.spans.tolist() == [[4, 6]]
    found = encode(under(llama, eos=True, prompt=prompt), [text])
    assert found.text(0).tolist() == [the, bank, oil, fell, rose, EOS]
    assert found.spans is None
    found = encode(under(llama, echo=True, eos=True, prompt="The bank "), [text])
    assert found.spans is not None
    assert found.spans.tolist() == [[4, 7]]
    # the token counts, so that what is left of a text is shorter by it
    assert encode(under(llama, eos=True), TEXTS, max_length=4).text(0).tolist()[-1] == EOS
    assert encode(under(llama, eos=True), TEXTS, max_length=4).truncated.all()


def test_batches_going_on_and_openvino_pool_the_same_tokens(llama: ResolvedModel) -> None:
    model, layers = under(llama, echo=True, eos=True), range(llama.layers + 1)
    opened = base.backend("transformers").open(model, SETTINGS)
    together = pooled(opened, TEXTS, layers)
    alone = torch.cat([pooled(opened, [text], layers) for text in TEXTS])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    if base.backend("openvino").unavailable() is None:
        settings = SETTINGS.model_copy(update={"backend": "openvino", "attention": None})
        found = pooled(base.backend("openvino").open(model, settings), TEXTS, layers)
        torch.testing.assert_close(found, together, atol=1e-3, rtol=1e-3)


def test_identities_costs_and_refusals(llama: ResolvedModel, here: Path) -> None:  # noqa: F811
    ways: list[dict[str, Any]] = [{}, {"echo": True}, {"eos": True}, {"echo": True, "eos": True}]
    found = [token_identity(under(llama, **way), SETTINGS) for way in ways]
    assert len({str(each) for each in found}) == 4
    lengths = [int(encode(under(llama, **way), TEXTS).lengths.sum()) for way in ways]
    assert lengths == [lengths[0], 2 * lengths[0], lengths[0] + 3, 2 * lengths[0] + 3]
    with pytest.raises(BenchError, match="has no end-of-sequence token"):
        encode(under(resolve(str(here / "model")), eos=True), TEXTS)
    with pytest.raises(BenchError, match="backend='transformers'"):
        VLLMBackend(under(llama, echo=True), SETTINGS)


def test_an_echo_is_searched_exported_and_checked(here: Path) -> None:  # noqa: F811
    inputs = "[inputs.plain]\n[inputs.twice]\necho = true\n\n[fusion]"
    text = SPACE.replace("[fusion]", inputs).replace('["mlp", "logistic"]', '["ridge"]').replace(', "last"', "")
    (here / "space.toml").write_text(text.replace("layers_per_model = 2", "at_least = 2\nat_most = 2"))
    said("search", *SEARCH, "--trials", "2", "--study", "e", "--no-tracking")
    opened = bench.reopen("e", tracking=False).study
    assert len(set(opened.material.shelves.values())) == 2
    exported_and_checked(opened, opened.journal.of("complete")[0])
