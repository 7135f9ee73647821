"""Bodies that no table vouches for: read exactly, or refused before anything is extracted."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import architectures
import pytest
import torch
import transformers
from bodies import BODIES, error, extract, resolve
from conftest import TEXTS, random_body

from bench import api, proof
from bench.backends import base
from bench.backends.architectures import ARCHITECTURES, MENDED
from bench.backends.batches import Level, Padded
from bench.backends.opening import remarks
from bench.backends.resolution import resolve as resolve_settings
from bench.backends.selftest import TOLERANCE
from bench.backends.settings import ResolvedSettings
from bench.backends.transformers import KERNELS
from bench.backends.transformers.backend import TransformersBackend
from bench.errors import BenchError
from bench.extraction import identity
from bench.models.resolve import ResolvedModel
from bench.packaging import weights
from bench.specs import ExtractionSettings

# transformers' DeBERTa scripts two functions when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

INPUTS = Path(__file__).with_name("inputs")
SETTINGS = resolve_settings(ExtractionSettings(device="cpu"))
ODD = {path.stem: json.loads(path.read_text()) for path in sorted((INPUTS / "17").glob("*.json"))}
WITHOUT_SDPA = {path.stem: json.loads(path.read_text()) for path in sorted((INPUTS / "16").glob("*.json"))}
EXACT, LEVEL = "exact", "one length"
MANY = [*TEXTS, " ".join(TEXTS)]


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def odd(name: str, folder: Path) -> ResolvedModel:
    return resolve(str(random_body((ODD.get(name) or {"config": WITHOUT_SDPA[name]})["config"], folder / name)))


def plainly(model: ResolvedModel, texts: Sequence[str]) -> torch.Tensor:
    """transformers' own hidden states of each text alone, pooled: [texts, layers + 1, poolings, width]."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.folder)
    plain = transformers.AutoModel.from_pretrained(model.folder).eval()
    if plain.config.is_encoder_decoder:
        plain = plain.get_encoder()
    pooled = []
    for text in texts:
        ids = torch.tensor([tokenizer(text, truncation=True)["input_ids"]])
        with torch.inference_mode():
            hidden = plain(input_ids=ids, output_hidden_states=True).hidden_states
        states = torch.stack([each[0] for each in hidden])
        by_name = {"mean": states.mean(1), "last": states[:, -1], "first": states[:, 0]}
        pooled.append(torch.stack([by_name[name] for name in model.poolings], dim=1))
    return torch.stack(pooled)


@pytest.mark.parametrize("name", [name for name, body in ODD.items() if body["verdict"] in (EXACT, LEVEL)])
def test_an_odd_body_is_read_as_transformers_reads_a_text_alone(name: str, tmp_path: Path, store: Path) -> None:
    model = odd(name, tmp_path)
    assert model.architecture not in ARCHITECTURES
    expected = plainly(model, MANY)
    for deepest in (None, 1):
        opened = proof.open_model(model, SETTINGS, store, deepest=deepest)
        assert type(opened._form) is (Level if ODD[name]["verdict"] == LEVEL else Padded)
        layers = range((model.layers if deepest is None else deepest) + 1)
        assert error(extract(opened, MANY, layers), expected[:, list(layers)]) < 1e-5


@pytest.mark.parametrize("name", [name for name, body in ODD.items() if body["verdict"] not in (EXACT, LEVEL)])
def test_a_body_that_cannot_be_read_by_layer_and_token_is_refused(name: str, tmp_path: Path, store: Path) -> None:
    model = odd(name, tmp_path)
    with pytest.raises(BenchError, match=ODD[name]["verdict"]) as caught:
        proof.open_model(model, SETTINGS, store)
    assert model.name in str(caught.value)
    assert model.architecture in str(caught.value)
    assert "se another model" in str(caught.value)


@pytest.mark.parametrize("name", WITHOUT_SDPA)
def test_a_body_without_sdpa_runs_with_eager_attention_by_itself(name: str, tmp_path: Path, store: Path) -> None:
    model = odd(name, tmp_path)
    eager = SETTINGS.model_copy(update={"attention": "eager"})
    assert identity(model, SETTINGS) == identity(model, eager)
    assert identity(model, SETTINGS)["attention"] == "eager"
    assert f"no sdpa attention for a {model.architecture}, which runs with eager" in " ".join(remarks(model, SETTINGS))
    opened = proof.open_model(model, SETTINGS, store)
    if name != "mamba":  # whose own hidden states begin behind the first block
        assert error(extract(opened, MANY), plainly(model, MANY)) < 1e-5


def test_eager_attention_is_for_the_model_that_needs_it_alone(
    tmp_path: Path, tiny: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "\n".join(f"{TEXTS[row % 7]} {row},{'ab'[row % 2]}" for row in range(40))
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}\n")
    folders = [str(random_body(WITHOUT_SDPA["mpnet"], tmp_path / "mpnet")), str(tiny("BertConfig"))]
    material = api.extract(str(tmp_path / "rows.csv"), folders, device="cpu", max_length=32)
    found = {name: each["attention"] for name, each in material.identities.items()}
    assert list(found.values()) == ["eager", "bench_packed"]


def test_odd_bodies_are_packed_with_what_their_deepest_layer_needs_or_not_at_all(tmp_path: Path, store: Path) -> None:
    models, package = {name: odd(name, tmp_path) for name in ("mpnet", "xlnet", "t5")}, tmp_path / "package"
    for name in ("mpnet", "xlnet"):
        packed = weights.pack(models[name], SETTINGS, 1, package, name).resolved(name, tmp_path / "package")
        found = extract(proof.open_model(packed, SETTINGS, store, deepest=1), MANY, [0, 1])
        assert error(found, plainly(models[name], MANY)[:, :2]) < 1e-5
    assert len(list((store / "selftests").iterdir())) == 2, "one record a packed model"
    with pytest.raises(BenchError, match="leave out `with_weights`"):
        weights.pack(models["t5"], SETTINGS, 1, package, "t5")


def test_mamba_is_transformers_behind_each_block(tmp_path: Path, store: Path) -> None:
    model = odd("mamba", tmp_path)
    found, theirs = extract(proof.open_model(model, SETTINGS, store), MANY), plainly(model, MANY)
    assert error(found[:, 1:-1], theirs[:, :-2]) < 1e-5
    assert error(found[:, -1], theirs[:, -1]) < 1e-5


def test_the_test_runs_once_an_identity_and_again_where_its_record_was_altered(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, runs = odd("albert", tmp_path), []
    real = proof.self_test
    monkeypatch.setattr(proof, "self_test", lambda *given: runs.append(given) or real(*given))
    for _ in range(2):
        proof.open_model(model, SETTINGS, store)
        proof.open_model(model, SETTINGS, store, deepest=1)
    assert len(runs) == 1
    (record,) = (store / "selftests").iterdir()
    content = bytearray(record.read_bytes())
    content[-1] ^= 1
    record.write_bytes(content)
    proof.open_model(model, SETTINGS, store)
    assert len(runs) == 2
    proof.open_model(model, SETTINGS.model_copy(update={"max_length": 16}), store)
    assert len(runs) == 3


def test_a_cut_body_does_not_vouch_for_the_layers_that_it_lacks(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, depths = odd("albert", tmp_path), []
    real = proof.self_test
    monkeypatch.setattr(proof, "self_test", lambda *given: depths.append(given[1]) or real(*given))
    for deepest in (1, None, 2):
        proof.open_model(model, SETTINGS, store, deepest=deepest)
    assert depths == [1, model.layers]


def test_a_body_that_failed_is_not_loaded_again(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = odd("cpmant", tmp_path)
    with pytest.raises(BenchError) as first:
        proof.open_model(model, SETTINGS, store)
    monkeypatch.setattr(base.backend("transformers"), "open", None)
    with pytest.raises(BenchError) as second:
        proof.open_model(model, SETTINGS, store)
    assert str(first.value) == str(second.value)
    assert "at layer 0 under 'mean'" in str(first.value)


def test_a_state_that_a_hook_sees_elsewhere_is_caught(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer read 1 % off, as from before what a block hands on passes through: no median over layers may hide it."""
    from bench.backends import body

    real = body.Body._see

    def off(self: Any, number: int, states: Any) -> None:
        real(self, number, states * 1.01 if number == 2 and self._pass.watch is not None else states)

    monkeypatch.setattr(body.Body, "_see", off)
    with pytest.raises(BenchError, match=r"at layer 2 under 'mean', .* by 1\.0e-02 of their norm"):
        proof.open_model(odd("esm", tmp_path), SETTINGS, store)


def test_a_state_that_transformers_itself_makes_infinite_is_not_taken_for_one_that_was_not_compared(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TransformersBackend.plain_states

    def broken(self: Any, encoded: Any, row: int, layers: Any) -> torch.Tensor:
        states = real(self, encoded, row, layers).clone()
        states[:, 1] = math.nan if row == 2 else states[:, 1]
        return states

    monkeypatch.setattr(TransformersBackend, "plain_states", broken)
    with pytest.raises(BenchError, match=r"at layer 1 under 'mean', .* by inf of their norm"):
        proof.open_model(odd("esm", tmp_path), SETTINGS, store)


def test_padding_that_reaches_a_text_is_found_in_half_precision_too(tmp_path: Path, store: Path) -> None:
    model = odd("mobilebert", tmp_path)
    half = SETTINGS.model_copy(update={"dtype": "bfloat16"})
    for _ in range(2):
        opened = proof.open_model(model, half, store)
        assert type(opened._form) is Level
    assert len(list((store / "selftests").iterdir())) == 2
    assert error(extract(opened, MANY), plainly(model, MANY)) < TOLERANCE["bfloat16"]


def test_a_store_that_cannot_be_written_only_tests_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(proof, "write_checked", full)
    assert type(proof.open_model(odd("fnet", tmp_path), SETTINGS, tmp_path)._form) is Level


@pytest.mark.parametrize("dry", [True, False])
def test_what_is_refused_is_refused_before_another_model_is_extracted(
    dry: bool, tmp_path: Path, store: Path, tiny: Callable[..., Path]
) -> None:
    rows = "\n".join(f"{TEXTS[row % 7]} {row},{'ab'[row % 2]}" for row in range(40))
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}\n")
    folders = [str(tiny("BertConfig")), str(random_body(ODD["cpmant"]["config"], tmp_path / "cpmant"))]
    settings: dict[str, Any] = {"models": folders, "dataset": str(tmp_path / "rows.csv"), "device": "cpu"}
    search = api.plan if dry else api.search
    with pytest.raises(BenchError, match="CpmAntModel"):
        search(space="quickstart", max_length=32, home=tmp_path / "home", **settings)
    assert not list(store.glob("embeddings/*/*.safetensors"))
    assert not (dry and (store / "selftests").exists())


def test_identities_of_bodies_that_were_right_stay_as_they_were(tmp_path: Path, tiny: Callable[..., Path]) -> None:
    kernels = {name: identity(odd(name, tmp_path), SETTINGS)["kernels"] for name in (*ODD, *WITHOUT_SDPA)}
    changed = {"bert-generation", "deberta-v2-convolution", "fnet", "longformer", "mobilebert", "pegasus", "xlnet"}
    assert {name for name, number in kernels.items() if number != KERNELS} == changed
    assert set(kernels.values()) == {KERNELS, KERNELS + 1}
    plain = resolve(
        str(random_body(ODD["deberta-v2-convolution"]["config"] | {"conv_kernel_size": 0}, tmp_path / "v3"))
    )
    assert identity(plain, SETTINGS)["kernels"] == KERNELS
    assert not MENDED & ARCHITECTURES.keys()
    for kind in ("BertConfig", "LlamaConfig"):
        known = identity(resolve(str(tiny(kind, **BODIES[kind]))), SETTINGS)
        assert (known["kernels"], known["attention"]) == (KERNELS, "bench_packed")


def test_a_mended_body_has_another_identity_under_openvino_too(tmp_path: Path, openvino: ResolvedSettings) -> None:
    kernels = {name: identity(odd(name, tmp_path), openvino)["kernels"] for name in ("bert-generation", "mpnet")}
    assert kernels == {"bert-generation": KERNELS + 1, "mpnet": KERNELS}


@pytest.fixture
def openvino() -> ResolvedSettings:
    if reason := base.backend("openvino").unavailable():
        pytest.skip(reason)
    return resolve_settings(ExtractionSettings(backend="openvino", device="cpu"))


@pytest.mark.parametrize("name", ["mpnet", "xlnet", "bert-generation"])
def test_a_graph_of_an_odd_body_is_compared_with_transformers(
    name: str, tmp_path: Path, store: Path, openvino: ResolvedSettings
) -> None:
    model = odd(name, tmp_path)
    opened = proof.open_model(model, openvino, store)
    assert error(extract(opened, MANY), plainly(model, MANY)) < 1e-4
    (record,) = (store / "selftests").iterdir()
    found = proof._read(record, model.layers)
    assert found is not None
    assert found.alone.max() < 1e-4


def test_a_graph_that_is_off_at_one_layer_sends_people_to_transformers(
    tmp_path: Path, store: Path, openvino: ResolvedSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.backends.openvino import graph

    real = graph.Graph.run

    def off(self: Any, batch: Any) -> torch.Tensor:
        states = real(self, batch).clone()
        states[:, 1] *= 1.01
        return states

    monkeypatch.setattr(graph.Graph, "run", off)
    with pytest.raises(BenchError, match=r"at layer 1 .*Use `backend='transformers'`"):
        proof.open_model(odd("mpnet", tmp_path), openvino, store)


def test_models_are_opened_through_the_one_door() -> None:
    """Elsewhere a backend's `open` would skip the test."""
    root = Path(proof.__file__).parent
    opening = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if ".open(" in (text := path.read_text())
        and ("backend_module(" in text or "backend(" in text)
        and any(".open(" in line and "backend" in line for line in text.splitlines())
    }
    assert opening == {"backends/parity.py", "proof.py"}


def test_the_page_of_bodies_is_what_the_command_finds() -> None:
    lines = [line for line in architectures.PAGE.read_text().splitlines() if line.startswith("|")]
    written = [line.strip("| ").split(" | ")[:4] for line in lines[2:]]
    names = list(architectures.BODIES)
    assert [row[0] for row in written] == [name.replace("Config", "") for name in names]
    few = names[:: len(names) // 6]
    found = [list(row.cells[:4]) for row in architectures.rows(few)]
    assert found == [row for row in written if row[0] in {each[0] for each in found}]


@pytest.mark.slow
def test_every_verdict_of_the_page_is_what_the_command_finds() -> None:
    text = architectures.PAGE.read_text()
    for row in architectures.rows():
        assert f"| {' | '.join(row.cells[:4])} |" in text
