"""Labels that look alike: one class written in two ways is folded where the difference cannot be seen."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from bench.datasets.columns import Rows

SHOWN = 5


def fold(sides: Sequence[Rows]) -> tuple[list[Rows], list[str]]:
    """The same rows with one spelling for labels that only invisible characters, normal forms or blanks tell apart.

    Both sides count together. Labels that differ by case alone may be meant, and are only named. A label without such
    a twin stays as it is written.

    Returns:
        The rows, and a warning for each kind that occurs, with code points and counts.
    """
    counts = Counter(label for rows in sides for label in rows.labels)
    twins = _groups(counts, _visible)
    chosen = {label: visible for visible, labels in twins.items() for label in labels}
    warnings = []
    if twins:
        pairs = [_pair(visible, labels, counts) for visible, labels in twins.items()]
        warnings.append(f"labels that look alike were taken for one: {_listed(pairs)}.")
    folded = [
        rows if chosen.keys().isdisjoint(rows.labels) else replace(rows, labels=[chosen.get(x, x) for x in rows.labels])
        for rows in sides
    ]
    after = Counter(label for rows in folded for label in rows.labels)
    if cases := _groups(after, str.casefold):
        pairs = [", ".join(f"{label!r} ({after[label]:,} rows)" for label in sorted(each)) for each in cases.values()]
        warnings.append(f"labels that differ by case alone are kept apart: {_listed(pairs)}.")
    return folded, warnings


def _visible(label: str) -> str:
    """The label as a reader sees it: composed, without format characters, blanks single and none outside."""
    plain = "".join(sign for sign in unicodedata.normalize("NFC", label) if unicodedata.category(sign) != "Cf")
    return re.sub(r"\s+", " ", plain).strip() or label


def _groups(labels: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        found[key(label)].append(label)
    return {common: each for common, each in found.items() if len(each) > 1}


def _pair(visible: str, labels: Sequence[str], counts: Counter[str]) -> str:
    spelled = ", ".join(f"{_codes(label, labels)} ({counts[label]:,} rows)" for label in sorted(labels))
    return f"{visible!r} of {spelled}"


def _codes(label: str, others: Sequence[str]) -> str:
    """The label with the code points that the others lack written out."""
    common = set.intersection(*(set(other) for other in others))
    return "".join(sign if sign in common and sign != " " else f"<U+{ord(sign):04X}>" for sign in label)


def _listed(pairs: Sequence[str]) -> str:
    more = f"; and {len(pairs) - SHOWN:,} more" if len(pairs) > SHOWN else ""
    return "; ".join(pairs[:SHOWN]) + more
