"""The one error that is meant for a person."""

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Something that the user can mend: a sentence that says what is wrong, where, and what to do.

    Raised anywhere below the CLI and caught once, in `bench.cli.main`, which prints it without a traceback and
    exits with `exit_code`.
    """

    exit_code = 2


def nearest(name: str, choices: Iterable[str]) -> str:
    """A clause that points from an unknown name to the nearest valid one, or lists them all when none is near."""
    known = sorted(set(choices))
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.5):
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known)}" if known else "none is known"
