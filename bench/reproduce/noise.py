"""Seeded character noise: what a text suffers from hands, habits and scanners."""

import random
from collections.abc import Callable

from bench.registry import Registry
from bench.store import text_key

Noise = Callable[[str, random.Random], str]
"""(a text, where its draws come from) → the text with noise."""

NOISES: Registry[Noise] = Registry("noise")

# Keys beside each other on a QWERTY keyboard, row by row.
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {
    key: [row[place] for place in (index - 1, index + 1) if 0 <= place < len(row)]
    for row in _ROWS
    for index, key in enumerate(row)
}
# What optical character recognition takes for one another.
_CONFUSED = {
    "o": "0", "0": "o", "l": "1", "1": "l", "i": "l", "s": "5", "5": "s", "b": "6", "g": "9", "z": "2",
    "e": "c", "c": "e", "m": "rn", "w": "vv", "u": "v", "n": "ri", "d": "cl", "h": "b", "t": "f", "a": "o",
}  # fmt: skip


def noise(name: str) -> Callable[[Noise], Noise]:
    """Enter the decorated function in `NOISES`."""
    return lambda function: NOISES.add(name, function)


def apply(name: str, text: str, seed: int) -> str:
    """The text under a noise; the same for the same text and seed. A text that would be blank is left alone."""
    noisy = NOISES[name](text, random.Random(f"{seed} {name} {text_key(text).hex()}"))  # noqa: S311 - no secret
    return noisy if noisy.strip() else text


def _typos(text: str, draw: random.Random, rate: float) -> str:
    """Letters left out, doubled, swapped with the next, or a neighbouring key instead, one in 1 / `rate`."""
    letters = list(text)
    for place, letter in enumerate(letters):
        if not letter.isalpha() or draw.random() >= rate:
            continue
        kind = draw.randrange(4)
        if kind == 0:
            letters[place] = ""
        elif kind == 1:
            letters[place] = letter * 2
        elif kind == 2 and place + 1 < len(letters):
            letters[place], letters[place + 1] = letters[place + 1], letter
        else:
            letters[place] = draw.choice(_NEIGHBOURS.get(letter.lower(), [letter]))
    return "".join(letters)


@noise("typos-5%")
def typos(text: str, draw: random.Random) -> str:
    """Slips of the hand in one letter of twenty."""
    return _typos(text, draw, 0.05)


@noise("typos-15%")
def many_typos(text: str, draw: random.Random) -> str:
    """Slips of the hand in more than one letter of seven."""
    return _typos(text, draw, 0.15)


@noise("case-30%")
def case(text: str, draw: random.Random) -> str:
    """Three words of ten in capitals."""
    return " ".join(word.upper() if draw.random() < 0.3 else word for word in text.split(" "))


@noise("ocr-10%")
def ocr(text: str, draw: random.Random) -> str:
    """One of ten letters and digits that a scanner may misread, misread."""
    return "".join(
        _CONFUSED[letter.lower()] if letter.lower() in _CONFUSED and draw.random() < 0.1 else letter for letter in text
    )
