"""Which rows of a file are for training and which for testing, remembered, so that the file may grow.

A split by quotas places every row anew when a row is added: one that was tested on would be trained on. So what was
split once keeps its side, known by a hash of each text, and a later row is placed by a hash that no other row changes.
"""

import base64
import hashlib
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import Field

from bench.datasets.columns import Rows
from bench.datasets.splits import TEST_SHARE
from bench.specs import Spec

KEY_BYTES = 8
MOST_ROWS = 200_000
"""Of larger files nothing is remembered: the keys would be what makes a journal large."""


class NamedTexts(Protocol):
    """Rows of a side."""

    @property
    def ids(self) -> Sequence[str]:
        """What each is called."""

    @property
    def texts(self) -> Sequence[str]:
        """One a row."""


class Sides(Spec):
    """Who was placed where when the file was first split: a key a row, in the order of the rows, joined in base64.

    `ids` are what the rows are called by side. `closed` names the sides that take no later rows. `salt` is that of the
    hash which places these.
    """

    train: str
    test: str
    ids: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    closed: tuple[str, ...] = ()
    salt: str = ""

    @classmethod
    def of(cls, sides: Mapping[str, NamedTexts], closed: Iterable[str] = (), salt: str = "") -> "Sides | None":
        """Of both sides' rows; None where there are too many."""
        if sum(len(rows.texts) for rows in sides.values()) > MOST_ROWS:
            return None
        return cls(
            train=joined(sides["train"].texts),
            test=joined(sides["test"].texts),
            ids={side: tuple(rows.ids) for side, rows in sides.items()},
            closed=tuple(closed),
            salt=salt,
        )

    def keys(self, side: str) -> list[bytes]:
        """The keys of a side's rows, in order."""
        return parted(getattr(self, side))

    def name(self, side: str, place: int) -> str:
        """What a row is called."""
        return self.ids[side][place] if side in self.ids else f"{side} row {place + 1}"


@dataclass(frozen=True)
class Placed:
    """Rows of a file that was split before.

    Attributes:
        known: By side, the rows that were there when it was split, in that order.
        later: By side, those that came since, in the file's order.
        gone: By side, what those are called that are no longer there.
        closed: The sides that take no later rows.
    """

    known: dict[str, Rows]
    later: dict[str, Rows]
    gone: dict[str, list[str]]
    closed: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether the file has other rows than it had."""
        return any(map(len, self.later.values())) or any(self.gone.values())


def key_of(text: str) -> bytes:
    """What a text is known by."""
    return hashlib.sha256(text.encode()).digest()[:KEY_BYTES]


def place(found: Mapping[str, Rows], sides: Sides) -> Placed:
    """Give each row its side; `found` holds one side where the split is ours, and both where the file's owner split.

    A later row goes with its text or its group, where that is on a side already. Otherwise the salted hash of its
    group, or of its text where it is on its own, puts one in `splits.TEST_SHARE` on the test side.
    """
    pools = {side: _by_key(rows.texts) for side, rows in found.items()}
    known: dict[str, Rows] = {}
    gone: dict[str, list[str]] = {}
    of_text: dict[bytes, str] = {}
    of_group: dict[str, str] = {}
    for side in ("train", "test"):
        source = side if side in found else "train"
        places, gone[side] = list[int](), list[str]()
        for number, key in enumerate(sides.keys(side)):
            of_text[key] = side
            if pools[source][key]:
                places.append(pools[source][key].popleft())
            else:
                gone[side].append(sides.name(side, number))
        known[side] = found[source].take(places)
        of_group |= {group: side for group in known[side].groups if group is not None}
    later: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    for source, pool in pools.items():
        rows = found[source]
        for row in sorted(row for left in pool.values() for row in left):
            side = source if len(found) > 1 else _side(rows, row, sides.salt, of_text, of_group)
            later[side].append((source, row))
    return Placed(known, {side: _taken(found, places) for side, places in later.items()}, gone, sides.closed)


def _side(rows: Rows, row: int, salt: str, of_text: Mapping[bytes, str], of_group: Mapping[str, str]) -> str:
    text, group = rows.texts[row], rows.groups[row]
    if (side := of_text.get(key_of(text))) is not None:
        return side
    if group is not None and group in of_group:
        return of_group[group]
    drawn = hashlib.sha256(f"{salt}{text if group is None else group}".encode()).digest()
    # the first eight bytes as a share of all that they could be
    return "test" if int.from_bytes(drawn[:8]) * TEST_SHARE < 1 << 64 else "train"


def _taken(found: Mapping[str, Rows], places: Sequence[tuple[str, int]]) -> Rows:
    rows = Rows([], [], [], [])
    for source in found:
        rows += found[source].take([row for name, row in places if name == source])
    return rows


def _by_key(texts: Sequence[str]) -> dict[bytes, deque[int]]:
    places: dict[bytes, deque[int]] = defaultdict(deque)
    for row, text in enumerate(texts):
        places[key_of(text)].append(row)
    return places


def joined(texts: Iterable[str]) -> str:
    """The keys of texts, one behind the other, in base64."""
    return base64.b64encode(b"".join(map(key_of, texts))).decode()


def parted(keys: str) -> list[bytes]:
    """The keys that were `joined`."""
    content = base64.b64decode(keys)
    return [content[start : start + KEY_BYTES] for start in range(0, len(content), KEY_BYTES)]
