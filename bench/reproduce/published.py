"""What the paper printed: its tables and figure 4 as data, each with its place, and where it contradicts itself."""

import functools
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

Row = Mapping[str, Any]
NAMES = ("table1", "table2", "table3", "table4", "figure4", "errata")


@functools.cache
def _load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((files("bench.reproduce") / "published" / f"{name}.json").read_text("utf-8"))
    return loaded


def printed(name: str, **equal: Any) -> list[dict[str, Any]]:
    """The rows of a table (see `NAMES`) whose fields equal the given ones, each with its `place` in the paper.

    Models and data sets have the names that `bench list` gives them; `printed_as` is the paper's own.
    """
    table = _load(name)
    return [
        {"place": table["place"], **row}
        for row in table["rows"]
        if all(row.get(field) == value for field, value in equal.items())
    ]


def caption(name: str) -> str:
    """What the numbers of that table are."""
    return str(_load(name)["caption"])


def errata(study: str) -> list[dict[str, Any]]:
    """The contradictions that concern a study: `place`, what is `printed` there, and the `but`."""
    return [
        {key: row[key] for key in ("place", "printed", "but")}
        for row in _load("errata")["rows"]
        if row["study"] == study
    ]


def models() -> Iterator[str]:
    """The paper's seven models, in the order of table 1."""
    return (row["model"] for row in _load("table1")["rows"] if "model" in row)
