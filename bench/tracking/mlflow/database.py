"""MLflow's database as a file: made and migrated beside its name, so that no stop leaves half of one there."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from bench.errors import BenchError
from bench.files import atomic, delete, free
from bench.tracking.addresses import FILE
from bench.tracking.mlflow.patience import reason_of
from bench.tracking.mlflow.process import unbroken

KEPT = ("experiments", "experiment_tags", "runs", "params", "metrics", "latest_metrics", "tags")
"""The tables whose rows a migration has to keep."""

FIRST = {"experiments", "runs", "tags", "metrics", "params"}
"""The tables that MLflow makes before its first migration, some of which later ones replace."""
HALF_MADE = ("already exists", "duplicate column")
"""What a migration says of a database that a stop has left between two of its steps."""

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
    stamp, runs = _look(path)
    if stamp == _head():
        return
    if stamp is None and not runs:
        if others := _others(path):
            raise BenchError(
                f"{path} is a database of another program's (it has the table '{others[0]}') and is left as it is: "
                "name another file with `tracking_uri`."
            )
        _set_aside(path, warn)
        _make(path)
        return
    if not migrate:
        raise BenchError(f"{_other(path, stamp)} It is left as it is. {_advice(path)}")
    try:
        _migrate(path, stamp, warn)
    except Exception as error:
        if not runs and any(word in str(error) for word in HALF_MADE):
            _set_aside(path, warn)
            _make(path)
            return
        reason = reason_of(error, f"{FILE}{path}")
        raise BenchError(
            f"{_other(path, stamp)} A copy could not be migrated ({reason}); it is left as it is. {_advice(path)}"
        ) from error


def _make(path: Path) -> None:
    with atomic(path) as temporary:
        _upgrade(temporary)


def _upgrade(path: Path) -> None:
    """What `mlflow db upgrade` does: to an empty file all tables, to an older database what it lacks."""
    from mlflow.db import upgrade

    migrate = upgrade.callback
    assert migrate is not None
    unbroken(lambda: migrate(f"{FILE}{path}"))


def _head() -> str:
    """The stamp of a whole database of this MLflow."""
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())


def _look(path: Path) -> tuple[str | None, int]:
    """The stamp that the last migration left, None without one, and how many runs there are.

    Raises:
        BenchError: the file is no database of SQLite's, or cannot be read.
    """
    try:
        with closing(sqlite3.connect(path, timeout=BUSY)) as database:
            tables = _tables(database)
            stamps = list(database.execute(f"SELECT version_num FROM {STAMP}")) if STAMP in tables else []  # noqa: S608
            runs = database.execute("SELECT count(*) FROM runs").fetchone()[0] if "runs" in tables else 0
    except sqlite3.DatabaseError as error:
        raise BenchError(f"{path} cannot be read as a database of MLflow's: {error}. It is left as it is.") from error
    return (str(stamps[0][0]) if stamps else None), int(runs)


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _others(path: Path) -> list[str]:
    """The tables that no MLflow made."""
    import mlflow.store.db.utils  # noqa: F401 - makes all tables known
    from mlflow.store.db.base_sql_model import Base

    with closing(sqlite3.connect(path, timeout=BUSY)) as database:
        found = _tables(database) - FIRST - set(Base.metadata.tables)
    return sorted(name for name in found if not name.startswith(("alembic_", "_alembic_", "sqlite_")))


def _migrate(path: Path, stamp: str | None, warn: Callable[[str], None]) -> None:
    with atomic(path) as temporary:
        with closing(sqlite3.connect(path, timeout=BUSY)) as old, closing(sqlite3.connect(temporary)) as new:
            old.backup(new)
        _upgrade(temporary)
        if (migrated := _look(temporary)[0]) != _head():
            raise BenchError(f"its stamp is then {migrated}")
        if lost := _lost(path, temporary):
            raise BenchError(f"it lacks rows of {', '.join(lost)} that the original has")
        kept = free(path.with_name(f"{path.name}.before-{stamp}"))
        try:
            os.link(path, kept)  # the name itself is never without a database
        except OSError:
            shutil.copy2(path, kept)
    warn(f"{path} was of an older MLflow and is migrated; the old one is kept as {kept.name}")


def _lost(original: Path, copy: Path) -> list[str]:
    """The tables of `KEPT` whose rows are not all in the copy, by the columns that both have, or are more there."""
    lost = []
    with closing(sqlite3.connect(copy)) as database:
        database.execute("ATTACH ? AS old", [str(original)])

        def columns(schema: str, table: str) -> list[str]:
            return [row[1] for row in database.execute(f"PRAGMA {schema}.table_info({table})")]

        def count(rows: str) -> int:
            return int(database.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])  # noqa: S608 - our names

        for table in KEPT:
            before, now = columns("old", table), columns("main", table)
            shared = ", ".join(f'"{name}"' for name in before if name in now)
            rows = f"SELECT {shared} FROM"
            if before and (
                not shared
                or count(f"old.{table}") != count(f"main.{table}")
                or count(f"({rows} old.{table} EXCEPT {rows} main.{table})")
            ):
                lost.append(table)
    return lost


def _set_aside(path: Path, warn: Callable[[str], None]) -> None:
    aside = free(path.with_name(f"{path.name}.half-made"))
    path.replace(aside)
    for suffix in ("-journal", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{aside}{suffix}")
    warn(f"{path} was left half-made by a stop and holds no run: it is set aside as {aside.name}, a new one is made")


def _other(path: Path, stamp: str | None) -> str:
    return f"{path} is a database of another MLflow (schema {stamp or 'without a stamp'}, this one's is {_head()})."


def _advice(path: Path) -> str:
    copy = path.with_name(f"copy-of-{path.name}")
    return (
        f"Try it on a copy: cp {path} {copy}, then `mlflow db upgrade {FILE}{copy}`, and use that copy in its place; "
        "or set the file aside, and the next search fills a new one from its journal."
    )
