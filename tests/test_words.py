"""How settings are named: by keyword below the command line, as options on it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bench.cli.main import cli
from bench.cli.words import SETTINGS, in_options

BENCH = Path(__file__).resolve().parents[1] / "bench"
OTHERS = re.compile(
    r"\b(pip install|mlflow experiments|ray start)\b"
    r"|^study/deciding\.py:\d+ --(out|home|trial)$"
    r"|^(figures/page\.py:|packaging/readme\.py:|tracking/mlflow/ui\.py:\d+ --[a-z-]+$|models/hub\.py:\d+ --$)"
)
"""Commands of others, whose options are theirs; those to be typed next; HTML; and what parts a repository from its
module in `auto_map`."""


def sentences() -> Iterator[tuple[str, str]]:
    """Every text constant of the code below the command line, with its place; what a field holds is "…"."""
    for path in sorted(BENCH.rglob("*.py")):
        if path.is_relative_to(BENCH / "cli"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = list(ast.walk(tree))
        skipped = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}  # docstrings
        skipped |= {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in nodes:
            if id(node) in skipped:
                continue
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = [part.value if isinstance(part, ast.Constant) else "…" for part in parts]
            if isinstance(node, ast.JoinedStr | ast.Constant) and all(isinstance(part, str) for part in text):
                yield f"{path.relative_to(BENCH)}:{node.lineno}", "".join(map(str, text))


def options() -> set[str]:
    def within(command: click.Command) -> Iterator[str]:
        for each in command.commands.values() if isinstance(command, click.Group) else ():
            yield from within(each)
        yield from (word for parameter in command.params for word in parameter.opts)

    return set(within(cli))


def test_nothing_below_the_command_line_speaks_of_options() -> None:
    found = [(place, text) for place, text in sentences() if re.search(r"(?<![-\w])--(?=[a-z…]|$)", text)]
    assert [each for each in found if not OTHERS.search(" ".join(each))] == [], "name the setting: `max_length`"
    assert len(found) > 3, "those of pip and MLflow are seen"


def test_every_setting_that_a_sentence_names_is_an_option() -> None:
    named = {
        (place, keyword)
        for place, text in sentences()
        if not re.match("reproduce/studies|packaging/readme", place)  # whose sentences name columns, too
        for keyword in re.findall(r"`([a-z_]+)(?:='?[^`']+'?)?`", text)
    }
    assert [each for each in named if each[1] not in SETTINGS | {"paper"}] == [], (
        "no setting, or none of `bench.cli.words`"
    )
    assert len(named) > 30
    assert {f"--{keyword.replace('_', '-')}" for keyword in SETTINGS} <= options()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Give a larger `max_length`.", "Give a larger --max-length."),
        ("use `dtype='float32'`, or `max_length=16`", "use --dtype float32, or --max-length 16"),
        (
            "`best` of `bench search`, `subset_…`, `test` and `x`",
            "`best` of `bench search`, `subset_…`, `test` and `x`",
        ),
    ],
)
def test_the_command_line_shows_options(said: str, shown: str) -> None:
    assert in_options(said) == shown
