"""The one way to standard output and standard error for what is no table: lines of words, and JSON."""

import io
import json
import logging
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import click

from bench.escaping import shown, shown_json


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


def echo(text: str = "", *, err: bool = False, mark: str = "") -> None:
    """A line on standard output, or on standard error, whose words can do nothing to a terminal.

    A `mark` before them may be styled; the style is left out where nobody watches.
    """
    stream = lasting(sys.stderr) if err else sys.stdout
    stream.write((mark if stream.isatty() else click.unstyle(mark)) + shown(text) + "\n")
    stream.flush()


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
