"""Parts from a package of one's own: found where it is installed, and identified by their source."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from bench import plugins
from bench.errors import BenchError
from bench.foreign import foreign_parts, require_parts
from bench.fusion import FUSIONS, fusion
from bench.pooling import POOLINGS, pooling
from bench.registry import Registry
from bench.store import slot

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "plugin"


@pytest.fixture
def loaded_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plugins, "_loaded", False)
    yield
    plugins._loaded = True


def entries(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    found = (metadata.EntryPoint("extras", value, plugins.GROUP),)
    monkeypatch.setattr(plugins, "entry_points", lambda group: found if group == plugins.GROUP else ())


@pytest.mark.usefixtures("loaded_anew")
def test_a_plugin_is_loaded_when_a_registry_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_plugin.py").write_text("import tests_of_plugins as t\nt.REGISTRY.add('mine', 1, t.function)\n")
    registry: Registry[int] = Registry("thing", pluggable=True)
    module = type(sys)("tests_of_plugins")
    module.REGISTRY, module.function = registry, lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tests_of_plugins", module)
    monkeypatch.syspath_prepend(tmp_path)
    entries(monkeypatch, "some_plugin")
    assert list(registry) == ["mine"]
    assert list(Registry("closed thing")) == []


@pytest.mark.usefixtures("loaded_anew")
def test_a_broken_plugin_is_named_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    entries(monkeypatch, "no_such_module_at_all")
    for _ in range(2):
        with pytest.raises(BenchError, match=r"plugin 'extras' .*no_such_module_at_all.*uninstall"):
            list(Registry("thing", pluggable=True))


def test_bench_itself_needs_no_hash() -> None:
    assert all(FUSIONS.source(name) is None for name in FUSIONS)
    assert foreign_parts(["concat", "none"], ["mlp", "logistic"], ["mean", "last", "first"]) == {}


def test_the_hash_is_that_of_the_whole_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(helper: str, name: str) -> str | None:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        (folder / "helper.py").write_text(helper)
        (folder / "part.py").write_text("def function():\n    return 1\n")
        monkeypatch.syspath_prepend(tmp_path)
        module = __import__(f"{name}.part")
        return plugins.source_of(module.part.function)

    first, same, other = written("A = 1", "one_pack"), written("A = 1", "two_pack"), written("A = 2", "three_pack")
    assert first == same != other
    assert first is not None


def test_an_operator_of_ones_own_is_foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FUSIONS, "_entries", dict(FUSIONS._entries))
    monkeypatch.setattr(FUSIONS, "_functions", dict(FUSIONS._functions))

    @fusion("halved", commutative=True)
    def halved(sources: Any) -> Any:
        """Half of the sum."""
        return sum(sources) / 2

    (found,) = foreign_parts(["halved", "concat"]).items()
    assert found[0] == "fusion operator halved"
    assert len(found[1]) == plugins.DIGITS


# --- the example, installed


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bench and the example as wheels in a folder of their own."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(folder), str(ROOT), str(EXAMPLE)], check=True)
    wheels = map(str, folder.glob("*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", str(folder / "site"), *wheels], check=True)
    return folder / "site"


def run(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(site), "BENCH_STORE": str(folder / "store"), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


ROWS = ("--max-train", "60", "--max-test", "40", "--max-length", "24")
SEARCH = ("search", "--dataset", "r8", "--space", "space.toml", *ROWS, "--trials", "4", "--json")


def test_what_was_made_with_a_plugin_needs_it_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    require_parts({})
    with pytest.raises(BenchError, match=r"fusion operator other comes from a plugin that is not installed"):
        require_parts({"fusion operator other": "0" * 12})
    monkeypatch.setattr(FUSIONS, "source", lambda name: "b" * 12)
    with pytest.raises(BenchError, match=r"whose source has changed \(a{12} → b{12}\)"):
        require_parts({"fusion operator sum": "a" * 12})


@pytest.mark.slow
def test_the_example_is_found_searched_and_identified(installed: Path, tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "space.toml", tmp_path)
    fusions = json.loads(run(installed, tmp_path, "list", "fusions", "--json").stdout)["fusions"]
    assert "strongest" in [each["name"] for each in fusions]
    done = run(installed, tmp_path, *SEARCH)
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    changed = tmp_path / "changed"
    shutil.copytree(installed, changed)
    with (changed / "bench_extras" / "operators.py").open("a") as file:
        file.write("# changed\n")
    # an exported pipeline needs the plugin as it was
    exported = run(installed, tmp_path, "export", first["study"], "--trial", "best", "--out", "out")
    assert exported.returncode == 0, exported.stderr
    (texts := tmp_path / "texts.csv").write_text("text\noil prices rose\n")
    predicted = run(installed, tmp_path, "predict", "--model", "out", str(texts))
    assert json.loads(predicted.stdout)["label"]
    made = json.loads((tmp_path / "out" / "artifacts" / "pipeline" / "pipeline.json").read_text())
    if made["plugins"]:
        assert "bench-extras==0.1.0" in (tmp_path / "out" / "requirements.txt").read_text()
        assert "whose source has changed" in run(changed, tmp_path, "predict", "--model", "out", str(texts)).stderr
    refused = run(changed, tmp_path, *SEARCH, "--study", first["study"])
    assert refused.returncode == 2
    assert "plugins.fusion operator strongest" in refused.stderr


def test_a_pooling_of_ones_own_has_slots_of_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(POOLINGS, "_entries", dict(POOLINGS._entries))
    monkeypatch.setattr(POOLINGS, "_functions", dict(POOLINGS._functions))

    @pooling("tenth")
    def tenth(hidden: Any, tokens: Any) -> Any:
        raise NotImplementedError

    assert slot(3, "mean") == "3.mean"
    assert slot(3, "tenth") == f"3.tenth@{plugins.source_of(tenth)}"
