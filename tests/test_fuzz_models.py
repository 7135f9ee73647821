"""Whatever a model's folder and the store hold, people get a BenchError or a result (see `fuzzing`)."""

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from bodies import resolve
from fuzzing import altered, fuzz, odd_json
from hypothesis import strategies as st

from bench.backends import resolution
from bench.backends.opening import check_openable
from bench.errors import BenchError
from bench.files import read_header
from bench.models.availability import availability
from bench.models.digests import MEMORY, digest
from bench.models.package import package_folder
from bench.models.rows import ModelRow
from bench.progress import SILENT
from bench.specs import ExtractionSettings, fingerprint
from bench.store import Shelf, Store, slot, text_key
from bench.store.shelf import identity_fingerprint

pytestmark = pytest.mark.long
INPUTS = Path(__file__).with_name("inputs") / "18"
IDENTITY = {"model": "owner/name", "weights": "ab" * 32, "max_length": 64, "prompt": "query: ", "dtype": "float32"}
KEYS = [text_key(text) for text in ("one", "two", "three")]


def opened(folder: Path) -> None:
    """All that is done with a model before its weights are read."""
    availability(str(folder))
    settings = resolution.resolve(ExtractionSettings(device="cpu", backend="transformers"))
    check_openable(resolve(str(folder)), settings, ["oil prices rose", "a"])


@pytest.fixture
def model(tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    return Path(shutil.copytree(INPUTS / "prompted", tiny("BertConfig"), dirs_exist_ok=True, copy_function=shutil.copy))


CONFIGS = (
    "config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
)


@pytest.mark.parametrize("name", CONFIGS)
def test_configs(model: Path, name: str) -> None:
    valid = (model / name).read_bytes()

    def read(content: bytes) -> None:
        (model / name).write_bytes(content)
        opened(model)

    try:
        fuzz("configs", st.one_of(altered(valid), odd_json(valid)), read, kinds=len(CONFIGS))
    finally:
        (model / name).write_bytes(valid)


Header = tuple[bytes, bool]
"""A header of a safetensors file, and whether it is as long as the file says."""


def headers(valid: bytes) -> st.SearchStrategy[Header]:
    header = valid[8 : 8 + int.from_bytes(valid[:8], "little")]
    return st.tuples(st.one_of(altered(header), odd_json(header)), st.booleans())


def with_header(valid: bytes, drawn: Header) -> bytes:
    """The file under another header."""
    header, true = drawn
    length = len(header).to_bytes(8, "little") if true else valid[:8]
    return length + header + valid[8 + int.from_bytes(valid[:8], "little") :]


def test_headers_of_weights(model: Path) -> None:
    weights = model / "model.safetensors"
    valid = weights.read_bytes()

    def read(drawn: Header) -> None:
        weights.write_bytes(with_header(valid, drawn))
        opened(model)

    try:
        fuzz("headers", headers(valid), read, kinds=3)
    finally:
        weights.write_bytes(valid)


def shelf_of(folder: Path) -> Shelf:
    """A shelf of three rows."""
    shelf = Shelf(folder / f"name-{identity_fingerprint(IDENTITY)}", IDENTITY)
    shelf.append(KEYS, [1, 2, 3], [False, False, True], {slot(0, "mean"): torch.ones(3, 4)})
    return shelf


def looked_at(home: Path) -> None:
    """All that is done with a store, but for extraction."""
    store = Store(home)
    store.closed(), store.leftovers()
    store.prunable(evaluations=True)
    for shelf in store.shelves():
        str(shelf.model), shelf.size(), shelf.rows()
        if not shelf.missing(KEYS, [slot(0, "mean")]):
            shelf.matrix(KEYS, slot(0, "mean")), shelf.counts(KEYS)
        shelf.verify()
        store.find(shelf.fingerprint), store.shelf(shelf.identity)


def test_headers_of_segments(tmp_path: Path) -> None:
    folder = shelf_of(tmp_path / "embeddings").folder
    (segment,) = folder.glob("*.safetensors")
    valid = segment.read_bytes()

    def read(drawn: Header) -> None:
        for path in folder.glob("*.*"):
            if path.name != "identity.json":
                path.unlink()
        segment.write_bytes(with_header(valid, drawn))
        # what the name says of the header is checked first, and would hide the rest
        with contextlib.suppress(BenchError, OSError, ValueError, TypeError):
            segment.rename(segment.with_stem(fingerprint(dict(read_header(segment)), length=32)))
        looked_at(tmp_path)

    fuzz("headers", headers(valid), read, kinds=3)


def gguf(path: Path) -> bytes:
    """A Llama of one block and sixteen tokens."""
    import numpy as np
    from gguf import GGUFWriter

    writer, random = GGUFWriter(path, "llama"), np.random.default_rng(0)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<|end|>", *"abcdefghijklmn", "ab"])
    writer.add_token_types([3] + [1] * 15)
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    shapes = {"token_embd": (16, 32), "output_norm": (32,), "blk.0.attn_norm": (32,), "blk.0.ffn_norm": (32,)}
    shapes |= {"blk.0.attn_q": (32, 32), "blk.0.attn_output": (32, 32), "blk.0.ffn_down": (32, 48)}
    shapes |= {f"blk.0.attn_{name}": (16, 32) for name in "kv"} | {f"blk.0.ffn_{n}": (48, 32) for n in ("gate", "up")}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def test_headers_of_gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, store = tmp_path / "tiny.gguf", tmp_path / "store"
    valid = gguf(path)
    monkeypatch.setattr("bench.models.package.package_files", lambda row: [path])
    described = {"name": "tiny", "packages": ("tiny",), "kind": "generative", "architecture": "LlamaModel"}

    start = valid.rindex(b"weight") + 64

    def read(header: bytes) -> None:
        shutil.rmtree(store, ignore_errors=True)
        content = header + valid[start:]
        path.write_bytes(content)
        row = ModelRow.model_validate(
            {**described, "sha256": hashlib.sha256(content).hexdigest(), "licence": "none", "causal": True}
            | {"layers": 1, "width": 32, "parameters": 1}
        )
        package_folder(row, store, SILENT)

    read(valid[:start])
    fuzz("headers", altered(valid[:start]), read, kinds=3)


def test_identities(tmp_path: Path) -> None:
    folder = shelf_of(tmp_path / "embeddings").folder
    identity = folder / "identity.json"
    valid = identity.read_bytes()

    def read(content: bytes) -> None:
        identity.write_bytes(content)
        looked_at(tmp_path)
        named = folder
        try:  # a folder that is called as its identity is opened
            named = folder.with_name(f"other-{identity_fingerprint(json.loads(content)['identity'])}")
            folder.rename(named)
            looked_at(tmp_path)
        except (AttributeError, KeyError, TypeError, ValueError):
            pass
        finally:
            if named.exists():
                named.rename(folder)

    fuzz("identities", st.one_of(altered(valid), odd_json(valid)), read, kinds=2)


def test_identities_remembered(tmp_path: Path) -> None:
    """Digests of files, which are a part of identities."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    digest(file, tmp_path)
    memory = tmp_path / MEMORY
    valid = memory.read_bytes()

    def read(content: bytes) -> None:
        memory.write_bytes(content)
        assert re.fullmatch("[0-9a-f]{64}", digest(file, tmp_path))

    fuzz("identities", st.one_of(altered(valid), odd_json(valid)), read, kinds=2)
