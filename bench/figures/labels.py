"""Words beside points of a figure, put where they lie on nothing else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

CHARACTER, LINE = 6.3, 13.0
"""Pixels that a character of a label and a line of it take, about, at 11 pixels."""
GAP = 3.0
Align = Literal["left", "center", "right"]


class Box(NamedTuple):
    """A rectangle in pixels from the upper left corner."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Whether the two have a point in common."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    @classmethod
    def around(cls, x: float, y: float, radius: float) -> "Box":
        """The square around a mark."""
        return cls(x - radius, y - radius, x + radius, y + radius)


@dataclass(frozen=True)
class Label:
    """Words for the point at `x`, `y` in pixels, whose mark reaches `radius` far; `key` tells whose they are."""

    words: str
    x: float
    y: float
    radius: float
    key: int


@dataclass(frozen=True)
class PlacedLabel:
    """A label with the offset of its words' middle line from its point, and how they are aligned there."""

    label: Label
    dx: float
    dy: float
    align: Align

    @property
    def box(self) -> Box:
        """The room that the words take."""
        width = CHARACTER * len(self.label.words)
        x, y = self.label.x + self.dx, self.label.y + self.dy
        left = x - {"left": 0.0, "center": width / 2, "right": width}[self.align]
        return Box(left, y - LINE / 2, left + width, y + LINE / 2)


def place(labels: Iterable[Label], taken: Iterable[Box], size: tuple[float, float]) -> list[PlacedLabel]:
    """The labels that find room in a figure of that width and height, in their order: the first choose first.

    Around its point a label tries eight places, then the same farther away; one that would lie on something `taken`, on
    another label or outside of the figure everywhere is left out.
    """
    boxes, frame, found = list(taken), Box(0, 0, *size), list[PlacedLabel]()
    for label in labels:
        for each in _places(label):
            box = each.box
            inside = box.left >= frame.left and box.right <= frame.right and box.top >= 0 and box.bottom <= size[1]
            if inside and not any(box.meets(other) for other in boxes):
                boxes.append(box)
                found.append(each)
                break
    return found


def _places(label: Label) -> Sequence[PlacedLabel]:
    """Where its words may stand, the best first: above to the left, where a front leaves room, then around."""
    found = []
    for away in (label.radius + GAP, label.radius + GAP + LINE):
        up = away + LINE / 2
        found += [
            PlacedLabel(label, -GAP, -up, "right"),
            PlacedLabel(label, 0, -up, "center"),
            PlacedLabel(label, GAP, -up, "left"),
            PlacedLabel(label, -away, 0, "right"),
            PlacedLabel(label, away, 0, "left"),
            PlacedLabel(label, -GAP, up, "right"),
            PlacedLabel(label, 0, up, "center"),
            PlacedLabel(label, GAP, up, "left"),
        ]
    return found
