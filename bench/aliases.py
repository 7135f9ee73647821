"""Candidates in one line, with names of models that are as long as there is room for."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from bench.cascade import Cascade
from bench.models.rows import MODELS
from bench.specs import AnyCandidate, TextCandidate
from bench.views import parted

LENGTHS = (24, 16, 12, 8, 4)
"""So many characters an alias has at most, as many as there is room for."""


def aliases(names: Iterable[str], most: int | None = None) -> dict[str, str]:
    """Model → a short name that no other of them has: whole parts of its own name, of `most` characters at most.

    A model of the table has the one that stands there. None leaves all names as they are.
    """
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        alias = name if most is None else _short(name, most)
        number = 1
        while alias in found.values():
            number += 1
            alias = f"{_short(name, most or len(name))}-{number}"
        found[name] = alias
    return found


def _short(name: str, most: int) -> str:
    if len(name) <= most:
        return name
    model, form = parted(name)
    if form is not None:
        kept = form[: max(1, most - 2)]
        return f"{_short(model, max(1, most - len(kept) - 1))}:{kept}"
    last = (MODELS[name].alias if name in MODELS else "") or name.rstrip("/").rpartition("/")[2]
    parts = re.split(r"([-_. ])", last)
    while len(parts) > 1 and len("".join(parts)) > most:
        parts = parts[:-2]
    return "".join(parts)[:most]


def described(
    subjects: Sequence[AnyCandidate | Cascade],
    width: int | None = None,
    models: Sequence[str] = (),
    most: int | None = None,
) -> tuple[list[str], dict[str, str]]:
    """Each subject in one line, of `width` characters at most if names can be made so short, and the models' names.

    Names follow from the order of `models`, or that in which the subjects have them; none has more than `most`
    characters.
    """
    models = [*models, *(model for subject in subjects for model in subject.models)]
    for limit in (most, *(length for length in LENGTHS if most is None or length < most)):
        names = aliases(models, limit)
        words = [in_words(subject, names.__getitem__) for subject in subjects]
        if width is None or max(map(len, words), default=0) <= width:
            break
    return words, names


def in_words(subject: AnyCandidate | Cascade, name: Callable[[str], str] = str) -> str:
    """``concat(a[0].mean + b[6].last), ridge``; of a cascade its stages, and the margin below which it goes on."""
    if isinstance(subject, Cascade):
        stages = list(map(partial(in_words, name=name), subject.stages))
        later = (f" → below {limit:.2g} {stage}" for limit, stage in zip(subject.thresholds, stages[1:], strict=True))
        return stages[0] + "".join(later)
    if isinstance(subject, TextCandidate):
        if subject.teacher is not None:
            taught = f"taught by {in_words(subject.teacher, name)}"
            return taught if subject.unlabelled is None else f"{taught}, on more texts too"
        return f"{subject}, {'without a language model' if subject.outside is None else 'predictions from outside'}"
    sources = " + ".join(f"{name(each.model)}[{each.layer}].{each.pooling}" for each in subject.sources)
    fused = sources if subject.fusion == "none" else f"{subject.fusion}({sources})"
    return f"{fused}, {subject.head.short}"
