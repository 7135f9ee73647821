"""What earlier versions left on disk opens and goes on: `tests/formats/` holds a folder of it by commit."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from click.testing import CliRunner
from formats.make import SEARCH, TRIALS, unpack
from mlflow import MlflowClient
from safetensors import safe_open

import bench
from bench.cli.main import cli
from bench.errors import BenchError
from bench.evaluation.cache import kept
from bench.store import Store
from bench.store.importing import import_states
from bench.study.journal import read
from bench.study.record import TRIED

HERE = Path(__file__).with_name("formats")
FORMATS = sorted(path.parent for path in HERE.glob("*/expected.json"))
KEPT = {
    ("evaluation/cache.py", 1): "ae98f55/store/evaluations",
    ("packaging/pipeline.py", 1): "ae98f55/export",
    ("packaging/pipeline.py", 2): "packages/2",
    ("packaging/pipeline.py", 3): "packages/3",
    ("packaging/pipeline.py", 4): "packages/4",
    ("packaging/pipeline.py", 5): "packages/5",
    ("store/export.py", 1): "states/1.safetensors",
}
"""Where a format is said and which it was → what is kept of it, written by the bench of then."""


@pytest.fixture(scope="module", params=FORMATS, ids=lambda path: path.name)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder as that version left it, which is the working directory; its libraries' versions are taken for ours.

    A study stands on the versions of torch and transformers, and here those of bench alone are to differ.
    """
    folder = tmp_path_factory.mktemp("formats").resolve() / "made"
    unpack(request.param, folder)
    versions = json.loads((folder / "expected.json").read_text())["versions"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("BENCH_STORE", str(folder / "store"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for library in (torch, transformers):
            if library.__version__ != versions[library.__name__]:
                patch.setattr(library, "__version__", versions[library.__name__])
        yield folder


@pytest.fixture(scope="module")
def expected(made: Path) -> dict[str, Any]:
    return dict(json.loads((made / "expected.json").read_text()))


def called(*arguments: str) -> str:
    ran = CliRunner().invoke(cli, arguments)
    assert ran.exit_code == 0, f"{ran.output}{ran.exception!r}"
    return ran.stdout


def trials(study: str) -> dict[int, dict[str, Any]]:
    """What the journal keeps of each trial."""
    return {record.number: record.model_dump() for record in read(Path("mlruns"), study).records.values()}


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix == ".safetensors"}


def test_what_was_written_in_a_format_of_before_is_kept() -> None:
    """Who raises a format leaves a small file of the one before: from a checkout of that commit, by `make.py`."""
    package = Path(bench.__file__).parent
    said = {}
    for path in package.rglob("*.py"):
        if found := re.search(r"^(?:FORM, )?FORMAT = (?:\"format\", )?(\d+)$", path.read_text(), re.MULTILINE):
            said[path.relative_to(package).as_posix()] = int(found[1])
    assert {"store/segment.py", "study/mending.py", "gate/baseline.py", "study/bundle.py"} < said.keys()
    assert KEPT.keys() == {(name, earlier) for name, form in said.items() for earlier in range(1, form)}
    assert [each for each in KEPT.values() if not (HERE / each).exists()] == []


@pytest.mark.parametrize("form", [2, 3, 4, 5])
def test_an_export_of_any_format_predicts_what_it_predicted(
    form: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path))
    package = HERE / "packages" / str(form)
    pipeline = package / "artifacts" / "pipeline" / "pipeline.json"
    assert json.loads(pipeline.read_text())["format"] == form
    test = str(HERE / "ae98f55" / "test.csv")
    rows = [json.loads(line) for line in called("predict", "--model", str(package), test).splitlines()]
    expected = json.loads((package / "expected.json").read_text())["predicted"]
    assert [row["label"] for row in rows] == [row["label"] for row in expected]
    for row, old in zip(rows, expected, strict=True):
        assert row["probabilities"] == pytest.approx(old["probabilities"], abs=1e-4)


def test_states_that_were_exported_without_keys_are_refused_in_words(tmp_path: Path) -> None:
    """Other tools read them as before; a store cannot know which texts they are of."""
    with pytest.raises(BenchError, match=r"is of format 1, which does not hold .* export it again"):
        import_states(HERE / "states" / "1.safetensors", Store(tmp_path))
    with safe_open(HERE / "states" / "1.safetensors", "pt") as file:
        assert file.get_tensor("train").shape == (60, 3, 3, 16)


def test_evaluations_of_an_earlier_format_are_counted_and_not_read(made: Path) -> None:
    found = kept(made / "store")
    assert (found.earlier > 0, found.earlier_bytes > 0) == (True, True)


def test_a_study_opens_with_its_front(made: Path, expected: dict[str, Any]) -> None:
    front = bench.reopen(expected["study"]).front
    assert [entry.trial for entry in front] == [entry["trial"] for entry in expected["front"]]
    for entry, old in zip(front, expected["front"], strict=True):
        assert entry.search["f1_mean"] == old["f1_mean"]
        assert entry.latency_ms == old["latency_ms"]
        assert entry.run_id == old["run_id"]
        # another processor may round otherwise, which turns a row in thirty
        assert entry.confirmed.f1.mean == pytest.approx(old["confirm"]["f1_mean"], abs=0.05)


def test_a_baseline_is_read_and_checked(made: Path) -> None:
    found = json.loads(called("check", "--baseline", "baseline.json", "--json"))
    assert found["passed"]
    assert {each["status"] for each in found["findings"] if each["group"] in {"data", "model", "quality"}} == {"passed"}


def test_an_export_predicts_what_it_predicted(made: Path, expected: dict[str, Any]) -> None:
    rows = [json.loads(line) for line in called("predict", "--model", "export", "test.csv").splitlines()]
    assert [row["label"] for row in rows] == [row["label"] for row in expected["predicted"]]
    for row, old in zip(rows, expected["predicted"], strict=True):
        assert row["probabilities"] == pytest.approx(old["probabilities"], abs=1e-4)


def test_a_study_goes_on_over_the_same_store_and_in_the_same_runs(made: Path, expected: dict[str, Any]) -> None:
    """The command that began it finds it by its settings; trials are kept and count, no text is extracted again."""
    before, stored = trials(expected["study"]), files(made / "store" / "embeddings")
    tried = sum(record["state"] in TRIED for record in before.values())
    assert tried > TRIALS, "what was asked for was once to be scored to the end"
    found = json.loads(called("search", *SEARCH, "--trials", str(tried + 2), "--json"))
    assert (found["study"], found["parent_run_id"]) == (expected["study"], expected["parent_run_id"])
    assert found["trials"]["tried"] == tried + 2
    assert files(made / "store" / "embeddings") == stored
    after = trials(expected["study"])
    assert {number: after[number] for number in before} == before
    assert len(after) >= len(before) + 2

    client = MlflowClient(f"sqlite:///{made / 'mlruns' / 'mlflow.db'}")
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    kinds = [run.data.tags["bench.kind"] for run in runs]
    assert kinds.count("study") == 1
    keys = [run.data.tags["bench.key"] for run in runs if run.data.tags["bench.kind"] == "trial"]
    assert len(keys) == len(set(keys)), "no trial is written twice"
    assert {record["run_id"] for record in after.values() if record["run_id"]} <= {run.info.run_id for run in runs}
