"""The one way to standard output and standard error for what is no table: lines of words, and JSON."""

import io
import json
import logging
import sys
from typing import Any, TextIO

import click

from bench.escaping import shown, shown_json


def prepare() -> None:
    """Let no output die of the terminal's encoding, and bench's own warnings take the same way as its lines."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    logger = logging.getLogger("bench")
    if not logger.handlers:
        logger.addHandler(_Warnings())


def echo(text: str = "", *, err: bool = False, mark: str = "") -> None:
    """A line on standard output, or on standard error, whose words can do nothing to a terminal.

    A `mark` before them may be styled; the style is left out where nobody watches.
    """
    stream = sys.stderr if err else sys.stdout
    stream.write((mark if stream.isatty() else click.unstyle(mark)) + shown(text) + "\n")
    stream.flush()


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
