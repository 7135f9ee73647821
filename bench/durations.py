"""Times as people give and read them: `10m` is ten minutes."""

import re

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
"""Seconds of a unit, the longest first."""
_PARTS = re.compile("".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in UNITS))


def in_seconds(text: str) -> float:
    """`90`, `90s`, `10m`, `1.5h` or `1h30m` in seconds.

    Raises:
        ValueError: it is none of these.
    """
    words = text.strip().lower()
    found = _PARTS.fullmatch(f"{words}s" if words[-1:].isdigit() else words)
    if found is None or not any(found.groups()):
        raise ValueError(f"'{text}' is no duration: write 90s, 10m, 1.5h or 1h30m; a number alone is seconds")
    return sum(float(part) * unit for part, unit in zip(found.groups(), UNITS.values(), strict=True) if part)


def in_words(seconds: float) -> str:
    """Seconds for people: `42 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
