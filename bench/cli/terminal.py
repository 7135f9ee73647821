"""The one way to standard output and standard error for what is no table: lines of words, and JSON."""

import io
import json
import logging
import os
import re
import shlex
import shutil
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import click

from bench.escaping import shown, shown_json

CONTINUED = " \\"


def prepare() -> None:
    """Let no output die of the terminal's encoding, and bench's own warnings take the same way as its lines.

    Libraries write to standard error as well, and Python flushes it at exit: with status 120 where that fails.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    sys.stderr = lasting(sys.stderr)
    logger = logging.getLogger("bench")
    if not logger.handlers:
        logger.addHandler(_Warnings())


def echo(text: str = "", *, err: bool = False, mark: str = "", hanging: int | None = None) -> None:
    """Words on standard output, or on standard error, which can do nothing to a terminal, in lines that fit it.

    A `mark` before them may be styled; the style is left out where nobody watches. Lines after the first begin at
    column `hanging`, two columns behind the first where it is None.
    """
    stream = lasting(sys.stderr) if err else sys.stdout
    before = click.unstyle(mark)
    room = width(stream)
    lines = "\n".join(line for part in shown(before + text).split("\n") for line in folded(part, room, hanging))
    stream.write((mark if stream.isatty() else before) + lines.removeprefix(before) + "\n")
    stream.flush()


def command(*words: str, before: str = "") -> None:
    """A command as it is to be typed, on lines of its own that a shell takes for one; `before` are variables."""
    lines, room = [before], (width(sys.stdout) or sys.maxsize) - len(CONTINUED)
    for word in map(shlex.quote, words):
        if lines[-1] and 2 + len(lines[-1]) + 1 + len(word) > room:
            lines.append("  ")
        lines[-1] += f"{' ' if lines[-1].strip() else ''}{word}"
    sys.stdout.write("  " + f"{CONTINUED}\n  ".join(map(shown, lines)) + "\n")
    sys.stdout.flush()


def whole(text: str) -> None:
    """A path or an address on a line of its own, which stays one."""
    sys.stdout.write(f"  {shown(text)}\n")
    sys.stdout.flush()


def write(text: str) -> None:
    """What programs read, a line that stays one, on standard output."""
    sys.stdout.write(shown(text) + "\n")
    sys.stdout.flush()


def width(stream: TextIO) -> int | None:
    """The columns that a person sees of a stream: COLUMNS, else the terminal's; None where nobody watches."""
    if os.environ.get("COLUMNS", "").isdecimal() or stream.isatty():
        return shutil.get_terminal_size().columns
    return None


def folded(line: str, room: int | None, hanging: int | None = None, between: str = "( +)") -> list[str]:
    """A line as those that fit; words stay whole, and one that is too long has a line of its own.

    `between` is where a line may end.
    """
    from rich.cells import cell_len

    if room is None or 2 * len(line) <= room or cell_len(line) <= room:
        return [line]
    indent = len(line) - len(line.lstrip()) + 2 if hanging is None else hanging
    before, lines = line[: len(line) - len(line.lstrip())], [""]
    for word in re.split(between, line.strip()):
        if word.strip() and lines[-1].strip() and cell_len(before + lines[-1] + word) > room:
            lines[-1] = (before + lines[-1]).rstrip()
            before = " " * min(indent, room // 2)
            lines.append("")
        lines[-1] += word if lines[-1] or word.strip() else ""
    return [*lines[:-1], before + lines[-1]]


def agreed(question: str) -> bool:
    """Whether a person says yes; nobody who is asked says no."""
    try:
        return click.confirm(shown(question), err=True)
    except click.Abort:
        return False


class _Lasting:
    """A stream that work outlives: what it cannot take, because its terminal is gone or full, is not shown."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = io.StringIO() if stream is None else stream  # None: it was closed before this process began

    def write(self, text: str) -> int:
        """Write what can be written."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what was kept back, if it can be."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def lasting(stream: TextIO | None) -> TextIO:
    """The stream for words beside the work, whose failing must not end it."""
    return stream if isinstance(stream, _Lasting) else cast(TextIO, _Lasting(stream))


def json_out(value: Any) -> None:
    """The one JSON object of `--json`."""
    sys.stdout.write(json_text(value, sys.stdout, indent=2) + "\n")
    sys.stdout.flush()


def json_text(value: Any, stream: TextIO, indent: int | None = None) -> str:
    """`value` as JSON in the characters that `stream` can hold: all of them as they are, else with JSON's escapes."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, allow_nan=False)
    return shown_json(text)


class _Warnings(logging.Handler):
    """Warnings of bench's modules as lines on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        echo(f"{record.levelname.lower()}: {record.getMessage()}", err=True)
