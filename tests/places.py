"""How many places a change touches, counted from the code: in a commit of before, and now.

python tests/places.py            prints the table: the working tree beside what is recorded of `BEFORE`
python tests/places.py --write    also writes it to docs/design/places.md
python tests/places.py COMMIT     prints what is to be recorded of a commit
"""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "design" / "places.md"
BEFORE = "ae98f55"
GENERATED = ("bench/api/keywords.py",)
"""Written by a script, which a test holds to the code."""
Sources = Mapping[str, str]
"""Path below the root → content."""


@dataclass(frozen=True)
class Change:
    """A kind of change, and what was changed so once, whose places are counted.

    Attributes:
        kind: What is added.
        example: The one that stands for it.
        words: A regular expression of its names.
        own: The end of a file that holds it and nothing else, which is one place.
        apart: Packages that do not count.
        why: Why they do not, or what the words are, where that needs saying.
    """

    kind: str
    example: str
    words: str
    own: str = "/none"
    apart: tuple[str, ...] = ()
    why: str = ""


CHANGES = (
    Change(
        "a CLI option",
        "`--max-length`",
        r"max[_-]length",
        apart=("backends/",),
        why="on the way from the command line to the backends, which use it",
    ),
    Change("an objective", "`f1_floor`", r"(?:f1)?_?floor", why="by its name, or by the end that it has in common"),
    Change("a measure", "`balanced_accuracy`", r"balanced_accuracy", why="there was no table of them before"),
    Change(
        "a backend option",
        "`--gpu-memory-share`",
        r"gpu[_-]memory[_-]share",
        why="from the command line to the engine that takes it",
    ),
    Change("a study of `bench reproduce`", "`capacity`", r"capacity", own="studies/capacity.py"),
    Change(
        "an executor",
        "`processes`",
        r"_extract_on_each|_Worker|processes",
        own="executors/processes.py",
        apart=("cost.py",),
        why="before, extraction alone started them, in functions of its own; what looks at memory is something else",
    ),
    Change(
        "a task",
        "single-label classification",
        r"argmax|(?:log_)?softmax|bincount|stratified|test_only_labels|class_count|confusion|cross_entropy",
        apart=("tasks/", "heads/", "report/", "metrics", "measures/", "datasets/", "backends/", "fusion.py"),
        why="what holds for one label a row alone; tasks, heads, measures, data sets and the report may know it, and "
        "attention has a softmax of its own",
    ),
)


class Place(NamedTuple):
    """A function, or a class or a statement outside of functions."""

    file: str
    within: str


class Longest(NamedTuple):
    """The longest file or function, in lines."""

    name: str
    lines: int


def at(commit: str) -> dict[str, str]:
    """The modules of a commit."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    names = git("ls-tree", "-r", "--name-only", commit, "bench").split()
    return {name: git("show", f"{commit}:{name}") for name in names if name.endswith(".py")}


def here() -> dict[str, str]:
    """The modules of the working tree."""
    paths = sorted((ROOT / "bench").rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}


def places(change: Change, sources: Sources) -> set[Place]:
    """Where a change stands."""
    pattern = re.compile(rf"(?:--)?(?:{change.words})")
    found = set()
    for file, content in sources.items():
        if file in GENERATED or any(file.startswith(f"bench/{room}") for room in change.apart):
            continue
        if file.endswith(change.own):
            found.add(Place(file, ""))
        else:
            found |= {Place(file, within) for within, word in _words(ast.parse(content)) if pattern.fullmatch(word)}
    return found


def _words(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The identifiers and texts of a module but for docstrings, each with what it stands within."""

    def walk(node: ast.AST, within: str) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            inside = within
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inside = f"{within}.{child.name}".lstrip(".")
            elif isinstance(node, ast.Module) and isinstance(child, ast.stmt):
                inside = f"line {child.lineno}"
            for field in ("id", "attr", "arg", "name", "asname", "module", "value"):
                if isinstance(word := getattr(child, field, None), str):
                    yield inside, word
            yield from walk(child, inside)

    return walk(tree, "")


def circles(sources: Sources) -> list[str]:
    """Sets of modules or packages beside each other that import each other, for annotations or late as well."""
    modules = {file.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for file in sources}
    edges: dict[str, dict[str, set[str]]] = {}
    for file, content in sources.items():
        importer = file.removesuffix(".py").replace("/", ".")
        for imported in _imports(ast.parse(content), modules):
            one, other = importer.split("."), imported.split(".")
            shared = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
            if shared is not None and one[shared] != "__init__":
                siblings = edges.setdefault(".".join(one[:shared]), {})
                siblings.setdefault(one[shared], set()).add(other[shared])
    return [
        f"{package}: {', '.join(sorted(circle))}" for package, graph in edges.items() for circle in _components(graph)
    ]


def _imports(tree: ast.Module, modules: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield from {longer if longer in modules else node.module} & modules
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & modules
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            # import_module(f"bench.heads.{name}"): any module below
            texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            for text in texts:
                if isinstance(text, str) and text.startswith("bench."):
                    yield from {name for name in modules if name.rpartition(".")[0] == text.rstrip(".")}


def _components(graph: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """The sets of two and more that all lead to each other."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        left = [start]
        while left:
            for name in graph.get(left.pop(), set()) - found:
                found.add(name)
                left.append(name)
        return found

    ways = {name: reached(name) for name in graph}
    every = {frozenset({name, *(other for other in ways[name] if name in ways.get(other, ()))}) for name in graph}
    return {circle for circle in every if len(circle) > 1}


def longest_file(sources: Sources) -> Longest:
    """By lines."""
    return max((Longest(file, len(content.splitlines())) for file, content in sources.items()), key=lambda it: it.lines)


def longest_function(sources: Sources) -> Longest:
    """By lines, decorators left out."""
    return max(
        (
            Longest(f"{file}: {node.name}", (node.end_lineno or 0) - node.lineno + 1)
            for file, content in sources.items()
            for node in ast.walk(ast.parse(content))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ),
        key=lambda it: it.lines,
    )


def homonyms(sources: Sources) -> dict[str, list[str]]:
    """Classes that have one name and stand in several files."""
    found: dict[str, list[str]] = {}
    for file, content in sources.items():
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(file)
    return {name: files for name, files in sorted(found.items()) if len(set(files)) > 1}


def counted(sources: Sources) -> dict[str, str]:
    """What is counted → how many, in words."""
    rows = {}
    for change in CHANGES:
        found = places(change, sources)
        files = len({place.file for place in found})
        rows[change.kind] = f"{len(found)} in {files} file{'s' if files > 1 else ''}" if found else "–"
    file, function = longest_file(sources), longest_function(sources)
    return rows | {
        "import circles": str(len(circles(sources))),
        "class names in more than one file": str(len(homonyms(sources))),
        "longest file": f"{file.lines} lines ({file.name.removeprefix('bench/')})",
        "longest function": f"{function.lines} lines ({function.name.removeprefix('bench/')})",
    }


RECORDED = {
    "a CLI option": "9 in 8 files",
    "an objective": "16 in 11 files",
    "a measure": "–",
    "a backend option": "5 in 3 files",
    "a study of `bench reproduce`": "3 in 3 files",
    "an executor": "3 in 1 file",
    "a task": "18 in 11 files",
    "import circles": "4",
    "class names in more than one file": "16",
    "longest file": "395 lines (backends/openvino.py)",
    "longest function": "86 lines (study/figure.py: front_figure)",
}
"""`counted` of the commit `BEFORE`."""


def page(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The table as Markdown, with how it was counted."""
    lines = [
        "# How many places a change touches",
        "",
        f"Before is commit {BEFORE}. Counted by `python tests/places.py`, which also writes this page (`--write`).",
        "",
        "| places to touch | before | now |",
        "| --- | --- | --- |",
        *(f"| {kind} | {before.get(kind, '')} | {value} |" for kind, value in now.items()),
        "",
        "A kind of change is counted by one that was made: in how many places does its name stand? A place is a",
        "function, or a class or a statement outside of functions, under `bench/`. A name stands in it where the code",
        "has it as an identifier or a text; comments and docstrings do not count, since nothing breaks without them,",
        "nor does what a script writes. A file that holds one thing and is named after it is one place, however long.",
        "",
        *(f"- {change.kind}: {change.example}{f'; {change.why}' if change.why else ''}." for change in CHANGES),
        "",
        "Circles are sets of modules beside each other that import each other, for annotations or within functions as",
        "well; import-linter holds them at none.",
        "",
    ]
    return "\n".join(lines)


def main(words: list[str]) -> None:
    """Print or write."""
    if words and words[0] != "--write":
        print(json.dumps(counted(at(words[0])), indent=4))
        return
    now = counted(here())
    print(page(RECORDED, now))
    if words:
        PAGE.write_text(page(RECORDED, now), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
