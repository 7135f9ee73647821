"""The data home: a folder of folders, each a data set with ``train`` and ``test`` as JSON lines, plain or gzipped."""

import json
import os
import re
from pathlib import Path
from typing import Any

from bench.datasets.columns import Columns, rows_of
from bench.datasets.dataset import Provenance
from bench.datasets.sources import Fetched, UnavailableError
from bench.datasets.tables import Hints, Table, read_table
from bench.errors import BenchError

ENVIRONMENT = "BENCH_DATA_HOME"
_FOLDER = re.compile(r"\w[\w.-]*")
_SUFFIXES = (".jsonl.gz", ".jsonl")


def data_home(folder: str | None) -> Path | None:
    """The data home that is meant: `folder`, else the environment's, else None.

    Raises:
        BenchError: It is given and is not a folder.
    """
    named = folder or os.environ.get(ENVIRONMENT)
    if not named:
        return None
    home = Path(named).expanduser()
    if not home.is_dir():
        raise BenchError(f"The data home {home} is not a folder (`data_home` or {ENVIRONMENT}).")
    return home


def names(home: Path) -> list[str]:
    """The data sets of a data home, sorted."""
    folders = sorted(folder.name for folder in home.iterdir() if folder.is_dir())
    return [name for name in folders if split_file(home, name, "train") and split_file(home, name, "test")]


def has_folder(home: Path, name: str) -> bool:
    """Whether the data home has a folder of that name, complete or not."""
    return _FOLDER.fullmatch(name) is not None and (home / name).is_dir()


def split_file(home: Path, name: str, split: str) -> Path | None:
    """The file of a split, or None."""
    for suffix in _SUFFIXES:
        path = home / name / f"{split}{suffix}"
        if path.is_file():
            return path
    return None


def manifest(home: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Name → split → facts, of a home that has a ``manifest.json``; else empty."""
    path = home / "manifest.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise BenchError(f"{path} cannot be read: {error}.") from None
    if not isinstance(entries, dict):
        raise BenchError(f"{path} must map names of data sets to their splits.")
    return {
        name: {split: facts for split, facts in splits.items() if isinstance(facts, dict)}
        for name, splits in entries.items()
        if isinstance(splits, dict)
    }


def fetch(home: Path, name: str, columns: Columns) -> Fetched:
    """The rows of one folder of the data home.

    Raises:
        UnavailableError: No folder of that name holds both splits.
        BenchError: A file differs from the manifest, or cannot be used.
    """
    if _FOLDER.fullmatch(name) is None:
        raise UnavailableError(f"data home: it has no folder '{name}'")
    train, test = split_file(home, name, "train"), split_file(home, name, "test")
    if train is None or test is None:
        lacking = " and ".join(
            f"{split}.jsonl[.gz]" for split, path in (("train", train), ("test", test)) if path is None
        )
        raise UnavailableError(f"data home: {home / name} has no {lacking}{_others(home, name)}")
    recorded = manifest(home).get(name, {})
    tables: dict[str, Table] = {}
    for split, path in (("train", train), ("test", test)):
        tables[split] = read_table(path, columns.wanted, hints=Hints(no_texts=columns.no_texts))
        expected = recorded.get(split, {}).get("sha256")
        if expected and recorded[split].get("file", f"{name}/{path.name}") == f"{name}/{path.name}":
            _verify(path, tables[split].sha256, expected)
    return Fetched(
        rows_of(tables["train"], "train", columns),
        rows_of(tables["test"], "test", columns),
        Provenance(
            kind="home",
            description=f"data home, folder {name}",
            files={table.file: table.sha256 for table in tables.values()},
        ),
    )


def _verify(path: Path, digest: str, expected: str) -> None:
    if digest != expected:
        raise BenchError(
            f"{path} is not the file of the data home's manifest: its SHA-256 is {digest[:12]}…, recorded is "
            f"{expected[:12]}…. Copy it again, or take its entry out of manifest.json if the change is meant."
        )


def _others(home: Path, name: str) -> str:
    others = sorted(folder.name for folder in home.iterdir() if folder.is_dir() and folder.name.startswith(f"{name}_"))
    return f" (its {' and '.join(others)} are other data and never stand in)" if others else ""
