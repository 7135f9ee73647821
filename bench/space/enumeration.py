"""The candidates of a space, through the same choices that a sampler makes."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

from bench.errors import BenchError
from bench.space.candidates import BOUNDS, BUT, Shapes, choose_head, suggest
from bench.space.schema import Choices, Range, SearchSpace
from bench.specs import Candidate, HeadSettings, Source, Spec

COUNTED = 20_000
"""Larger spaces are not counted."""


class _Walk:
    """A chooser that replays a path of choices and notes the alternatives, so that all paths can be walked."""

    def __init__(self, path: Sequence[int]) -> None:
        self.path = path
        self.options: list[int] = []
        self.params: dict[str, Any] = {}

    def _pick(self, count: int) -> int:
        index = self.path[len(self.options)] if len(self.options) < len(self.path) else 0
        self.options.append(count)
        return index

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.params[name] = choices[self._pick(len(choices))]
        return self.params[name]

    def suggest_int(self, name: str, low: int, high: int) -> int:
        # from the top: the last layer, which most people would take, comes first
        self.params[name] = high - self._pick(high - low + 1)
        return int(self.params[name])

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:  # noqa: ARG002
        if low < high:
            raise _EndlessError(name)
        self.params[name] = low
        return low


class _EndlessError(Exception):
    """The space holds a continuous choice."""


class Member(Spec):
    """A candidate with the parameters that lead to it."""

    params: dict[str, Any]
    candidate: Candidate


def members(space: SearchSpace, shapes: Shapes) -> Iterator[Member]:
    """Every distinct candidate of a finite space once, fewest sources first within each choice.

    Raises:
        BenchError: the space holds a continuous choice, so that it cannot be enumerated.
    """
    seen: set[str] = set()
    path: list[int] = []
    while True:
        walk = _Walk(path)
        try:
            candidate = suggest(walk, space, shapes)
        except _EndlessError as error:
            raise BenchError(f"The space cannot be enumerated: '{error}' is continuous.") from None
        if (key := candidate.fingerprint()) not in seen:
            seen.add(key)
            yield Member(params=walk.params, candidate=candidate)
        path = [*path, *[0] * (len(walk.options) - len(path))][: len(walk.options)]
        while path and path[-1] + 1 == walk.options[len(path) - 1]:
            path.pop()
        if not path:
            return
        path[-1] += 1


def is_finite(space: SearchSpace) -> bool:
    """Whether the space can be enumerated."""
    rate = space.head.learning_rate
    return "mlp" not in space.head.kinds or not isinstance(rate, Range) or rate.low == rate.high


def surely_more(space: SearchSpace, shapes: Shapes, limit: int) -> bool:
    """Whether the space has more than `limit` candidates, told without walking through it; False where that is open.

    Counted are sets of one source of each model under each kind of head and operator, all of which are distinct.
    """
    each = []
    for shape in shapes.values():
        low, high = space.sources.depth.layers(shape.layers)
        poolings = [pooling for pooling in space.sources.pooling if pooling in shape.poolings]
        sources = {(layer, pooling) for layer in range(low, high + 1) for pooling in poolings}
        each.append(len(sources - shape.same))
    heads = len(set(space.head.kinds))
    # under a head that is solved `sum+residual` is `sum`
    operators = len({name.replace("sum+residual", "sum") for name in space.fusion.operators})
    most = min(space.sources.at_most, len(each), space.sources.total or len(each))
    # elementary symmetric polynomials: how many sets of each size there are
    sets = [1] + [0] * most
    for count_of_one in each:
        for size in range(most, 0, -1):
            sets[size] += sets[size - 1] * count_of_one
    least = min(space.sources.at_least, most)
    return sum(heads * (operators if size > 1 else 1) * sets[size] for size in range(least, most + 1)) > limit


def count(space: SearchSpace, shapes: Shapes, limit: int = COUNTED) -> int | None:
    """How many distinct candidates the space holds; None when endless or more than `limit`."""
    if not is_finite(space) or surely_more(space, shapes, limit):
        return None
    found = sum(1 for _ in islice(members(space, shapes), limit + 1))
    return found if found <= limit else None


class _Preferring:
    """A chooser that takes what is preferred where the space has it, else the highest, the first or the middle."""

    def __init__(self, preferred: Mapping[str, Any]) -> None:
        self.preferred = preferred
        self.params: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        wanted = self.preferred.get(name.partition(BUT)[0])
        self.params[name] = wanted if wanted in choices else choices[0]
        return self.params[name]

    def suggest_int(self, name: str, low: int, high: int) -> int:
        wanted = self.preferred.get(name)
        self.params[name] = max(low, min(high, high if wanted is None else round(wanted)))
        return int(self.params[name])

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        middle = (low * high) ** 0.5 if log else (low + high) / 2
        wanted = self.preferred.get(name)
        self.params[name] = max(low, min(high, middle if wanted is None else wanted))
        return float(self.params[name])


def member_of(candidate: Candidate, space: SearchSpace, shapes: Shapes) -> Member | None:
    """A candidate with the parameters that lead to it; None where the space does not have it."""
    models = [model for model in shapes if model in candidate.models]
    head = candidate.head
    preferred: dict[str, Any] = {
        "models": len(models),
        f"subset.{len(models)}": " + ".join(models),
        "head": head.kind,
        **{name: getattr(head, name, None) for name in ("hidden", "learning_rate", "class_weight")},
        "weighting": getattr(head, "class_weight", None),
    }
    # several choices may have one canonical form
    for turned, name, width in product(
        (False, True), (candidate.fusion, f"{candidate.fusion}+residual"), (candidate.width, *space.fusion.widths)
    ):
        sources = candidate.sources[::-1] if turned else candidate.sources
        chosen = {"reversed": turned, "fusion": name, "width": width} | _of_sources(sources)
        chooser = _Preferring(preferred | chosen)
        if suggest(chooser, space, shapes) == candidate:
            return Member(params=chooser.params, candidate=candidate)
    return None


def _of_sources(sources: Sequence[Source]) -> dict[str, Any]:
    """The choices that lead to sources, by every name that a choice may have."""
    found: dict[str, Any] = {}
    for model in {source.model for source in sources}:
        own = [source for source in sources if source.model == model]
        found |= {f"sources.{model}{bound}": len(own) for bound in ("", *BOUNDS)}
        for index, source in enumerate(own):
            suffix = f"{model}.{index + 1}" if index else model
            found |= {f"layer.{suffix}": source.layer, f"pooling.{suffix}": source.pooling}
    return found


def singles(space: SearchSpace, shapes: Shapes) -> Iterator[Member]:
    """Each model alone as its authors use it, as far as the space allows it: tried before anything else.

    That is at its deepest layer, by its own pooling.
    """
    if space.sources.at_least > 1:
        return
    for model in shapes:
        chooser = _Preferring(
            {"models": 1, "subset.1": model, f"sources.{model}": 1, f"pooling.{model}": shapes[model].own_pooling}
        )
        candidate = suggest(chooser, space, shapes)
        yield Member(params=chooser.params, candidate=candidate)


def typical_heads(space: SearchSpace) -> list[HeadSettings]:
    """One head of each kind that the space has, where numbers may be chosen those in the middle."""
    heads = space.head
    middle = {"hidden": _middle(heads.hidden), "learning_rate": _middle(heads.learning_rate)}
    return [choose_head(_Preferring({"head": kind, **middle}), heads) for kind in heads.kinds]


def _middle(setting: float | str | Choices | Range) -> float | None:
    """None where there is nothing to choose."""
    if isinstance(setting, Choices):
        return setting.choices[len(setting.choices) // 2]
    if isinstance(setting, Range):
        return (setting.low * setting.high) ** 0.5 if setting.log else (setting.low + setting.high) / 2
    return None
