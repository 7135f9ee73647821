import itertools
import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from bodies import BODIES, error, extract, reference, resolve

from bench.backends import base, linear, packed
from bench.backends.architectures import ARCHITECTURES
from bench.backends.batches import Packed, Padded
from bench.backends.memory import keep_freed_memory
from bench.backends.resolution import resolve as resolve_settings
from bench.backends.tokenizer import Tokenizer
from bench.errors import BenchError
from bench.models.resolve import ResolvedModel
from bench.specs import ExtractionSettings
from bench.threads import torch_threads

backend = base.backend("transformers")
SETTINGS = resolve_settings(ExtractionSettings(device="cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["minilm", "smollm2"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_real_models_give_what_transformers_gives(
    name: str, side: str, texts: Sequence[str], request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    opened = backend.open(model, SETTINGS)
    assert backend.identity(model, SETTINGS)["attention"] == packed.NAME
    assert error(extract(opened, texts), reference(model, texts, side)) < 1e-4


@pytest.mark.parametrize("kind", BODIES)
def test_every_packed_architecture_gives_what_transformers_gives(
    kind: str, tiny: Callable[..., Path], texts: Sequence[str], in_model_store: None
) -> None:
    model = resolve(str(tiny(kind, **BODIES[kind])))
    assert model.architecture in ARCHITECTURES
    for attention, form in ((None, Packed), ("sdpa", Padded)):
        opened = backend.open(model, SETTINGS.model_copy(update={"attention": attention}))
        assert isinstance(opened._form, form)
        for side in ("right", "left"):
            assert error(extract(opened, texts), reference(model, texts, side)) < 1e-4


def test_the_kernel_and_the_products_agree(
    tiny: Callable[..., Path], texts: Sequence[str], monkeypatch: pytest.MonkeyPatch, in_model_store: None
) -> None:
    model = resolve(str(tiny("MistralConfig", num_key_value_heads=2, sliding_window=5)))
    opened = backend.open(model, SETTINGS)
    expected = extract(opened, texts)
    monkeypatch.setattr(packed, "PRODUCTS_UP_TO", {})
    assert error(extract(opened, texts), expected) < 1e-5
    monkeypatch.undo()
    monkeypatch.setattr(packed, "SCORES", 1)
    assert error(extract(opened, texts), expected) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [1.0, 40.0, 400.0])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_holds_where_powers_of_two_would_overflow(dtype: torch.dtype, size: float, causal: bool) -> None:
    """Scores of some bodies reach hundreds; as sums of powers of two they would be infinite, or nothing."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, heads, 24, 16, generator=generator).to(dtype) for heads in (6, 2, 2))
    # one text's scores are far up, the other's far down
    query = query * size * torch.tensor([1.0] * 12 + [-1.0] * 12)[:, None].to(dtype)
    key = key.abs()
    module = torch.nn.Module()
    found, _ = packed.packed_attention(
        module, query, key, value, None, runs=[packed.Run(2, 12)], scaling=1.0, is_causal=causal
    )
    exact = torch.cat(
        [
            torch.nn.functional.scaled_dot_product_attention(
                *(states[:, :, part].double() for states in (query, key, value)),
                scale=1.0,
                is_causal=causal,
                enable_gqa=True,
            )
            for part in (slice(12), slice(12, 24))
        ],
        dim=2,
    ).transpose(1, 2)
    assert torch.isfinite(found).all()
    if dtype == torch.float32:
        assert error(found, exact) < 1e-3
    else:  # scores of hundreds are rounded by one or two, which moves those few results where two of them vie
        assert (found - exact).abs().median() < 0.02


@pytest.mark.skipif(not linear.packing_works(), reason="oneDNN's packed weights are of x86 processors")
def test_packed_linears_are_the_plain_ones() -> None:
    """In bfloat16 bit for bit, so that their identity is that of plain ones; with their activation within rounding."""
    torch.manual_seed(0)
    for inner, outer, bias in ((64, 37, True), (96, 288, False)):
        for dtype, rows in ((torch.float32, 100), (torch.bfloat16, 1), (torch.bfloat16, 100)):
            if not linear.packing_works(dtype):
                continue
            plain = torch.nn.Linear(inner, outer, bias=bias, dtype=dtype)
            states = torch.randn(rows, inner, dtype=dtype)
            with torch.inference_mode():
                expected, found = plain(states), linear.PackedLinear(plain)(states)
                assert torch.equal(found, expected) if dtype == torch.bfloat16 else error(found, expected) < 1e-6
                for activation in linear.ACTIVATIONS.values():
                    found = linear.PackedLinear(plain, activation)(states)
                    exact = activation.function(torch.nn.functional.linear(*_double(states, plain)))
                    assert error(found, exact) < linear.PRECISION[dtype]


def test_widened_linears_are_the_plain_ones_but_for_rounding() -> None:
    """On a processor without bfloat16 arithmetic; what stays in float32, or is another's layer, is left alone."""
    torch.manual_seed(0)
    half, whole = torch.nn.Linear(96, 288, dtype=torch.bfloat16), torch.nn.Linear(96, 288)
    body = torch.nn.Sequential(half, whole, Doubled(96, 288, dtype=torch.bfloat16))
    states = torch.randn(100, 96, dtype=torch.bfloat16)
    with torch.inference_mode():
        exact = torch.nn.functional.linear(*_double(states, half))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(linear, "widens", lambda: True)
            linear.widen_linears(body)
        assert [type(part) for part in body] == [linear.WidenedLinear, torch.nn.Linear, Doubled]
        found = body[0](states)
    assert found.dtype == torch.bfloat16
    assert error(found, exact) < linear.PRECISION[torch.bfloat16]


class Doubled(torch.nn.Linear):
    """Computes something else than a linear layer."""


def _double(states: torch.Tensor, plain: torch.nn.Linear) -> tuple[torch.Tensor, ...]:
    bias = torch.zeros(len(plain.weight)) if plain.bias is None else plain.bias
    return states.double(), plain.weight.double(), bias.double()


@pytest.mark.parametrize(("kind", "path"), [("BertConfig", "intermediate"), ("LlamaConfig", "mlp")])
def test_activations_are_computed_with_the_product_before_them(
    kind: str, path: str, tiny: Callable[..., Path], in_model_store: None
) -> None:
    opened = backend.open(resolve(str(tiny(kind, **BODIES[kind]))), SETTINGS)
    fused = [
        module
        for name, module in opened._body.module.named_modules()
        if name.endswith(path) and any(isinstance(child, torch.nn.Identity) for child in module.children())
    ]
    assert bool(fused) == linear.packing_works()


def test_other_architectures_run_padded(tiny: Callable[..., Path], texts: Sequence[str], in_model_store: None) -> None:
    folder = tiny("DistilBertConfig", dim=32, n_layers=3, n_heads=4, hidden_dim=48)
    model = resolve(str(folder))
    opened = backend.open(model, SETTINGS)
    assert isinstance(opened._form, Padded)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    plain = transformers.AutoModel.from_pretrained(folder).eval()
    for text, found in zip(texts, extract(opened, texts), strict=True):
        with torch.inference_mode():
            states = plain(tokenizer(text, return_tensors="pt")["input_ids"], output_hidden_states=True).hidden_states
        assert error(found[:, 0], torch.stack([hidden[0].mean(0) for hidden in states])) < 1e-4


def test_neither_batch_nor_order_moves_a_value(minilm: ResolvedModel, texts: Sequence[str]) -> None:
    expected = extract(backend.open(minilm, SETTINGS), texts)
    opened = backend.open(minilm, SETTINGS.model_copy(update={"token_budget": 20}))
    assert error(extract(opened, texts), expected) < 1e-5
    order = random.Random(0).sample(range(len(texts)), len(texts))
    assert error(extract(opened, [texts[place] for place in order]), expected[order]) < 1e-5


@pytest.fixture
def two_threads() -> Iterator[None]:
    with torch_threads(2):
        yield


@pytest.mark.usefixtures("two_threads")
def test_batches_side_by_side_give_the_same_values(minilm: ResolvedModel, texts: Sequence[str]) -> None:
    expected = extract(backend.open(minilm, SETTINGS), texts)
    opened = backend.open(minilm, SETTINGS.model_copy(update={"token_budget": 20}))
    seen: set[int] = set()
    opened._body.module.encoder.layer[3].register_forward_hook(lambda *_: seen.add(threading.get_ident()))
    for _ in range(3):
        assert error(extract(opened, texts), expected) < 1e-5
    assert threading.get_ident() not in seen
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_memory_that_runs_out_side_by_side_is_tried_again_in_smaller_batches(
    minilm: ResolvedModel, texts: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = extract(backend.open(minilm, SETTINGS), texts)
    opened = backend.open(minilm, SETTINGS.model_copy(update={"token_budget": 60}))
    forward, tokens = opened._body.forward, list[int]()

    def scarce(batch: Any, *args: Any) -> None:
        tokens.append(batch.inputs["input_ids"].numel())
        if tokens[-1] > 40:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory")
        forward(batch, *args)

    monkeypatch.setattr(opened._body, "forward", scarce)
    assert error(extract(opened, texts), expected) < 1e-5
    assert max(tokens) > 40


@pytest.mark.usefixtures("two_threads")
def test_a_pass_that_nobody_waits_for_stops_at_its_next_layer(minilm: ResolvedModel, texts: Sequence[str]) -> None:
    opened = backend.open(minilm, SETTINGS.model_copy(update={"token_budget": 20}))
    arrived, held, deep = itertools.count(), set[int](), list[int]()
    holding, going_on = threading.Event(), threading.Event()

    def hold(*_: Any) -> None:
        if next(arrived) >= 2:  # the first two batches pass
            held.add(threading.get_ident())
            holding.set()
            assert going_on.wait(60)

    opened._body.module.encoder.layer[2].register_forward_hook(hold)
    opened._body.module.encoder.layer[5].register_forward_hook(
        lambda *_: deep.append(5) if threading.get_ident() in held else None
    )
    rows = range(len(texts) * 8)
    passes = opened.hidden_states(opened.encode(list(texts) * 8), rows, range(7))
    next(passes)
    assert holding.wait(60)
    threading.Timer(0.5, going_on.set).start()
    passes.close()
    assert not deep


def test_stopping_early_gives_the_same_values(minilm: ResolvedModel, texts: Sequence[str]) -> None:
    opened = backend.open(minilm, SETTINGS)
    full = extract(opened, texts)
    seen: list[int] = []
    opened._body.module.encoder.layer[3].register_forward_hook(lambda *_: seen.append(3))
    assert torch.equal(extract(opened, texts, [0]), full[:, :1])
    assert torch.equal(extract(opened, texts, [3, 1]), full[:, [3, 1]])
    assert not seen, "the pass went deeper than the deepest layer asked for"
    assert torch.equal(extract(opened, texts, [6]), full[:, 6:])


def test_truncation_is_counted_and_cuts_the_right_end(minilm: ResolvedModel, texts: Sequence[str]) -> None:
    opened = backend.open(minilm, SETTINGS.model_copy(update={"max_length": 8}))
    encoded = opened.encode(texts)
    assert encoded.lengths.max() == 8
    assert encoded.truncated.tolist() == [len(opened._tokenizer._tokenizer(text)["input_ids"]) > 8 for text in texts]
    assert 0 < encoded.truncated.sum() < len(texts)
    assert error(extract(opened, texts), reference(minilm, texts, "right", max_length=8)) < 1e-4


def test_a_cut_that_the_tokenizer_forgets_is_told(
    minilm: ResolvedModel, texts: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As tokenizers 0.23.2 does where nothing is added to a text."""
    opened = Tokenizer(minilm, SETTINGS.model_copy(update={"max_length": 8}))
    expected = opened.encode(texts).truncated
    assert 0 < expected.sum() < len(texts)
    cut = opened._tokenizer

    def forgetful(given: list[str], **options: Any) -> Any:
        found = cut(given, **options)
        return SimpleNamespace(
            input_ids=found.input_ids,
            encodings=[SimpleNamespace(ids=each.ids, overflowing=[]) for each in found.encodings],
        )

    forgetful.num_special_tokens_to_add = cut.num_special_tokens_to_add  # type: ignore[attr-defined]
    monkeypatch.setattr(opened, "_tokenizer", forgetful)
    monkeypatch.setattr(opened, "_check_known", lambda _: None)
    assert opened.encode(texts).truncated.tolist() == expected.tolist()


def test_the_prompt_comes_first(minilm: ResolvedModel) -> None:
    from dataclasses import replace

    prompted = backend.open(replace(minilm, prompt="query: "), SETTINGS)
    plain = backend.open(minilm, SETTINGS)
    assert torch.equal(extract(prompted, ["oil"]), extract(plain, ["query: oil"]))


def test_a_text_without_tokens_is_an_error(smollm2: ResolvedModel) -> None:
    with pytest.raises(BenchError, match="Text 1 has no tokens"):
        backend.open(smollm2, SETTINGS).encode(["oil", ""])


def test_running_out_of_memory_shrinks_the_batch(
    minilm: ResolvedModel, texts: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = backend.open(minilm, SETTINGS)
    expected = extract(opened, texts)
    pooled = opened._pooled
    sizes: list[int] = []

    def crowded(encoded: base.Encoded, rows: Any, *further: Any) -> base.Pooled:
        sizes.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError("injected")
        return pooled(encoded, rows, *further)

    monkeypatch.setattr(opened, "_pooled", crowded)
    assert error(extract(opened, texts), expected) < 1e-5
    assert sizes[0] == len(texts)
    assert sizes[0] > sizes[1]

    def hopeless(*_: object) -> torch.Tensor:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")

    monkeypatch.setattr(opened, "_pooled", hopeless)
    with pytest.raises(BenchError, match=r"single text of .* does not fit"):
        extract(opened, texts)


def test_values_that_are_not_finite_are_an_error(
    tiny: Callable[..., Path], texts: Sequence[str], in_model_store: None
) -> None:
    opened = backend.open(resolve(str(tiny("LlamaConfig", num_key_value_heads=2))), SETTINGS)
    with torch.no_grad():
        opened._body.module.layers[1].mlp.down_proj.weight = torch.nn.Parameter(torch.full((1,), torch.inf))
        opened._body.module.layers[1].mlp.down_proj.forward = lambda rows: rows[..., :32] * torch.inf
    with pytest.raises(BenchError, match="not finite at layer 2"):
        extract(opened, texts)


def test_packed_kernels_that_disagree_are_refused(
    tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, in_model_store: None
) -> None:
    model = resolve(str(tiny("LlamaConfig", num_key_value_heads=2)))
    monkeypatch.setattr(packed, "_mask", lambda *_: None)
    with pytest.raises(BenchError, match="pass `attention='sdpa'`"):
        backend.open(model, SETTINGS)
    backend.open(model, SETTINGS.model_copy(update={"attention": "sdpa"}))


def test_identity_needs_no_weights_and_holds_what_changes_a_value(minilm: ResolvedModel, monkeypatch: Any) -> None:
    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", None)
    plain = backend.identity(minilm, SETTINGS)
    assert json.loads(json.dumps(plain)) == plain
    for change in ({"dtype": "bfloat16"}, {"max_length": 16}, {"attention": "sdpa"}):
        assert backend.identity(minilm, SETTINGS.model_copy(update=change)) != plain
    assert backend.identity(minilm, SETTINGS.model_copy(update={"token_budget": 64})) == plain
    assert backend.identity(minilm, SETTINGS.model_copy(update={"max_length": 9999}))["max_length"] == 512
    with monkeypatch.context() as later:
        later.setattr(ResolvedModel, "poolings", ("mean", "a new one"))
        assert backend.identity(minilm, SETTINGS) == plain, "a new pooling must not hide the rows of the others"
    monkeypatch.setattr(backend, "KERNELS", backend.KERNELS + 1)
    assert backend.identity(minilm, SETTINGS) != plain


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:7", "Device 'cuda:7' cannot compute"),
        ("tpu", "There is no device 'tpu': `device` takes cpu, cuda, cuda:N, mps, auto"),
    ],
)
def test_a_device_that_is_not_there_is_an_error(device: str, message: str) -> None:
    if device.startswith("cuda") and torch.cuda.device_count() > 7:
        pytest.skip("this machine has that device")
    with pytest.raises(BenchError, match=message):
        resolve_settings(SETTINGS.model_copy(update={"device": device}))


def test_packed_linears_keep_float32_precision() -> None:
    if not linear.packing_works():
        pytest.skip("oneDNN packing does not work on this machine")
    layer = torch.nn.Sequential(torch.nn.Linear(96, 40), torch.nn.Linear(40, 8, bias=False))
    rows = torch.randn(3, 7, 96)
    with torch.inference_mode():
        expected = layer.double()(rows.double())
        linear.pack_linears(layer.float())
        assert all(isinstance(part, linear.PackedLinear) for part in layer)
        torch.testing.assert_close(layer(rows).double(), expected, rtol=1e-5, atol=1e-6)


def test_a_pass_asks_the_system_for_no_memory_that_the_last_one_had(
    minilm: ResolvedModel, texts: Sequence[str]
) -> None:
    if not keep_freed_memory():
        pytest.skip("the C library is not glibc")
    import resource

    opened = backend.open(minilm, SETTINGS)
    many = list(texts) * 20
    extract(opened, many)

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        extract(opened, many)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    # Thousands in every pass where each layer's activations are given back and fetched again.
    assert min(faults() for _ in range(5)) < 1000


def test_an_unknown_backend_names_the_nearest() -> None:
    with pytest.raises(BenchError, match="did you mean 'transformers'"):
        base.backend("transformer")
