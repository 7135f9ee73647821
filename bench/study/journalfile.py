"""The file of a study: Optuna's journal, an operation a line."""

import json
import os
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.files import atomic, free
from bench.front import Direction

if TYPE_CHECKING:
    import optuna

Entry = dict[str, Any]
"""An operation of Optuna's."""


class Log:
    """Optuna's journal as a backend of its storage: read once, then kept in step with what is appended to the file.

    One process has the file open for writing, and holds a lock. `read` is how many operations were read.
    """

    def __init__(self, entries: Iterable[Entry], path: Path) -> None:
        self._ahead = deque(entries)
        self._path = path
        self.read = 0

    def read_logs(self, log_number_from: int) -> Iterator[Entry]:  # noqa: ARG002 - Optuna reads on where it was
        """Operations that were not read yet."""
        while self._ahead:
            self.read += 1
            yield self._ahead.popleft()

    def append_logs(self, logs: Sequence[Mapping[str, Any]]) -> None:
        """Write operations to the file; where there is no room, nothing of them stays.

        Raises:
            OSError: the file cannot be written.
        """
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        content = "".join(f"{line}\n" for line in lines).encode()
        with self._path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                while content:
                    content = content[file.write(content) :]
                os.fsync(file.fileno())
            except OSError as error:
                with suppress(OSError):
                    file.truncate(before)
                raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._ahead.extend(json.loads(line) for line in lines)


def cut(path: Path) -> None:
    """Cut a last line that a kill has torn."""
    if path.exists():
        with path.open("rb+") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)
                os.fsync(file.fileno())


def set_aside(path: Path, content: bytes) -> Path:
    """Put `content` in the place of a damaged file, which is kept beside it under the name that is given back."""
    aside = free(path.with_name(f"{path.name}.damaged"))
    for place, bytes_ in ((aside, path.read_bytes()), (path, content)):
        with atomic(place) as temporary:
            temporary.write_bytes(bytes_)
    return aside


def create(path: Path, name: str, directions: Sequence[Direction]) -> "optuna.Study":
    """A new study in a new file."""
    import optuna

    return optuna.create_study(study_name=name, storage=storage_of(Log((), path)), directions=directions)


def storage_of(log: Log) -> Any:
    """Optuna's storage of what a log holds; it raises whatever an operation makes it raise."""
    import optuna
    from optuna.storages import JournalStorage

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return JournalStorage(log)  # type: ignore[arg-type]  # a backend by its methods: Optuna is loaded late
