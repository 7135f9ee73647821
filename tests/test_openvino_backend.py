import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from bodies import BODIES, error, extract, reference, resolve

from bench.backends import base, speeds
from bench.backends.parity import agreements
from bench.backends.resolution import choose
from bench.backends.resolution import resolve as resolve_settings
from bench.errors import BenchError
from bench.extraction import identity
from bench.models.resolve import ResolvedModel
from bench.specs import ExtractionSettings, fingerprint

pytest.importorskip("openvino")
backend = base.backend("openvino")
ASKED = ExtractionSettings(backend="openvino", device="cpu")
SETTINGS = resolve_settings(ASKED)
BFLOAT16 = SETTINGS.model_copy(update={"dtype": "bfloat16"})


def bfloat16_is_there() -> bool:
    try:
        resolve_settings(BFLOAT16)
    except BenchError:
        return False
    return True


needs_bfloat16 = pytest.mark.skipif(not bfloat16_is_there(), reason="this processor has no bfloat16")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["minilm", "smollm2"])
def test_real_models_give_what_transformers_gives(
    name: str, texts: Sequence[str], request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    assert backend.supports(model.architecture)
    assert error(extract(backend.open(model, SETTINGS), texts), reference(model, texts, "right")) < 1e-4


@pytest.mark.parametrize("kind", BODIES)
def test_every_architecture_gives_what_transformers_gives(
    kind: str, tiny: Callable[..., Path], texts: Sequence[str], in_model_store: None
) -> None:
    model = resolve(str(tiny(kind, **BODIES[kind])))
    assert backend.supports(model.architecture)
    expected = reference(model, texts, "left")
    opened = backend.open(model, SETTINGS)
    assert error(extract(opened, texts), expected) < 1e-4
    # One text alone, a few, and all in one order or another: no shape is frozen into the graph.
    opened._budget = 20
    order = random.Random(0).sample(range(len(texts)), len(texts))
    assert error(extract(opened, [texts[place] for place in order]), expected[order]) < 1e-4
    longer = [" ".join(texts) * 2, texts[1]]
    assert error(extract(opened, longer), reference(model, longer, "right", max_length=120)) < 1e-4


def test_the_paper_s_bidirectional_body_is_run(
    small_row: Callable[[str], Path], texts: Sequence[str], in_model_store: None
) -> None:
    model = resolve(str(small_row("nv-embed-v2")))
    assert backend.supports(model.architecture)
    assert error(extract(backend.open(model, SETTINGS), texts), reference(model, texts, "right")) < 1e-4


@pytest.mark.slow
def test_stopping_early_gives_the_same_values(
    tiny: Callable[..., Path], texts: Sequence[str], in_model_store: None
) -> None:
    model = resolve(str(tiny("LlamaConfig", num_key_value_heads=2)))
    opened = backend.open(model, SETTINGS)
    full = extract(opened, texts)
    assert error(extract(opened, texts, [2, 0]), full[:, [2, 0]]) < 1e-5
    assert len(opened.time_layers(opened.encode(texts), [0]).seconds) == 3, "the graph goes deeper than was asked for"
    shallow = backend.open(model, SETTINGS, deepest=1)
    assert error(extract(shallow, texts, [1]), full[:, [1]]) < 1e-5
    assert len(shallow.time_layers(shallow.encode(texts), [0]).seconds) == 2


@pytest.mark.slow
@needs_bfloat16
def test_bfloat16_is_as_near_to_float32_as_under_transformers(minilm: ResolvedModel, texts: Sequence[str]) -> None:
    expected = reference(minilm, texts, "right")
    found = extract(backend.open(minilm, BFLOAT16), texts)
    # the first token's states hardly depend on the text in the lowest layers: standardised, they are noise in any dtype
    told = [each for each in agreements(expected, found, minilm.poolings) if each.pooling != "first"]
    worst = min(each.cosine for each in told if each.cosine is not None)
    assert 0.99 < worst < 0.999999, "1 would be float32 under another name"


@pytest.mark.slow
def test_time_is_told_layer_by_layer(minilm: ResolvedModel, texts: Sequence[str]) -> None:
    opened = backend.open(minilm, SETTINGS)
    encoded = opened.encode(list(texts) * 8)
    times = opened.time_layers(encoded, range(len(encoded)))
    assert not times.estimated
    assert len(times.seconds) == minilm.layers + 1
    steps = [later - earlier for earlier, later in zip(times.seconds, times.seconds[1:], strict=False)]
    assert all(step > 0 for step in steps), "every layer takes time"
    # The six blocks are alike; what precedes them is a lookup.
    assert times.seconds[0] < 0.5 * times.seconds[-1]
    assert max(steps) < 0.6 * sum(steps)


def test_memory_that_runs_out_shrinks_the_batch(
    minilm: ResolvedModel, texts: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = backend.open(minilm, SETTINGS)
    expected = extract(opened, texts)
    request, sizes = opened._graph.request, []

    class Crowded:
        def infer(self, inputs: Sequence[Any], **options: Any) -> Any:
            sizes.append(len(inputs[1]))
            if len(inputs[1]) > 2:
                raise RuntimeError("Exception from the plugin: std::bad_alloc")
            return request.infer(inputs, **options)

    object.__setattr__(opened._graph, "request", Crowded())
    assert error(extract(opened, texts), expected) < 1e-5
    assert sizes[0] == len(texts)
    assert sizes[0] > sizes[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "float16"}, "cannot compute in float16: use `dtype='float32'`"),
        ({"device": "cuda"}, "not on 'cuda': use `device='cpu'`"),
        ({"quantization": "4bit"}, "leave `quantization` out"),
        ({"attention": "eager"}, "leave `attention` out"),
        ({"tensor_parallel": 2}, "leave `tensor_parallel` out"),
    ],
)
def test_what_it_cannot_do_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        resolve_settings(SETTINGS.model_copy(update=change))


def test_a_processor_without_bfloat16_is_not_given_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    core = SimpleNamespace(get_property=lambda *_: ["FP32", "INT8"])
    monkeypatch.setattr(backend, "library", lambda: SimpleNamespace(Core=lambda: core))
    with pytest.raises(BenchError, match="no bfloat16 arithmetic"):
        resolve_settings(BFLOAT16)


def test_a_missing_library_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "find_spec", lambda _: None)
    with pytest.raises(BenchError, match=r"pip install 'bench\[openvino\]'"):
        resolve_settings(SETTINGS)


def test_a_graph_that_computes_something_else_is_refused(
    tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, in_model_store: None
) -> None:
    model = resolve(str(tiny("BertConfig")))
    monkeypatch.setattr("bench.backends.openvino.graph._traced_mask", lambda **_: None)
    with pytest.raises(BenchError, match="computes something else than the model does"):
        backend.open(model, SETTINGS)


def test_texts_end_where_positions_would_depend_on_the_longest_of_a_batch(
    tiny: Callable[..., Path], texts: Sequence[str], in_model_store: None
) -> None:
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    folder = tiny("LlamaConfig", num_key_value_heads=2, rope_parameters=rope)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 30}))
    model = resolve(str(folder))
    assert error(extract(backend.open(model, SETTINGS), texts), reference(model, texts, "right")) < 1e-4
    config["rope_parameters"]["original_max_position_embeddings"] = 16
    (folder / "config.json").write_text(json.dumps(config))
    assert backend.open(resolve(str(folder)), SETTINGS).encode(texts).lengths.max() == 16


def test_rows_are_never_shared_with_another_backend(minilm: ResolvedModel) -> None:
    plain = identity(minilm, SETTINGS)
    assert json.loads(json.dumps(plain)) == plain
    assert {"backend", "openvino", "torch", "transformers", "dtype", "max_length"} <= set(plain)
    other = identity(minilm, SETTINGS.model_copy(update={"backend": "transformers"}))
    changed = [identity(minilm, SETTINGS.model_copy(update=change)) for change in ({"max_length": 16},)]
    assert len({fingerprint(each) for each in (plain, other, *changed)}) == 3
    assert identity(minilm, SETTINGS.model_copy(update={"token_budget": 64})) == plain


def test_nothing_is_reported_over_the_network(minilm: ResolvedModel) -> None:
    code = (
        "import socket, sys\n"
        "def refused(*_): raise AssertionError('a connection')\n"
        "socket.socket.connect = socket.getaddrinfo = refused\n"
        "from bench.backends import base\n"
        "assert not {'openvino', 'torch', 'transformers'} & set(sys.modules), 'asked of before it is used'\n"
        "library = base.backend('openvino').library()\n"
        "assert library.tools.ovc.telemetry.__class__.__module__.endswith('telemetry_stub')\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


class Shaped(NamedTuple):
    """What is known of a model before its weights are read."""

    architecture: str
    layers: int
    width: int


class TestAuto:
    """`--backend auto`."""

    AUTO = ASKED.model_copy(update={"backend": "auto"})
    SMALL, LARGE = Shaped("BertModel", 6, 384), Shaped("LlamaModel", 30, 576)

    @pytest.fixture(autouse=True)
    def _measured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As if OpenVINO was faster with small models in float32, and slower with large ones."""
        sizes = {10.6e6: {"openvino": 1.5, "vllm": 1.1}, 119e6: {"openvino": 0.8, "vllm": 0.9}}
        monkeypatch.setattr(speeds, "SPEEDS", {("cpu", "float32"): sizes})

    def test_takes_openvino_where_it_was_measured_to_be_faster(self) -> None:
        chosen = choose(self.AUTO, [self.SMALL])
        assert (chosen.backend, chosen.device) == ("openvino", "cpu")
        assert speeds.reason(chosen, [self.SMALL]) == (
            "which was measured to be 1.50 × as fast as transformers with models of this size"
        )
        assert choose(self.AUTO) == self.AUTO, "before the models are known it cannot be told"
        assert choose(self.AUTO, [self.LARGE]).backend == "transformers"
        assert choose(self.AUTO, [self.SMALL, self.LARGE]).backend == "transformers", "the large one takes the time"
        assert speeds.fastest("cpu", "float32", [self.SMALL] * 20 + [self.LARGE]).keys() == {"openvino"}

    def test_gaps_within_a_tie_are_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()
        assert speeds.fastest("cpu", "float32", [self.SMALL]) == {}, "1.02 as docs/speed.md has it"
        assert speeds.fastest("cpu", "bfloat16", [self.SMALL]) == {"openvino": pytest.approx(1.07)}
        assert speeds.fastest("cpu", "float16", [self.SMALL]) == {}
        assert speeds.fastest("mps", "float32", [self.SMALL]) == {}

    @pytest.mark.parametrize(
        ("change", "architectures"),
        [
            ({}, ["BertModel", "SomethingElse"]),
            ({"dtype": "float16"}, ["BertModel"]),
            ({"attention": "eager"}, ["BertModel"]),
        ],
    )
    def test_takes_transformers_where_openvino_cannot(self, change: dict[str, Any], architectures: list[str]) -> None:
        models = [Shaped(each, 6, 384) for each in architectures]
        assert choose(self.AUTO.model_copy(update=change), models).backend == "transformers"

    def test_takes_transformers_where_openvino_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backend, "find_spec", lambda _: None)
        assert choose(self.AUTO, [self.SMALL]).backend == "transformers"

    def test_takes_transformers_on_cuda_unless_vllm_was_measured_to_be_faster(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other, vllm = base.backend("transformers"), base.backend("vllm")
        monkeypatch.setattr(other, "resolve_settings", lambda each: each.model_copy(update={"device": "cuda"}))
        monkeypatch.setattr(vllm, "resolve_settings", lambda each: each.model_copy(update={"device": "cuda"}))
        monkeypatch.setattr(vllm, "unavailable", lambda: None)
        asked = self.AUTO.model_copy(update={"device": "auto", "dtype": "bfloat16"})
        assert choose(asked, [self.LARGE]).backend == "transformers"
        monkeypatch.setattr(speeds, "SPEEDS", {("cuda", "bfloat16"): {8e9: {"vllm": 1.2}}})
        assert choose(asked, [self.LARGE]).backend == "vllm"
        assert choose(asked, [Shaped("SomethingElse", 6, 384)]).backend == "transformers"
        monkeypatch.setattr(vllm, "unavailable", lambda: "It is not installed.")
        assert choose(asked, [self.LARGE]).backend == "transformers"

    def test_takes_transformers_on_cuda_by_what_was_measured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()
        for dtype in ("bfloat16", "float16", "float32"):
            assert speeds.fastest("cuda:1", dtype, [self.SMALL, self.LARGE]) == {}

    @pytest.mark.slow
    def test_is_said_and_stored_under_its_name(
        self, minilm: ResolvedModel, tmp_path: Path, model_store: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from bench.cli.main import cli

        rows = tmp_path / "rows.csv"
        rows.write_text("text,label\n" + "".join(f"oil {n} rose,up\noil {n} fell,down\n" for n in range(6)))
        words = ["extract", "--dataset", str(rows), "--models", minilm.name, "--layers", "0,1", "--json"]
        cli.main([*words, "--backend", "auto"], standalone_mode=False)
        printed = capsys.readouterr()
        assert "backend: openvino on cpu" in printed.err
        found = json.loads(printed.out)
        assert (found["backend"], found["device"]) == ("openvino", "cpu")
        cli.main(words, standalone_mode=False)
        other = json.loads(capsys.readouterr().out)
        assert other["backend"] == "transformers"
        assert other["models"][0]["shelf"] != found["models"][0]["shelf"]
