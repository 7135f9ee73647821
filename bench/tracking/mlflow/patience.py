"""A tracking store that does not answer is asked again for a while, with words, and then given up in words."""

import errno
import logging
import sqlite3
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from bench.errors import BenchError
from bench.progress import Progress
from bench.tracking.addresses import concealed, redacted
from bench.tracking.mlflow.process import interruptible, variables
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
        started, reason = time.monotonic(), ""

        def words() -> str:
            seconds = round(time.monotonic() - started)
            return f"the tracking store {redacted(self._address)} does not answer since {seconds} s" + (
                f" ({reason})" if reason else ""
            )

        with quiet(), _telling(lambda: self._progress.warn(f"{words()}; it is asked again")) as told:
            while True:
                try:
                    with interruptible():
                        found = call()
                except BenchError:
                    raise
                except Exception as error:
                    reason = reason_of(error, self._address)
                    if not _passes(error):
                        raise TrackingError(
                            f"The tracking store {redacted(self._address)} refuses what is written or asked: {reason}."
                        ) from error
                    left = 0.0 if self._given_up else started + PATIENCE - time.monotonic()
                    if left <= 0:
                        self._given_up = True
                        raise TrackingError(f"T{words()[1:]}.") from error
                    time.sleep(min(PAUSE, left))
                else:
                    self._given_up = False
                    if told():
                        self._progress.say("the tracking store answers again")
                    return found

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


@contextmanager
def quiet() -> Iterator[None]:
    """Let MLflow's client neither retry for minutes without a word, nor print addresses or SQL."""
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


@contextmanager
def _telling(tell: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Call `tell` while what is within lasts, even where it blocks; gives whether that was done."""
    ended, told = threading.Event(), threading.Event()

    def watch() -> None:
        wait = FIRST
        while not ended.wait(wait):
            told.set()
            tell()
            wait = EVERY

    thread = threading.Thread(target=watch, name="bench-tracking", daemon=True)
    thread.start()
    try:
        yield told.is_set
    finally:
        ended.set()
        thread.join()


def reason_of(error: BaseException, address: str) -> str:
    """An error of MLflow's as part of a sentence: one line, no SQL, nothing secret."""
    text = str(error).partition("[SQL:")[0].partition("(Background on")[0]
    return textwrap.shorten(concealed(text, address), 200, placeholder=" …").rstrip(".") or type(error).__name__


def _passes(error: Exception) -> bool:
    """Whether the same call may succeed in a while."""
    from mlflow.exceptions import MlflowException

    if any(word in str(error).lower() for word in HOPELESS):
        return False
    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
        return status >= 500 or status in (408, 429)
    if isinstance(error, OSError):
        # requests' errors are of this kind too, and have no number
        return error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ETIMEDOUT, errno.EAGAIN)
    return isinstance(error, sqlite3.OperationalError)
