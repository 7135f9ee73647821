"""Writing that is whole or absent: what is made has a temporary name first, which says who makes it."""

import functools
import json
import os
import platform
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

QUIET = 86_400.0
"""Seconds without a change after which another machine's writing is given up: an export may compute for hours."""

_NAME = re.compile(r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}\.tmp")
# An earlier bench wrote files `.NAME.HEX.tmp`, and safetensors a private one of its own beside them.
_EARLIER = re.compile(r"\.(?P<name>.+)\.\w+\.tmp|\.tmp\w{6}")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield an empty file under a temporary name; on success it is flushed to disk and takes `path`'s name at once.

    A reader sees the old file, or the whole new one. A kill leaves at most a temporary folder, which nothing reads and
    the next writer of `path` deletes.

    Raises:
        OSError: it cannot be written; where the system does not say which file, as of a full disk, it is `path`.
    """
    try:
        with _new(path) as temporary:
            yield temporary
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


@contextmanager
def _new(path: Path) -> Iterator[Path]:
    with temporary_folder(path) as folder:
        temporary = folder / "new"
        # As public as the file that it replaces, or as any other new file. The umask need not be asked for: it can only
        # be read by setting it.
        temporary.touch()
        public = (path if path.exists() else temporary).stat().st_mode
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(public)  # safetensors puts a private file of its own in its place
        temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically."""
    with atomic(path) as temporary:
        # half a surrogate pair, as in paths that are no UTF-8, becomes JSON's own escape
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`, on its disk, to make in it what takes that name; it is deleted at the end.

    It is a folder for files too: libraries put files of their own beside the one that they are given. What killed
    writers of the same `path` have left is deleted first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(_temporaries(path))
    folder = path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporaries(path: Path) -> list[Path]:
    prefix = f".{path.name}."
    with os.scandir(path.parent) as entries:
        return [Path(each) for each in entries if each.name.startswith(prefix) and is_temporary(each.name)]


def is_temporary(name: str) -> bool:
    """Whether a file or folder of that name was to become another."""
    return _EARLIER.fullmatch(name) is not None or _NAME.fullmatch(name) is not None


def abandoned(path: Path) -> bool:
    """Whether nobody writes to a temporary file or folder any more.

    Of this machine's the name tells the process, which is there or not. Where another machine, which shares the folder,
    or an earlier bench has made it, it is abandoned when nothing in it has changed for `QUIET` seconds.
    """
    match = _NAME.fullmatch(path.name)
    if match and match["machine"] == _machine():
        import psutil

        return not psutil.pid_exists(int(match["process"]))
    changed = [0.0]
    inside = (Path(folder, name) for folder, folders, files in os.walk(path) for name in (*folders, *files))
    for each in (path, *inside):
        with suppress(OSError):
            changed.append(each.lstat().st_mtime)
    return time.time() - max(changed) > QUIET


@functools.cache
def _machine() -> str:
    """What tells whose process ids are meant.

    Machines may share a name, containers of one machine each have ids of their own, and a restart gives them anew.
    """
    namespace = start = ""
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    with suppress(OSError):
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{zlib.crc32(f'{platform.node()} {namespace} {start}'.encode()):08x}"


def sweep(folder: Path) -> None:
    """Delete what killed writers have left in a folder that holds nothing else."""
    _clear(folder.iterdir())


def _clear(found: Iterable[Path]) -> None:
    for left in found:
        if abandoned(left):
            with suppress(OSError):  # it is a colleague's, and stands in nobody's way
                delete(left)


def final(path: Path) -> Path:
    """The path that a temporary folder, or the file in it, is to become; any other as it is."""
    for each in (path, *path.parents):
        if match := _NAME.fullmatch(each.name):
            return each.with_name(match["name"])
    return path


def delete(path: Path) -> None:
    """Delete a file, a link or a folder with all that is in it; that it is gone already is no error.

    Raises:
        OSError: it cannot be deleted.
    """
    if path.is_dir() and not path.is_symlink():
        with suppress(FileNotFoundError):
            shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
