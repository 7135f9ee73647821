"""The one error that is meant for a person, and words that such sentences share."""

import difflib
import errno
from collections.abc import Iterable, Sequence
from pathlib import Path


class BenchError(Exception):
    """Something that the user can mend: a sentence that says what is wrong, where, and what to do.

    Raised anywhere below the CLI and caught once, in `bench.cli.main`, which prints it without a traceback and
    exits with `exit_code`.

    A sentence names a setting by its Python keyword in backquotes, "`max_length`" or "`dtype='float32'`", as do
    warnings and progress. It is kept in that form; the command line alone shows it as an option (`bench.cli.words`).
    """

    exit_code = 2


def in_words(error: Exception) -> str:
    """An error within a sentence: one for people as it stands, another behind its kind and on one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, BenchError) else f"{type(error).__name__}: {text}"


def unreadable(path: Path, error: OSError) -> BenchError:
    """The words for a file of the store that is there and cannot be read, which does not make it a damaged one."""
    denied = error.errno in {errno.EACCES, errno.EPERM}
    remedy = (
        "ask its owner for the right to read it, or set BENCH_STORE to a store of your own"
        if denied
        else "check the disk that it lies on, then run the same command again"
    )
    return BenchError(f"{path} cannot be read ({error.strerror or error}). It is left as it is: {remedy}.")


def check_format(path: Path | str, found: object, known: int) -> None:
    """Raise BenchError where a file of the store is of a newer format than the `known` one."""
    if str(found).isdecimal() and int(str(found)) > known:
        raise BenchError(
            f"{path} is of format {found}, and this bench reads {known}: a newer one has written it. It is left as it "
            "is: install the newer bench, or set BENCH_STORE to another store."
        )


def nearest(name: str, choices: Iterable[str]) -> str:
    """A clause that points from an unknown name to the nearest valid one, or lists them all when none is near."""
    known = sorted(set(choices))
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.5):
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known)}" if known else "none is known"


def listed(names: Sequence[str]) -> str:
    """Names in quotes, long ones cut, of many the first ones."""
    shown = ", ".join(repr(name if len(name) <= 40 else name[:39] + "…") for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def counted(count: int, noun: str) -> str:
    """So many of a noun."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{count:,} {noun if count == 1 else plural}"
