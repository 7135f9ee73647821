import ast
import resource
import subprocess
import sys
from pathlib import Path

import places
import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_imports_go_one_way() -> None:
    """The contracts in pyproject.toml: layers, no circles, and one door for each heavy library."""
    # its cache goes by the times of files, which a checkout of another commit can leave as they were
    command = [str(Path(sys.executable).with_name("lint-imports")), "--config", "pyproject.toml", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_class_has_a_name_of_its_own() -> None:
    """A name that means two things makes one of them hard to find."""
    assert places.homonyms(places.here()) == {}


def test_nothing_imports_in_a_circle_even_by_name() -> None:
    """As import-linter's contract, but an `import_module` counts too."""
    assert places.circles(places.here()) == []


DOOR = {
    "bench.api",
    "bench.cli",
    "bench.durations",
    "bench.errors",
    "bench.escaping",
    "bench.files",
    "bench.progress",
    "bench.settings",
    "bench.version",
}


def test_the_command_line_goes_through_the_door() -> None:
    """What a command imports to run is the API and words: no room that does work. Types are for annotations alone."""
    for path in (ROOT / "bench" / "cli").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        blocks = [each for each in tree.body if isinstance(each, ast.If) and "TYPE_CHECKING" in ast.dump(each.test)]
        types = {id(node) for block in blocks for node in ast.walk(block)}
        for node in (each for each in ast.walk(tree) if id(each) not in types):
            if isinstance(node, ast.ImportFrom):
                found = (
                    [f"{node.module}.{each.name}" for each in node.names] if node.module == "bench" else [node.module]
                )
            else:
                found = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            rooms = {".".join(name.split(".")[:2]) for name in found if name.split(".")[0] == "bench"}
            assert rooms <= DOOR, f"{path.name} imports {found}"


@pytest.mark.parametrize("command", [["--help"], ["search", "--help"], ["list", "fusions"]])
def test_nothing_heavy_is_imported_where_an_answer_needs_none(command: list[str]) -> None:
    code = (
        "import sys; sys.argv[0] = 'bench'\n"
        "from bench.cli.main import run\n"
        "try: run()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'optuna', 'sklearn', 'pandas', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_answers_in_half_a_second() -> None:
    """Of the processor's time, the least of three: on a busy machine the clock says more about its other work."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "bench", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


def test_no_machine_path_and_no_pickle_in_the_project() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in files:
        if name.endswith((".py", ".toml", ".md", ".ini", ".yml")) and name != "tests/test_architecture.py":
            content = (ROOT / name).read_text(encoding="utf-8")
            for word in (f"{ROOT}/", f"{Path.home()}/", "import pickle", "torch.load("):
                assert word not in content, f"{name}: {word}"


def test_values_that_hold_arrays_are_not_compared_by_them() -> None:
    """== of arrays is an array: a data class that holds one is equal to itself alone."""
    arrays = ("ndarray", "NDArray", "Tensor", "Ints", "Floats")
    for file in (ROOT / "bench").rglob("*.py"):
        for found in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(found, ast.ClassDef):
                continue
            kinds = [ast.unparse(each.annotation) for each in found.body if isinstance(each, ast.AnnAssign)]
            holds = any(word in kind and "Callable" not in kind for kind in kinds for word in arrays)
            made = [ast.unparse(each) for each in found.decorator_list]
            assert not holds or all("eq=False" in each for each in made if each.startswith("dataclass")), found.name
