"""A tracking store that does not answer is asked again for a while, with words, and then given up in words."""

import errno
import logging
import re
import sqlite3
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from bench.addresses import concealed, redacted
from bench.errors import BenchError
from bench.progress import Progress
from bench.tracking.mlflow.process import unbroken, variables
from bench.tracking.record import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")
PATIENCE = 120.0
"""Seconds for which a store is asked again: a server's restart and a lock of a minute are waited for."""
PAUSE = 2.0
FIRST, EVERY = 10.0, 30.0
"""Seconds after which the person who waits is told so, and between that and the next time."""
HOPELESS = ("readonly", "read-only", "no such table", "no such column", "certificate")
"""What no waiting mends, though it comes as an error of the connection."""


@dataclass
class Wait:
    """One wait for a store: since when, why as far as that is known, and whether anybody was told."""

    store: str
    reason: str = ""
    told: bool = False
    since: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self.since

    @property
    def words(self) -> str:
        """The same for a person."""
        reason = f" ({self.reason})" if self.reason else ""
        return f"tracking store {self.store} has not answered for {round(self.seconds)} s{reason}"


class Patience:
    """Asks the store at `address`.

    A store that was given up is asked once each time until it answers again: what ends because of it ends soon.
    """

    def __init__(self, address: str, progress: Progress) -> None:
        self._address = address
        self._progress = progress
        self._given_up = False

    def ask(self, call: Callable[[], T]) -> T:
        """What `call` gives, which asks the store and may be repeated.

        Raises:
            TrackingError: the store refuses, or has not answered for `PATIENCE` seconds.
        """
        with self.telling() as wait:
            while True:
                try:
                    found = unbroken(quietly(call))
                except BenchError:
                    raise
                except Exception as error:
                    wait.reason = reason_of(error, self._address)
                    if not _passes(error):
                        raise TrackingError(
                            f"The tracking store {wait.store} refuses what is written or asked: {wait.reason}."
                        ) from error
                    left = 0.0 if self._given_up else PATIENCE - wait.seconds
                    if left <= 0:
                        self._given_up = True
                        raise TrackingError(f"The {wait.words}.") from error
                    time.sleep(min(PAUSE, left))
                else:
                    self._given_up = False
                    if wait.told:
                        self._progress.say("the tracking store answers again")
                    return found

    @contextmanager
    def telling(self) -> Iterator["Wait"]:
        """Tell how long what is within has lasted, now and then, even where it blocks."""
        wait, ended = Wait(redacted(self._address)), threading.Event()

        def watch() -> None:
            pause = FIRST
            while not ended.wait(pause):
                wait.told, pause = True, EVERY
                self._progress.warn(f"the {wait.words}; it is asked again")

        thread = threading.Thread(target=watch, name="bench-tracking", daemon=True)
        thread.start()
        try:
            yield wait
        finally:
            ended.set()
            thread.join()

    def give_up(self) -> None:
        """Ask once only from now on, until the store answers: somebody waits for the end."""
        self._given_up = True


class PatientClient:
    """MLflow's client, each of whose calls is asked with patience."""

    def __init__(self, client: "MlflowClient", patience: Patience) -> None:
        self._client, self._patience = client, patience

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *args, **kwargs: self._patience.ask(lambda: method(*args, **kwargs))


def quietly(call: Callable[[], T]) -> Callable[[], T]:
    """The same call, with nothing of what `quiet` keeps back."""

    def called() -> T:
        with quiet():
            return call()

    return called


@contextmanager
def quiet() -> Iterator[None]:
    """Let MLflow's client neither retry for minutes without a word, nor print addresses or SQL.

    Within `unbroken`: an interruption between taking logging's lock and giving it back would stop every other thread.
    """
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with (
            variables(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_HTTP_REQUEST_TIMEOUT="60"),
            # a user who wants these lines cannot have them: they hold the address, and break --json
            variables(over=True, MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true"),
        ):
            yield
    finally:
        logger.setLevel(before)


def reason_of(error: BaseException, address: str) -> str:
    """An error of MLflow's as part of a sentence: one line, no SQL, nothing secret; of a chain its cause alone."""
    text = str(error).partition("[SQL:")[0].partition("(Background on")[0]
    if caused := re.search(r"\(Caused by \w+\((.*)\)\)", text):
        text = re.sub(r"^.*[)>]: ", "", caused[1]).strip("'\"")
    return textwrap.shorten(concealed(text, address), 200, placeholder=" …").rstrip(".") or type(error).__name__


def _passes(error: Exception) -> bool:
    """Whether the same call may succeed in a while."""
    from mlflow.exceptions import MlflowException

    said = str(error).partition("[SQL:")[0].lower()  # behind that come names and values of ours
    if any(word in said for word in HOPELESS):
        return False
    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
        return status >= 500 or status in (408, 429)
    if isinstance(error, OSError):
        # requests' errors are of this kind too, and have no number
        return error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ETIMEDOUT, errno.EAGAIN)
    return isinstance(error, sqlite3.OperationalError)
