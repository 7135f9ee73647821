"""A command that is stopped at its n-th change of the file system, in a process of its own.

Changes are what Python is told of by audit events (files opened to be written, made, renamed, deleted), and statements
and commits of a database. The processes are forked from one that has imported everything, so that each starts at once.
"""

import errno
import multiprocessing
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from formats.make import make_model

FULL = "full disk"
STOPS: Mapping[str, int] = {name: getattr(signal, name) for name in ("SIGKILL", "SIGTERM", "SIGINT")}
"""How a command is stopped, beside a full disk, which it meets from then on."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ROOM = {"open", "os.mkdir", "os.link", "os.symlink"}
"""What a full disk refuses; names can be changed and files deleted."""
PRELOADED = (
    "bench.api",
    "bench.cli.main",
    "bench.gate.check",
    "bench.packaging.export",
    "bench.report.report",
    "bench.reproduce.run",
    "bench.study.run",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "sklearn.linear_model",
    "transformers.models.bert.modeling_bert",
)


@dataclass
class Changes:
    """Counts what is changed below `folder`, and stops the process at change `last` by `how`."""

    folder: str
    how: str
    last: int
    count: int = 0

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """A hook of `sys.addaudithook`."""
        if event == "open":
            path, _, flags = arguments
            changes = isinstance(path, str | bytes | os.PathLike) and bool(flags & WRITES)
            places = [(path, -1)] if changes else []
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.truncate"):
            places = [(arguments[0], arguments[-1] if event != "os.truncate" else -1)]
        elif event in ("os.rename", "os.link", "os.symlink"):
            places = [(arguments[1], arguments[-1])]
        else:
            return
        if any(_absolute(*place).startswith(self.folder) for place in places):
            self._change(lambda: self._refuse(event))

    def statement(self, *arguments: Any) -> None:
        """A listener to what is executed or committed on a database of SQLAlchemy's."""
        text = arguments[2] if len(arguments) > 2 else "COMMIT"
        if not text.lstrip().upper().startswith(("SELECT", "PRAGMA")):
            self._change(lambda: self._refuse_statement(text))

    def _change(self, refuse: Callable[[], None]) -> None:
        self.count += 1
        if self.how == FULL:
            if self.count >= self.last:
                refuse()
        elif self.count == self.last:
            os.kill(os.getpid(), STOPS[self.how])

    def _refuse(self, event: str) -> None:
        if event in ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _refuse_statement(self, text: str) -> None:
        from sqlalchemy.exc import OperationalError

        raise OperationalError(text, None, sqlite3.OperationalError("database or disk is full"))


def _absolute(name: str | bytes | os.PathLike[str], folder: int | None) -> str:
    path = Path(os.fsdecode(name))
    if not path.is_absolute():
        # a tree is deleted through the number of its open folder
        path = (Path.cwd() if folder in (None, -1) else Path(f"/proc/self/fd/{folder}").readlink()) / path
    return os.path.normpath(path)


@dataclass(frozen=True)
class Ran:
    """How a command ended: its exit status (minus the signal that killed it), what it printed, and its changes."""

    status: int
    out: str
    err: str
    changes: int


@dataclass(frozen=True)
class Running:
    """A command that was started."""

    words: Sequence[str]
    process: ForkServerProcess
    said: Path
    receiver: Any

    def ended(self, seconds: float = 600) -> Ran:
        """How it ended, once it has."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"{self.words} hangs"
        changes = 0
        with suppress(EOFError):  # it was killed
            changes = self.receiver.recv()
        out, err = (Path(f"{self.said}.{name}").read_text() for name in ("out", "err"))
        return Ran(self.process.exitcode, out, err, changes)


def start(folder: Path, words: Sequence[str], how: str = "", last: int = 0, said: str = "said") -> Running:
    """Start `bench` with `words` in `folder`, with its store and runs there; `how` and `last` as `Changes` has them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, __name__])
    receiver, sender = context.Pipe(duplex=False)
    target = folder.parent / f"{folder.name}.{said}"
    process = ForkServerProcess(target=_child, args=(folder, list(words), how, last, target, sender))
    process.start()
    sender.close()
    return Running(words, process, target, receiver)


def run(folder: Path, words: Sequence[str], how: str = "", last: int = 0) -> Ran:
    """The same, to its end."""
    return start(folder, words, how, last).ended()


def _child(folder: Path, words: list[str], how: str, last: int, said: Path, sender: Any) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    from bench.cli.main import run as bench

    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{said}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(folder)
    for name in ("MLFLOW_TRACKING_URI", "BENCH_TRACEBACK"):
        os.environ.pop(name, None)
    os.environ |= {"BENCH_STORE": str(folder / "store"), "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}
    sys.argv = ["bench", *words]
    _settle(folder)
    changes = Changes(f"{folder.resolve()}{os.sep}", how, last)
    event.listen(Engine, "before_cursor_execute", changes.statement)
    event.listen(Engine, "commit", changes.statement)
    sys.addaudithook(changes.audit)
    try:
        bench()
    finally:
        changes.last = sys.maxsize
        sender.send(changes.count)


def _settle(folder: Path) -> None:
    """What a busy machine would decide is decided here; a model is there that is converted, from a package."""
    import hashlib
    from functools import partial

    from costs import made_up, made_up_text

    import bench.extraction
    import bench.figures.figure
    import bench.gate.measure
    import bench.models.package
    import bench.packaging.timing
    import bench.preparation
    import bench.study.baselines
    import bench.tracking.mlflow.patience
    from bench.cost import ModelCost
    from bench.models.rows import MODELS, ModelRow

    def cost(backend: Any, *_: Any, **__: Any) -> ModelCost:
        return made_up(backend.model.name, 10.0, 20.0, 30.0)

    # the engine that draws takes seconds to start
    bench.figures.figure._drawn = lambda _: "<svg/>"
    bench.figures.figure.Figure.png = lambda *_, **__: b"PNG"  # type: ignore[method-assign]
    bench.gate.measure.relative_latency = lambda *_: 1.0

    def convert(_: Path, target: Path) -> None:
        make_model(target)

    bench.preparation.measure = cost
    if "ray" in sys.argv:
        bench.extraction.UNIT_ROWS = 8  # portions for several actors
    # dearer than any model: were TF-IDF cheap, it would stand on the front alone, and nothing else be checked
    bench.study.baselines.measure_text = partial(made_up_text, ms=40.0)
    bench.packaging.timing.SECONDS = 0.0
    bench.tracking.mlflow.patience.PATIENCE = 0.0  # a disk stays full
    bench.models.package._convert = convert
    gguf = folder / "tiny.gguf"
    bench.models.package.package_files = lambda _: [gguf]
    row = ModelRow(
        name="packed",
        packages=("packed",),
        sha256=hashlib.sha256(gguf.read_bytes()).hexdigest() if gguf.exists() else "",
        kind="embedding",
        architecture="BertModel",
        layers=2,
        width=16,
        parameters=1,
        licence="none",
        causal=False,
    )
    MODELS._entries["packed"] = row
