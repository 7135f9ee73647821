"""One page a run: what every study said of every data set, and where its tables and figures lie."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from bench.figures.page import page, template

NOTES = 4
"""Sentences that are shown of a study; its own page has all of them."""


class FileLink(NamedTuple):
    """To a file beside the page."""

    address: str
    words: str


class Picture(NamedTuple):
    """A figure's SVG, which leads to its live page."""

    address: str
    words: str
    content: bytes


class Part(NamedTuple):
    """A study on a data set, or over several."""

    anchor: str
    title: str
    subtitle: str
    notes: Sequence[str]
    links: Sequence[FileLink]
    pictures: Sequence[Picture]

    @classmethod
    def of(cls, title: str, subtitle: str, notes: Sequence[str], files: Sequence[Path], folder: Path) -> "Part":
        """From the files of a study, as links from a page in `folder`."""

        def address(path: Path) -> str:
            return quote(Path(os.path.relpath(path, folder)).as_posix())

        figures = [path for path in files if path.suffix == ".html"]
        pictures = [
            Picture(address(path), path.stem, picture.read_bytes())
            for path in figures
            if (picture := path.with_suffix(".svg")).is_file()
        ]
        order = {suffix: place for place, suffix in enumerate((".md", ".tex", ".csv", ".parquet", ".pdf"))}
        linked = sorted((path for path in files if path.suffix in order), key=lambda path: order[path.suffix])
        anchor = "".join(sign if sign.isalnum() else "-" for sign in title)
        return cls(
            anchor, title, subtitle, notes[:NOTES], [FileLink(address(path), path.name) for path in linked], pictures
        )


def index_page(title: str, about: Mapping[str, Any], parts: Sequence[Part]) -> bytes:
    """The page, which opens from disk; its pictures are in it, its tables beside it."""
    told = "; ".join(f"{name}: {value}" for name, value in about.items() if value not in (None, "", []))
    style = "img { max-width: 100%; width: 36rem; }"
    body = template("index.html", package="bench.reproduce", title=title, about=told, parts=parts)
    return page(title, body, style, live=False).encode()
