"""What one store exports another takes, to the bit, and only as what it was computed as."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import save_file

from bench.cli.main import cli
from bench.datasets.dataset import Dataset, Provenance, Split
from bench.errors import BenchError
from bench.specs import fingerprint
from bench.store import Shelf, Store, slot, text_key
from bench.store.export import export_states
from bench.store.importing import import_states

IDENTITY = {"model": "owner/m", "weights": "w" * 64, "storage_dtype": "bfloat16", "dtype": "float32"}
LAYERS, POOLINGS, WIDTH = (0, 3), ("mean", "last"), 6
SLOTS = [slot(layer, pooling) for layer in LAYERS for pooling in POOLINGS]


def split(name: str, rows: int) -> Split:
    texts = tuple(f"{name} {row}" for row in range(rows))
    return Split(tuple(map(str, range(rows))), texts, np.arange(rows) % 2, np.arange(rows), name)


SOURCE = Provenance(kind="file", description="toy", files={})
DATASET = Dataset("toy", SOURCE, ("a", "b"), (), split("train", 9), split("test", 5), ())


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf, texts = Store(tmp_path / "from").shelf(IDENTITY), [*DATASET.train.texts, *DATASET.test.texts]
    states = torch.randn(len(texts), len(SLOTS), WIDTH, generator=torch.Generator().manual_seed(0)).bfloat16()
    shelf.append(
        [text_key(text) for text in texts],
        list(range(1, len(texts) + 1)),
        [row % 3 == 0 for row in range(len(texts))],
        {name: states[:, place] for place, name in enumerate(SLOTS)},
    )
    shelf.refresh()
    return shelf


@pytest.fixture
def file(shelf: Shelf, tmp_path: Path) -> Path:
    path = tmp_path / "states.safetensors"
    export_states(shelf, LAYERS, POOLINGS, DATASET, path, lambda: None)
    return path


def altered(
    file: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None], *, sign: bool = False
) -> None:
    """Write the file anew with a change; with `sign` its digest is made to match."""
    with safe_open(file, "pt") as opened:
        about = {key: json.loads(value) for key, value in opened.metadata().items()}
        tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118 - no mapping
    change(about, tensors)
    if sign:
        about.pop("digest")
        about["digest"] = fingerprint(about, length=32)
    save_file(tensors, file, {key: json.dumps(value) for key, value in about.items()})


def test_a_round_trip_keeps_every_bit(shelf: Shelf, file: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "to")
    found = import_states(file, store)
    assert (found.rows, found.new, found.shelf.fingerprint) == (14, 14, shelf.fingerprint)
    (there,) = Store(tmp_path / "to").shelves()
    assert there.identity == shelf.identity
    keys = [text_key(text) for text in (*DATASET.train.texts, *DATASET.test.texts)]
    assert there.missing(keys, SLOTS) == []
    for name in SLOTS:
        assert torch.equal(there.matrix(keys, name), shelf.matrix(keys, name))
    for one, other in zip(there.counts(keys), shelf.counts(keys), strict=True):
        assert one.tolist() == other.tolist()
    again = tmp_path / "again.safetensors"
    export_states(there, LAYERS, POOLINGS, DATASET, again, lambda: None)
    with safe_open(file, "np") as one, safe_open(again, "np") as other:
        assert one.metadata() == other.metadata()
        for name in one.keys():  # noqa: SIM118 - no mapping
            assert one.get_tensor(name).tobytes() == other.get_tensor(name).tobytes()
    assert import_states(file, store).new == 0
    assert len(list(there.folder.glob("*.safetensors"))) == 2, "a side each, once"


@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize("key", ["weights", "dtype", "torch"])
def test_an_altered_identity_is_refused(file: Path, tmp_path: Path, key: str, sign: bool) -> None:
    altered(file, lambda about, _: about["identity"].update({key: "another"}), sign=sign)
    with pytest.raises(BenchError, match=r"its identity is that of \w+: it was altered"):
        import_states(file, Store(tmp_path / "to"))
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda about, _: about.update(layers=[0, 2]), "does not match its digest"),
        (lambda _, tensors: tensors["train"][0, 0, 0].add_(1), "'train' does not match its checksum"),
        (lambda _, tensors: tensors["test_keys"][0].add_(1), "'test_keys' does not match its checksum"),
        (lambda _, tensors: tensors.pop("test_tokens"), "'test_tokens' does not match its checksum"),
        (lambda about, _: about.update(format=3), "is of format 3, and this bench reads 2"),
        (lambda about, _: about.update(format=1), "does not hold what a store knows texts by: export it again"),
        (lambda about, _: about.pop("format"), "is no file of `bench store export`"),
        (lambda about, _: about.pop("slots"), "does not match its digest"),
    ],
)
def test_what_is_not_as_it_was_written_is_refused(file: Path, tmp_path: Path, change: Any, words: str) -> None:
    altered(file, change)
    with pytest.raises(BenchError, match=words):
        import_states(file, Store(tmp_path / "to"))
    assert not (tmp_path / "to").exists()


def test_values_that_the_identity_cannot_hold_are_refused(file: Path, tmp_path: Path) -> None:
    """Signed by whoever altered it: in bfloat16 there is no such number."""
    from bench.store.segment import checksum_of

    def change(about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        tensors["train"][0, 0, 0] = 1.0001
        about["checksums"]["train"] = checksum_of(tensors["train"])

    altered(file, change, sign=True)
    with pytest.raises(BenchError, match="states that are no bfloat16"):
        import_states(file, Store(tmp_path / "to"))


def test_the_command_says_how_many_were_new(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "to"))
    ran = CliRunner().invoke(cli, ["store", "import", str(file), "--json"])
    assert json.loads(ran.stdout)["imported"] == 14, ran.output
    ran = CliRunner().invoke(cli, ["store", "import", str(file)])
    assert "Imported 0 of 14 texts of owner/m" in ran.stdout
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(file.read_bytes()[:-10])
    for path, words in ((torn, "is torn: copy it again"), (Path(__file__), "is no file of `bench store export`")):
        error = CliRunner().invoke(cli, ["store", "import", str(path)]).exception
        assert isinstance(error, BenchError)
        assert words in str(error)
