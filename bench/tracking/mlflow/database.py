"""MLflow's database as a file: made and migrated beside its name, so that no stop leaves half of one there."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from bench.errors import BenchError, in_words
from bench.files import atomic, delete
from bench.tracking.addresses import FILE

COUNTED = ("experiments", "runs", "params", "metrics", "tags")
"""The tables whose rows a migration has to keep."""

STAMP = "alembic_version"
BUSY = 20.0
"""Seconds that another process may hold the database, as MLflow has it."""


def whole(path: Path) -> bool:
    """Whether there is a database of this MLflow's."""
    return path.exists() and _look(path)[0] == _head()


def prepare(path: Path, warn: Callable[[str], None], *, migrate: bool) -> None:
    """Make a whole database at `path` where there is none; the caller holds its lock.

    MLflow makes its tables in many steps, each of which would be seen under the final name. A database that a stop has
    left half-made, and that holds no run, is set aside; with `migrate`, that of an older MLflow is replaced by a
    migrated copy, and kept beside it.

    Raises:
        BenchError: the database is of another MLflow, and cannot be migrated; it stays as it was.
    """
    for left in path.parent.glob(f".{path.name}.*.tmp*"):
        delete(left)  # of a stop while it was made
    if not path.exists():
        _make(path)
        return
    stamp, counts = _look(path)
    if stamp == _head():
        return
    if stamp is None and not counts.get("runs"):
        _set_aside(path, warn)
        _make(path)
        return
    if not migrate:
        raise BenchError(f"{_other(path, stamp)} It is left as it is. {_advice(path)}")
    try:
        _migrate(path, stamp, counts, warn)
    except Exception as error:
        if not counts.get("runs"):
            _set_aside(path, warn)
            _make(path)
            return
        reason = in_words(error)[:200].rstrip(".")
        raise BenchError(
            f"{_other(path, stamp)} A copy could not be migrated ({reason}); it is left as it is. {_advice(path)}"
        ) from error


def _make(path: Path) -> None:
    with atomic(path) as temporary:
        _upgrade(temporary)


def _upgrade(path: Path) -> None:
    """What `mlflow db upgrade` does: to an empty file all tables, to an older database what it lacks."""
    from mlflow.db import upgrade

    assert upgrade.callback is not None
    upgrade.callback(f"{FILE}{path}")


def _head() -> str:
    """The stamp of a whole database of this MLflow."""
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())


def _look(path: Path) -> tuple[str | None, dict[str, int]]:
    """The stamp that the last migration left, None without one, and the rows of tables that are there.

    Raises:
        BenchError: the file is no database of SQLite's, or cannot be read.
    """
    try:
        with closing(sqlite3.connect(path, timeout=BUSY)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            stamps = list(database.execute("SELECT version_num FROM alembic_version")) if STAMP in tables else []
            counts = {
                table: int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our names
                for table in COUNTED
                if table in tables
            }
    except sqlite3.DatabaseError as error:
        raise BenchError(f"{path} cannot be read as a database of MLflow's: {error}. It is left as it is.") from error
    return (str(stamps[0][0]) if stamps else None), counts


def _migrate(path: Path, stamp: str | None, counts: dict[str, int], warn: Callable[[str], None]) -> None:
    with atomic(path) as temporary:
        with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(temporary)) as new:
            old.backup(new)
        _upgrade(temporary)
        migrated, found = _look(temporary)
        if migrated != _head() or found != counts:
            raise BenchError(f"the copy holds {found} and the stamp {migrated}, the original {counts}")
        kept = _free(path.with_name(f"{path.name}.before-{stamp}"))
        try:
            os.link(path, kept)  # the name itself is never without a database
        except OSError:
            shutil.copy2(path, kept)
    warn(f"{path} was of an older MLflow and is migrated; the old one is kept as {kept.name}")


def _set_aside(path: Path, warn: Callable[[str], None]) -> None:
    aside = _free(path.with_name(f"{path.name}.half-made"))
    path.replace(aside)
    for suffix in ("-journal", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")
    warn(f"{path} was left half-made by a stop and holds no run: it is set aside as {aside.name}, a new one is made")


def _free(path: Path) -> Path:
    """The path, or the next one that is not taken."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def _other(path: Path, stamp: str | None) -> str:
    return f"{path} is a database of another MLflow (schema {stamp or 'without a stamp'}, this one's is {_head()})."


def _advice(path: Path) -> str:
    copy = path.with_name(f"copy-of-{path.name}")
    return (
        f"Try it on a copy: cp {path} {copy}, then `mlflow db upgrade {FILE}{copy}`, and use that copy in its place; "
        "or set the file aside, and the next search fills a new one from its journal."
    )
