"""Writes `bench/api/keywords.py` from the fields that the settings are: `python tests/keywords.py`; a test compares."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bench import api
from bench.settings import Setting

FILE = Path(api.__file__).with_name("keywords.py")
HEAD = '''"""The keywords of Python calls for type checkers: written by `python tests/keywords.py`, never by hand."""

from collections.abc import Sequence
from typing import Literal, TypedDict
'''


def text() -> str:
    """The module, formatted."""
    parts = [HEAD, *(_class(name, settings) for name, settings in api.KEYWORDS.items())]
    command = [str(Path(sys.executable).with_name("ruff")), "format", "--stdin-filename", str(FILE), "-"]
    done = subprocess.run(command, input="\n\n".join(parts), capture_output=True, text=True, check=True)
    return done.stdout


def _class(name: str, settings: Mapping[str, Setting]) -> str:
    lines = [f"    {word}: {each.annotation}" for word, each in settings.items() if not each.required]
    head = f'class {name}(TypedDict, total=False):\n    """Settings of `bench.api`; None stands for the default."""\n\n'
    return head + "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
