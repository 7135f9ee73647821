"""What asks the program to end ends it as Ctrl-C does: what is under way is closed, and a line says how to go on."""

import signal
from types import FrameType

INTERRUPTED = 130


class EndedError(KeyboardInterrupt):
    """SIGTERM or SIGHUP came: from a batch system at the end of its time, or from a terminal that is closed."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def heed() -> None:
    """Let SIGTERM and SIGHUP interrupt; where they are ignored, as under nohup, they stay so."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> None:
    raise EndedError(number)


def status_of(error: BaseException) -> int:
    """128 and the signal's number, as shells have it; click wraps what interrupts a command."""
    cause = error if isinstance(error, EndedError) else error.__cause__
    return 128 + cause.number if isinstance(cause, EndedError) else INTERRUPTED
