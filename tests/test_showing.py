"""Nothing that draws, writes or shows ends the work: what was computed is kept, printed, and said to lack a part."""

import errno
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from formats.make import DATA, SEARCH
from test_tracking_failures import folder, hasty, undisturbed, whole  # noqa: F401 - fixtures

from bench.cli import show, terminal
from bench.cli.main import cli

pytestmark = pytest.mark.pictures

INPUTS = Path(__file__).parent / "inputs" / "07"


def fail(*_: Any, **__: Any) -> Any:
    raise ValueError("it cannot be made")


@pytest.mark.parametrize("name", ["tables", "figures", "page"])
def test_what_cannot_be_made_ends_no_search(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    case = json.loads((INPUTS / f"{name}.json").read_text("utf-8"))
    for place in case["fails"]:
        monkeypatch.setattr(place, fail)
    ran = CliRunner().invoke(cli, ["search", *SEARCH, "--trials", "2", "--json"])
    assert ran.exception is None, ran.exception
    assert json.loads(ran.stdout)["front"]
    for words in case["told"]:
        assert words in ran.stderr


def test_one_repetition_is_searched_printed_and_reported(folder: Path) -> None:  # noqa: F811
    asked = ["search", *DATA, "--space", str(INPUTS / "one-repetition.toml"), "--models", "./model", "--trials", "2"]
    ran = CliRunner().invoke(cli, [*asked, "--device", "cpu", "--max-length", "16"])
    assert ran.exception is None, ran.exception
    # others may take the processors, and the store be told of after a tenth of a second (`hasty`)
    usual = re.compile("other programs used|has not answered")
    warnings = [line for line in ran.stderr.splitlines() if "warning" in line and not usual.search(line)]
    assert not warnings
    assert ran.stdout.index("Front: search scores") < ran.stdout.index("Report:")


def test_what_cannot_be_made_ends_no_reproduction(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    for name in ("_csv", "parquet", "report"):
        monkeypatch.setattr(f"bench.reproduce.writing.{name}", fail)
    asked = ["reproduce", "layers", *DATA, "--models", "./model", "--folds", "2", "--repetitions", "1", "--json"]
    ran = CliRunner().invoke(cli, [*asked, "--device", "cpu", "--max-length", "16"])
    assert ran.exception is None, ran.exception
    assert json.loads(ran.stdout)["rows"]
    assert "layers.parquet is missing" in ran.stderr


class Gone:
    """A terminal that is closed."""

    def write(self, _: str) -> int:
        raise OSError(errno.EIO, "Input/output error")

    def flush(self) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def isatty(self) -> bool:
        return True


def test_a_table_without_room_is_blocks_of_whole_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "room", lambda: 30)
    rows = [("trial 1", "+0.100 to +0.200", "0.050"), ("", "again, a little wider", "0.060")]
    show.table("", ("", "trial −\nsingle", "resol-\nvable"), rows)
    blocks = "trial 1\n  trial − single +0.100 to +0.200; resolvable 0.050\n"
    assert capsys.readouterr().out == f"{blocks}  trial − single again, a little wider; resolvable 0.060\n\n"
    show.table("", ("", "trial −\nsingle", "resol-\nvable"), rows[:1] * 2, spare=(2,))
    assert "(no room for resolvable)" in capsys.readouterr().out


@pytest.mark.parametrize("stream", [Gone(), None])
def test_words_beside_the_work_need_nobody_who_reads_them(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    terminal.echo("a line", err=True)
    print("more", file=terminal.lasting(stream), flush=True)


def test_what_a_library_has_left_to_say_at_the_end_needs_nobody_either() -> None:
    late = "import sys; from bench.cli import terminal; terminal.prepare(); input(); sys.stderr.write('half a line')"
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", late], stdin=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    os.close(ours)
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 0


@pytest.mark.slow
def test_a_search_outlives_its_terminal(folder: Path) -> None:  # noqa: F811
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bench", "search", *SEARCH, "--trials", "2", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True)
    os.close(theirs)
    os.read(ours, 1)
    os.close(ours)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    assert json.loads(out)["front"]
