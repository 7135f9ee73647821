"""A study in one file: computed again without models and texts, and what was altered is named."""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from formats.make import make_inputs
from safetensors.numpy import load, save

import bench
from bench import api
from bench.api import Searched
from bench.cli.verify import verify
from bench.errors import BenchError
from bench.evaluation.cache import FORMAT
from bench.files import read_checked, write_checked

MARK = "zebra crossing"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searched]:
    """A search of a file, every text of which has the mark in it."""
    folder = tmp_path_factory.mktemp("bundle")
    make_inputs(folder)
    for name in ("train", "test"):
        path = folder / f"{name}.csv"
        header, *lines = path.read_text().splitlines()
        column = header.split(",").index("text")
        cells = [line.split(",") for line in lines]
        marked = [",".join(f"{MARK} {cell}" if at == column else cell for at, cell in enumerate(row)) for row in cells]
        path.write_text("\n".join([header, *marked]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BENCH_STORE", str(folder / "store"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield bench.search(
            "train.csv",
            test_file="test.csv",
            space="space.toml",
            models=["./model"],
            max_length=16,
            device="cpu",
            trials=4,
            tracking=False,
        )


@pytest.fixture(scope="module")
def bundle(found: Searched) -> Path:
    return api.bundle(found.study.name, Path("study.zip").absolute())


def altered(bundle: Path, to: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The bundle with other contents; None leaves a file out."""
    with zipfile.ZipFile(bundle) as before, zipfile.ZipFile(to, "w") as after:
        for name in before.namelist():
            if (content := change(name, before.read(name))) is not None:
                after.writestr(name, content)
    return to


def test_a_bundle_is_computed_again_without_store_models_and_texts(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "none"))
    verified = api.verify_bundle(bundle)
    assert verified.differences == ()
    assert verified.numbers > 100
    assert verified.outcomes > 10
    assert not (tmp_path / "none").exists()


def test_a_bundle_holds_no_text(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    assert all(MARK.encode() not in content for content in contents.values())
    about = json.loads(contents["bundle.json"])
    assert about["versions"]["torch"]
    assert set(about["files"]) == set(contents) - {"bundle.json"}


def test_what_was_altered_is_named(bundle: Path, tmp_path: Path) -> None:
    def score(name: str, content: bytes) -> bytes:
        if name != "tables.json":
            return content
        tables = json.loads(content)
        entry = next(iter(tables["front"].values()))
        entry["confirm"]["accuracy_mean"] += 0.01
        return json.dumps(tables).encode()

    lines = api.verify_bundle(altered(bundle, tmp_path / "a.zip", score)).differences
    assert any(line.startswith("tables.json: altered") for line in lines)
    assert any("confirm.accuracy_mean" in line and "computed" in line for line in lines)
    assert len(lines) == 2

    def label(name: str, content: bytes) -> bytes:
        if not name.startswith("store/rows/"):
            return content
        arrays = load(content)
        arrays["labels"] = np.roll(arrays["labels"], 1)
        return save(arrays)

    lines = api.verify_bundle(altered(bundle, tmp_path / "b.zip", label)).differences
    assert any(line.startswith("store/rows/") and "altered" in line for line in lines)
    assert any("does not hold the rows" in line for line in lines)

    def missing(name: str, content: bytes) -> bytes | None:
        return None if "/evaluations/" in name else content

    lines = api.verify_bundle(altered(bundle, tmp_path / "c.zip", missing)).differences
    assert any("not in the bundle" in line for line in lines)
    assert any("cannot be computed again" in line for line in lines)


def test_scores_that_do_not_follow_from_outcomes_are_named(bundle: Path, tmp_path: Path) -> None:
    """Whoever alters outcomes and their digests cannot alter what the journal says of them."""
    digests: dict[str, str] = {}

    def said(name: str, content: bytes) -> bytes:
        if "/evaluations/" in name:
            path = tmp_path / "one.safetensors"
            path.write_bytes(content)
            found = read_checked(path, FORMAT)
            assert found is not None
            arrays, metadata = found
            arrays["predicted"] = np.roll(arrays["predicted"], 1)
            write_checked(path, arrays, metadata)
            content = path.read_bytes()
            digests[name] = hashlib.sha256(content).hexdigest()
        return content

    def listed(name: str, content: bytes) -> bytes:
        if name != "bundle.json":
            return content
        about = json.loads(content)
        return json.dumps(about | {"files": about["files"] | digests}).encode()

    forged = altered(altered(bundle, tmp_path / "a.zip", said), tmp_path / "b.zip", listed)
    lines = api.verify_bundle(forged).differences
    assert not any("altered" in line for line in lines)
    for place in ("journal.", "searched.", "selection.", "front.", "baselines."):
        assert any(line.startswith(place) for line in lines), place


def test_only_a_bundle_is_written_over(found: Searched, bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    again.write_bytes(bundle.read_bytes())
    assert api.bundle(found.study.name, again) == again
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\n")
    for taken in (rows, tmp_path):
        with pytest.raises(BenchError, match="is no bundle: name another"):
            api.bundle(found.study.name, taken)
    assert rows.read_text() == "text,label\n"


def test_no_damage_is_more_than_a_sentence(bundle: Path, tmp_path: Path) -> None:
    """Whatever is wrong with a bundle, it is said; nothing passes, and nothing quotes where it was unpacked."""

    def told(change: Callable[[str, bytes], bytes | None]) -> str:
        try:
            return "\n".join(api.verify_bundle(altered(bundle, tmp_path / "x.zip", change)).differences)
        except BenchError as error:
            return str(error)

    names = zipfile.ZipFile(bundle).namelist()
    for path in [*names[:4], *(name for name in names if name.endswith((".json", ".journal")) or "/rows/" in name)]:
        for content in (None, b"", b"[]", b"{}", b'{"format": 1}', b"\x00" * 100):
            words = told(lambda name, before, path=path, content=content: content if name == path else before)
            assert path in words or "no bundle" in words, (path, content, words)
            assert tempfile.gettempdir() + "/tmp" not in words.replace(str(tmp_path), "")
    whole = bundle.read_bytes()
    for part in range(0, len(whole), len(whole) // 20):
        (tmp_path / "torn.zip").write_bytes(whole[:part] + bytes(400) + whole[part + 400 :])
        try:
            found = api.verify_bundle(tmp_path / "torn.zip")
        except BenchError:
            continue
        assert found.differences, part


def test_the_command_ends_with_an_error_where_something_differs(bundle: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(verify, [str(bundle)])
    assert (result.exit_code, "holds" in result.output) == (0, True), result.output
    torn = tmp_path / "torn.zip"
    torn.write_bytes(bundle.read_bytes()[:2000])
    for path, words in ((torn, "no bundle"), (tmp_path / "none.zip", "none.zip")):
        result = CliRunner().invoke(verify, [str(path)])
        assert result.exit_code == 1
        assert words in str(result.exception) + result.output
