"""From choices to a candidate in canonical form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

from bench.errors import BenchError
from bench.fusion import FUSIONS, common_width
from bench.pooling import offered, plainest
from bench.space.schema import MOST_LAYERS, Choices, Heads, Range, SearchSpace
from bench.specs import HEAD_SETTINGS, Candidate, HeadSettings, Source
from bench.views import parted


class ModelShape(Protocol):
    """What the space needs to know of a model."""

    @property
    def layers(self) -> int: ...  # noqa: D102 - the index of the last layer
    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def poolings(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def own_pooling(self) -> str | None: ...  # noqa: D102 - its authors', where they say
    @property
    def same(self) -> frozenset[tuple[int, str]]: ...  # noqa: D102 - layers and poolings that tell no texts apart


@dataclass(frozen=True)
class Shape:
    """A model's shape, known without the model."""

    layers: int
    width: int
    poolings: tuple[str, ...]
    own_pooling: str | None = None
    same: frozenset[tuple[int, str]] = frozenset()


Shapes = Mapping[str, ModelShape]
BOUNDS = tuple(f".of-{most}" for most in range(1, MOST_LAYERS + 1))
"""What is added to the name of a choice of so many at most, where the space leaves less than it does elsewhere."""
BUT = ".but-"
"""Stands between the name of a choice and what it lacks where it lacks something: samplers take a name for one list."""


class Chooser(Protocol):
    """The part of `optuna.Trial` that a space asks for."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...  # noqa: D102
    def suggest_int(self, name: str, low: int, high: int) -> int: ...  # noqa: D102
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...  # noqa: D102


def suggest(chooser: Chooser, space: SearchSpace, shapes: Shapes) -> Candidate:
    """A candidate of the space in canonical form.

    The encoding is conditional: the number of models, then a subset of that size, then layer and pooling of just
    those models. No draw is empty or too large, and what is not used is not proposed. Where the order of sources
    matters, the space's own order and its reverse are proposed, which for two sources is every order.
    """
    models = _subset(chooser, space, tuple(shapes))
    sources: list[Source] = []
    for after, model in zip(reversed(range(len(models))), models, strict=True):
        most = space.sources.layers_per_model
        if space.sources.total is not None:
            # each of the models that follow is a source as well
            most = min(most, space.sources.total - len(sources) - after)
        sources += _sources(chooser, space, model, shapes[model], most)
    head = choose_head(chooser, space.head)
    if len(sources) == 1:
        return Candidate(sources=tuple(sources), head=head)
    lacking = [] if _comparable(sources) else [each for each in space.fusion.operators if FUSIONS[each].compared]
    able = [each for each in space.fusion.operators if each not in lacking]
    name = chooser.suggest_categorical("fusion" + (BUT + "+".join(lacking) if lacking else ""), able)
    operator = FUSIONS[name]
    if not operator.commutative and chooser.suggest_categorical("reversed", (False, True)):
        sources.reverse()
    requested = (
        chooser.suggest_categorical("width", (0, *space.fusion.widths))
        if (operator.aligned and space.fusion.widths)
        else 0
    )
    return canonical(Candidate(sources=tuple(sources), fusion=name, width=requested or None, head=head), shapes)


def _subset(chooser: Chooser, space: SearchSpace, models: tuple[str, ...]) -> tuple[str, ...]:
    most = min(space.sources.at_most, len(models), space.sources.total or len(models))
    least = min(space.sources.at_least, most)
    size = least if least == most else chooser.suggest_int("models", least, most)
    subsets = {" + ".join(subset): subset for subset in combinations(models, size)}
    names = list(subsets)
    return subsets[names[0] if len(names) == 1 else chooser.suggest_categorical(f"subset.{size}", names)]


def _sources(chooser: Chooser, space: SearchSpace, model: str, shape: ModelShape, most: int) -> list[Source]:
    low, high = space.sources.layers(model, shape.layers)
    poolings = [pooling for pooling in space.sources.pooling if offered(pooling, shape.poolings)]
    if not poolings:
        raise BenchError(
            f"{model} has none of the space's poolings ({', '.join(space.sources.pooling)}): "
            f"add one of {', '.join(shape.poolings)}, or leave the model out."
        )
    while low < high and all((low, pooling) in shape.same for pooling in poolings):
        low += 1
    count = 1
    if most > 1 and high > low:
        # a parameter of its own for each bound: samplers take a name for one distribution
        bound = "" if most == space.sources.layers_per_model else BOUNDS[most - 1]
        count = chooser.suggest_int(f"sources.{model}{bound}", 1, most)
    found: dict[Source, None] = {}
    for index in range(count):
        suffix = f"{model}.{index + 1}" if index else model
        layer = low if low == high else chooser.suggest_int(f"layer.{suffix}", low, high)
        lacking = [pooling for pooling in poolings if (layer, pooling) in shape.same]
        choices = [pooling for pooling in poolings if pooling not in lacking] or poolings
        name = f"pooling.{suffix}" + (BUT + "+".join(lacking) if lacking else "")
        pooling = choices[0] if len(choices) == 1 else chooser.suggest_categorical(name, choices)
        found[Source(model=model, layer=layer, pooling=plainest(layer, pooling))] = None
    return list(found)


def choose_head(chooser: Chooser, heads: Heads) -> HeadSettings:
    """The head of a candidate."""
    kind = heads.kinds[0] if len(heads.kinds) == 1 else chooser.suggest_categorical("head", heads.kinds)
    settings: dict[str, Any] = {}
    if kind == "mlp":
        settings = {
            "hidden": _hidden(chooser, heads),
            "learning_rate": _number(chooser, "learning_rate", heads.learning_rate),
            "epochs": heads.epochs,
            "batch_size": heads.batch_size,
        }
    if ways := heads.class_weights(kind):
        # samplers take a name for one list: earlier spaces have one for ridge alone
        name = "weighting" if heads.class_weight is None else "class_weight"
        settings["class_weight"] = ways[0] if len(ways) == 1 else chooser.suggest_categorical(name, ways)
    return HEAD_SETTINGS[kind].model_validate(settings)


def _hidden(chooser: Chooser, heads: Heads) -> int:
    if isinstance(heads.hidden, Range):
        return chooser.suggest_int("hidden", int(heads.hidden.low), int(heads.hidden.high))
    return int(_number(chooser, "hidden", heads.hidden))


def _number(chooser: Chooser, name: str, setting: float | str | Choices | Range) -> float | str:
    if isinstance(setting, Choices):
        return float(chooser.suggest_categorical(name, setting.choices))
    if isinstance(setting, Range):
        return chooser.suggest_float(name, setting.low, setting.high, log=setting.log)
    return setting


def _comparable(sources: Sequence[Source]) -> bool:
    """Whether there are two, of one model under two forms of its input."""
    models = [source.model for source in sources]
    return len(models) == len(set(models)) == 2 and len({parted(model)[0] for model in models}) == 1


def canonical(candidate: Candidate, shapes: Shapes) -> Candidate:
    """The one form of all candidates that are the same pipeline.

    - One source needs no operator and no width.
    - A mean of layers or poolings that is of one is that one: of four layers, at the embeddings.
    - Operators that commute have their sources in order of model, layer and pooling.
    - Concatenation and late fusion project nothing; elsewhere the width is the one that the operator really gets:
      the smallest source's unless another is asked for, rounded down to what the operator needs.
    - Two fields are compared at one layer and pooling, the first source's.
    - Under a head that is solved (all but the MLP) the fused features are standardised again, which undoes a rescaling,
      and the residual of a sum is nothing else: `sum+residual` is `sum`.

    Raises:
        BenchError: the operator cannot fuse these sources.
    """
    sources = tuple(
        source.model_copy(update={"pooling": plainest(source.layer, source.pooling)}) for source in candidate.sources
    )
    if len(sources) == 1:
        return candidate.model_copy(update={"sources": sources, "fusion": "none", "width": None})
    name = candidate.fusion
    if name == "sum+residual" and candidate.head.solved:
        name = "sum"
    operator = FUSIONS[name]
    if operator.commutative:
        sources = tuple(sorted(sources, key=lambda source: (source.model, source.layer, source.pooling)))
    if operator.compared:
        if not _comparable(sources):
            raise BenchError(f"'{name}' compares two fields under one model, and not {' + '.join(map(str, sources))}.")
        place = {"layer": sources[0].layer, "pooling": sources[0].pooling}
        sources = tuple(source.model_copy(update=place) for source in sources)
    width = common_width(operator, [shapes[source.model].width for source in sources], candidate.width)
    return candidate.model_copy(update={"sources": sources, "fusion": name, "width": width})
