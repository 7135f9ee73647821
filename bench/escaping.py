"""What others wrote, made harmless where it is read: a terminal acts on control characters, a spreadsheet on formulas.

Names of classes, columns, files and models come from data sets, hubs and colleagues. JSON, JSON lines and Parquet hold
them as they are; a terminal and a csv file, which a spreadsheet opens, show them in these forms.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

_ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, what turns the direction of a line, and halves of surrogate pairs."""
_ACTS_IN_JSON = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Those of them that the json module writes as they are."""
_FORMULA = re.compile("[=+\\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def shown(text: str) -> str:
    r"""`text` for a terminal: what it would act on is written as Python escapes it, ``\x1b``."""
    return text if text.isprintable() else _ACTS.sub(lambda found: ascii(found[0])[1:-1], text)


def shown_json(text: str) -> str:
    """The same for text that is JSON, which it stays, with the same values."""
    return _ACTS_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain_markdown(text: str) -> str:
    """Words that Markdown shows as they are."""
    return "".join(f"\\{sign}" if sign in r"\`*_[]<>#|" else sign for sign in text)


def cell(value: Any) -> Any:
    """A value as a cell of a csv file: a text that a spreadsheet would compute gets an apostrophe before it.

    The rule is OWASP's for "CSV injection": what begins with =, +, -, @, a tab or the end of a line, or with a
    full-width form of these signs. Numbers stay numbers, also those that are written as texts, such as the label "-1".
    """
    if not isinstance(value, str):
        return value
    text = shown(value)
    return f"'{text}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else text


class CsvWriter:
    """Rows of a csv file, whatever they hold; see `cell`."""

    def __init__(self, file: TextIO) -> None:
        self._rows = csv.writer(file)

    def write(self, row: Iterable[Any]) -> None:
        """One more row."""
        self._rows.writerow([cell(value) for value in row])


def csv_file(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A whole csv file in UTF-8."""
    text = io.StringIO()
    writer = CsvWriter(text)
    writer.write(header)
    for row in rows:
        writer.write(row)
    return text.getvalue().encode()
