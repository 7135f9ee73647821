"""The place of a reproduction in a home: held by one process at a time, with the id that its runs bear."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import BenchError
from bench.files import atomic


@contextmanager
def held(home: Path, name: str, study: str) -> Iterator[str]:
    """Hold a study's place alone, and give the id that tells its runs from those of other homes in a store.

    Raises:
        BenchError: another process reproduces the same.
    """
    from filelock import FileLock, Timeout

    folder = home / "reproduce" / name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f".{study}.lock", timeout=0):
            yield _id(folder / f".{study}.id")
    except Timeout as error:
        raise BenchError(f"'{study}' on {name} is being reproduced by another process: wait for it.") from error


def _id(path: Path) -> str:
    with suppress(FileNotFoundError, UnicodeDecodeError):
        if re.fullmatch(r"[0-9a-f]{32}", known := path.read_text("utf-8").strip()):
            return known
    drawn = secrets.token_hex(16)
    with atomic(path) as temporary:
        temporary.write_text(drawn + "\n", encoding="utf-8")
    return drawn
