"""A model's own code runs where the flag of this call says so, whatever a file says, and only if it is what it was."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bodies import COMMIT, in_cache
from formats.make import unpack

from bench.backends.resolution import choose
from bench.cli import main
from bench.files import write_checksums
from bench.gate.baseline import read as read_baseline
from bench.home import store_home
from bench.models.digests import model_identity
from bench.packaging.pipeline import read as read_pipeline
from bench.settings import given
from bench.specs import ExtractionSettings
from bench.study.reopen import searched
from bench.study.settings import SearchRequest, search_request

MADE = Path(__file__).with_name("formats") / "ae98f55"
STUDY = "train-space-325f6620"
NAME = f"owner/name@{COMMIT}"
PIPELINE = Path("export", "artifacts", "pipeline")
COMMANDS = {
    "check": ("check", "--baseline", "baseline.json"),
    "update": ("check", "--baseline", "baseline.json", "--update", "--yes"),
    "update from a study": ("check", "--baseline", "new.json", "--update", "--yes", "--study", STUDY),
    "report": ("report", STUDY),
    "compare": ("compare", f"{STUDY}:0", f"{STUDY}:2"),
    "export": ("export", STUDY, "--out", "out"),
    "predict": ("predict", "--model", "export", "test.csv"),
}


@pytest.fixture
def planted(tmp_path: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an earlier version wrote of a model that it trusted: a hub's, whose code leaves a file `ran`."""
    folder = tmp_path / "made"
    unpack(MADE, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BENCH_STORE", str(folder / "store"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    snapshot = in_cache(hub_cache, "owner/name", folder / "model")
    config = json.loads((snapshot / "config.json").read_text())
    config |= {"model_type": "unheard-of", "auto_map": {"AutoConfig": "modeling.Config"}}
    (snapshot / "config.json").write_text(json.dumps(config))
    code = f"import pathlib\npathlib.Path({str(folder / 'ran')!r}).touch()\nraise ValueError('far enough')\n"
    (snapshot / "modeling.py").write_text(code)
    shutil.rmtree(folder / "model")
    now = model_identity(snapshot, store_home(), code=True)

    def trusting(value: Any) -> Any:
        if isinstance(value, list):
            return [trusting(each) for each in value]
        if not isinstance(value, Mapping):
            return NAME if value in ("./model", "/elsewhere/model") else value
        found = {trusting(key): trusting(each) for key, each in value.items() if key != "packed"}
        if "trust_remote_code" in found:
            found["trust_remote_code"] = True
        return found | now if {"weights", "tokenizer", "config"} <= found.keys() else found

    for file in (Path("baseline.json"), PIPELINE / "pipeline.json"):
        file.write_text(json.dumps(trusting(json.loads(file.read_text()))))
    write_checksums(PIPELINE)
    (journal,) = Path("mlruns", "studies").glob("*.journal")
    lines = [json.dumps(trusting(json.loads(line))) for line in journal.read_text().splitlines()]
    journal.write_text("\n".join(lines) + "\n")
    return snapshot


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The command line, which must refuse: its words."""

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["bench", *words])
        with pytest.raises(SystemExit) as end:
            main.run()
        assert end.value.code == 2
        return capsys.readouterr().err

    return call


@pytest.mark.parametrize("command", COMMANDS)
def test_no_file_grants_that_code_runs(planted: Path, command: str, called: Callable[..., str]) -> None:
    assert "pass --trust-remote-code" in called(*COMMANDS[command])
    assert not Path("ran").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_flag_lets_code_run_that_is_what_was_recorded(
    planted: Path, command: str, called: Callable[..., str]
) -> None:
    assert "far enough" in called(*COMMANDS[command], "--trust-remote-code")
    assert Path("ran").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_code_that_is_not_what_was_recorded_is_not_even_imported(
    planted: Path, command: str, called: Callable[..., str]
) -> None:
    with (planted / "modeling.py").open("a") as file:
        file.write("# another\n")
    assert "not what was recorded (code)" in called(*COMMANDS[command], "--trust-remote-code")
    assert not Path("ran").exists()


def test_mlflow_serves_code_where_its_environment_says_so(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException

    from bench.packaging.serving import TextClassifier

    context: Any = SimpleNamespace(artifacts={"pipeline": str(PIPELINE)})
    for value in ("", "0", "true"):
        monkeypatch.setenv("BENCH_TRUST_REMOTE_CODE", value)
        with pytest.raises(MlflowException, match="set BENCH_TRUST_REMOTE_CODE=1"):
            TextClassifier().load_context(context)
    assert not Path("ran").exists()
    monkeypatch.setenv("BENCH_TRUST_REMOTE_CODE", "1")
    with pytest.raises(MlflowException, match="far enough"):
        TextClassifier().load_context(context)
    assert Path("ran").exists()


def test_what_is_read_permits_nothing(planted: Path) -> None:
    assert "true" in Path("baseline.json").read_text()
    assert not read_baseline(Path("baseline.json")).pinned.extraction.trust_remote_code
    assert not read_pipeline(PIPELINE)[0].models[0].settings.trust_remote_code
    assert not searched(Path("mlruns"), STUDY)[1].extraction.trust_remote_code


def test_permission_is_the_call_s_and_is_never_written() -> None:
    assert not ExtractionSettings.model_validate({"trust_remote_code": True}).trust_remote_code
    settings = given(ExtractionSettings, {"trust_remote_code": True})
    assert settings.trust_remote_code
    assert choose(settings, ["BertModel"]).trust_remote_code
    assert "trust" not in settings.model_dump_json()
    request = search_request(dataset="r8", trust_remote_code=True)
    assert request.extraction.trust_remote_code
    assert "trust" not in request.model_dump_json()
    written = request.model_dump(mode="json")
    written["extraction"]["trust_remote_code"] = True
    assert not SearchRequest.model_validate(written).extraction.trust_remote_code
