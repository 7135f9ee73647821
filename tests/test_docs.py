"""The documentation: its links lead somewhere, its commands exist, and those that can run do."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from bench.cli.main import cli

pytestmark = pytest.mark.pictures

Called = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"(?<!\!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _anchors(page: Path) -> set[str]:
    """What headings are called in links, as forges derive it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        target = match[1] or match[2]
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{_name(page)} links to {target}, which is not there"
        assert ROOT in found.parents
        if anchor:
            assert anchor in _anchors(found), f"{_name(page)} links to {target}, and {path} has no such heading"


def test_every_page_is_reached_from_the_front() -> None:
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen:
            continue
        seen.add(page)
        targets = (match[1] or match[2] for match in LINK.finditer(page.read_text(encoding="utf-8")))
        todo += [
            found
            for target in targets
            if not target.startswith("http")
            and (found := (page.parent / target.partition("#")[0]).resolve()).suffix == ".md"
            and found.exists()
        ]
    assert {page for page in PAGES if (ROOT / "docs") in page.parents} <= seen


def _commands(page: Path) -> Iterator[str]:
    """Lines of indented blocks that call bench, continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    yield from re.findall(r"^    (bench .+)$", text, re.MULTILINE)


PLACEHOLDER = re.compile(r"[\[\]|…]")
ALL = [(page, line) for page in PAGES for line in _commands(page)]


@pytest.mark.parametrize(("page", "line"), ALL, ids=[f"{_name(page)}: {line[:60]}" for page, line in ALL])
def test_commands_exist_with_their_options(page: Path, line: str) -> None:
    if PLACEHOLDER.search(line):
        pytest.skip("a synopsis")
    words = shlex.split(line, comments=True)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="bench")
    while isinstance(command, click.Group):
        name = words.pop(0)
        if name.startswith("-"):
            return
        found = command.get_command(context, name)
        assert found is not None, f"there is no command {name}"
        command = found
    options = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    options |= {"--help", "-h"}
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in options, f"{command.name} has no {word}"
    command.make_parser(context).parse_args(list(words))


@pytest.fixture
def ran(called: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """What a line of a page prints, run in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> str:
        words = shlex.split(line, comments=True)
        if words[0] == "bench":
            status, out, err = called(*words[1:])
        else:
            done = subprocess.run([sys.executable, ROOT / words[1], *words[2:]], capture_output=True, text=True)
            status, out, err = done.returncode, done.stdout, done.stderr
        assert status == 0, f"{line}\n{out[-2000:]}\n{err[-2000:]}"
        return out

    return run


@pytest.mark.slow
@pytest.mark.parametrize("page", ["own-csv.md", "compare.md"])
def test_examples_run(page: str, ran: Callable[[str], str], tmp_path: Path) -> None:
    text = (ROOT / "docs" / "examples" / page).read_text(encoding="utf-8")
    lines = re.findall(r"^    ((?:bench|python) .+)$", text, re.MULTILINE)
    assert lines
    shutil.copy(ROOT / "docs" / "examples" / "pair.toml", tmp_path)
    for line in lines:
        ran(line)


QUICK = (
    "bench list models",
    "bench list datasets",
    "bench list fusions",
    "bench space check quickstart",
    "bench space schema",
    "bench store list",
    "bench completion bash",
)


@pytest.mark.parametrize("line", QUICK)
def test_looking_commands_run(line: str, ran: Callable[[str], str]) -> None:
    assert ran(line)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "examples").glob("*.toml")), ids=lambda path: path.stem)
def test_spaces_of_the_examples_are_valid(path: Path, ran: Callable[[str], str]) -> None:
    assert "is valid" in ran(f"bench space check {shlex.quote(str(path))}")


def test_the_space_that_is_shown_is_valid(ran: Callable[[str], str], tmp_path: Path) -> None:
    (shown,) = re.findall(
        r"```toml\n(.*?)```", (ROOT / "docs" / "data-and-models.md").read_text(encoding="utf-8"), re.DOTALL
    )
    (file := tmp_path / "shown.toml").write_text(shown, encoding="utf-8")
    assert "is valid" in ran(f"bench space check {file}")
