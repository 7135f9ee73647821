"""What the names in a study's tables stand for, a line each."""

from collections.abc import Mapping, Sequence

from bench.aliases import described
from bench.specs import AnyCandidate
from bench.study.cascades import CascadeRecord


def told(
    named: Mapping[str, AnyCandidate | CascadeRecord],
    width: int | None = None,
    models: Sequence[str] = (),
    most: int | None = None,
) -> tuple[dict[str, str], dict[str, str]]:
    """Name → what it stands for, and model → its name there, which is as long as `width` characters a line allow.

    A cascade names the trials of its stages, which are told too. The names stand before, two columns apart. Models'
    names follow from the order of `models`, or that in which they come up; none has more than `most` characters.
    """
    lines, stages, candidates = dict[str, str](), dict[str, AnyCandidate](), dict[str, AnyCandidate]()
    for name, each in named.items():
        if isinstance(each, CascadeRecord):
            lines[name] = each.in_words
            stages |= zip(map(str, each.trials), each.cascade.stages, strict=True)
        else:
            lines[name], candidates[name] = "", each
    candidates = stages | candidates
    names = [*lines, *(name for name in stages if name not in lines)]
    room = None if width is None else width - 2 - max(map(len, names), default=0)
    words, short = described(list(candidates.values()), room, models, most)
    by_name = dict(zip(candidates, words, strict=True))
    return {name: by_name.get(name) or lines[name] for name in names}, short
