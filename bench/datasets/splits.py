"""Which rows belong together, and who goes where: by hashes of texts, so that no source and no order matters."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TEST_SHARE = 5
"""One row in this many is for testing, where the split is ours (the paper's 8:2)."""


@dataclass(frozen=True)
class Partition:
    """Row numbers of the two sides of a split."""

    train: list[int]
    test: list[int]


def order_key(text: str, salt: str = "") -> bytes:
    """The hash that stands for a text wherever an order must not depend on where the text came from."""
    return hashlib.sha256(f"{salt}{text}".encode()).digest()


def group_rows(texts: Sequence[str], values: Sequence[str | None]) -> npt.NDArray[np.int64]:
    """Number the groups of rows, [rows], by first appearance.

    Rows with equal texts share a group, rows with an equal value share one, and so do rows that are joined by a
    chain of both. A value of None joins nothing.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for text, value in zip(texts, values, strict=True):
        if value is not None:
            parent[root(("text", text))] = root(("value", value))
    # Without values a text is its own root, and the walk is a single look-up.
    roots = [root(("text", text)) for text in texts] if parent else list(texts)
    return first_appearance(roots)


def first_appearance(values: Sequence[object]) -> npt.NDArray[np.int64]:
    """Replace values by 0, 1, … in the order in which each is first seen."""
    numbers: dict[object, int] = {}
    return np.fromiter((numbers.setdefault(value, len(numbers)) for value in values), np.int64, len(values))


def shares(counts: dict[str, int], size: int) -> dict[str, int]:
    """Divide `size` over classes in proportion to their rows (largest remainders; ties go to the larger class).

    A class never gives its last row.
    """
    total = sum(counts.values())
    given = {label: count * size // total for label, count in counts.items()}
    by_remainder = sorted(counts, key=lambda label: (-(counts[label] * size % total), -counts[label], label))
    for label in by_remainder[: size - sum(given.values())]:
        given[label] += 1
    return {label: min(share, counts[label] - 1) for label, share in given.items()}


def hold_out(texts: Sequence[str], strata: Sequence[str], groups: npt.NDArray[np.int64], salt: str = "") -> Partition:
    """Hold out one row in five by stratum, no group on both sides; both sides in the order of the rows given.

    Groups are visited in the order of their smallest text hash, and each goes to the test side if the share of
    every stratum that it holds still has room. So the sides depend on the rows alone, not on their order.
    Where no group fits, the smallest is held out, unless it is the only one.
    """
    keys = [order_key(text, salt) for text in texts]
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(row)
    visited = sorted(members.values(), key=lambda rows: min(keys[row] for row in rows))
    size = (2 * len(texts) + TEST_SHARE) // (2 * TEST_SHARE)
    room = shares(Counter(strata), size)
    test: list[int] = []
    for rows in visited:
        held = Counter(strata[row] for row in rows)
        if all(count <= room[stratum] for stratum, count in held.items()):
            test += rows
            for stratum, count in held.items():
                room[stratum] -= count
    if not test and len(visited) > 1:
        test = min(visited, key=len)
    chosen = set(test)
    return Partition([row for row in range(len(texts)) if row not in chosen], sorted(test))


def hash_order(texts: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Row numbers in the order of their texts' hashes; equal texts in the order of their labels."""
    return sorted(range(len(texts)), key=lambda row: (order_key(texts[row]), labels[row]))


def subset(texts: Sequence[str], strata: Sequence[str], size: int, seed: int) -> list[int]:
    """A stratified subset of `size` rows, in the order of the rows; a smaller one lies within a larger one.

    Each stratum is put in a seeded order, and its k-th row of n stands at (k + ½) / n of a common queue, of which the
    first `size` are taken; the first row of each stratum comes before all others, so that strata vanish only where
    `size` is less than their number. A group may be cut: what is left of it still stays in one fold.
    """
    keys = [order_key(text, f"subset {seed} ") for text in texts]
    counts = Counter(strata)
    seen: Counter[str] = Counter()
    queue = []
    for row in sorted(range(len(texts)), key=lambda row: (keys[row], row)):
        stratum = strata[row]
        rank = seen[stratum]
        seen[stratum] += 1
        place = (rank + 0.5) / counts[stratum] if rank else 0.0
        queue.append((place, -counts[stratum], stratum, row))
    return sorted(row for *_, row in sorted(queue)[:size])
