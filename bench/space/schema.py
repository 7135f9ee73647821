"""What a space file may say."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from bench.errors import BenchError, nearest
from bench.front import Direction
from bench.fusion import FUSIONS
from bench.measures import LATENCY, MEASURES, Measure, Objective, objective, objective_names
from bench.pooling import POOLINGS
from bench.registry import Registry
from bench.space.samplers import SAMPLERS
from bench.specs import DEFAULT_TASK, HEAD_SETTINGS, Hint, Ridge, Spec, Weighting
from bench.tasks import TASKS

MOST_LAYERS = 3
"""Layers of one model in a candidate, poolings included."""
Share = Annotated[float, Field(ge=0, le=1)]


def _known(registry: Registry[Any]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in registry:
            raise ValueError(f"there is no {registry.kind} '{name}': {nearest(name, registry)}")
        return name

    return AfterValidator(check)


def _listed(registry: Registry[Any]) -> WithJsonSchema:
    """Names for editors, which complete them."""
    return WithJsonSchema({"type": "string", "enum": [*registry]})


PoolingName = Annotated[str, _known(POOLINGS), _listed(POOLINGS)]
OperatorName = Annotated[str, _known(FUSIONS), _listed(FUSIONS)]
HeadName = Annotated[str, _known(HEAD_SETTINGS), _listed(HEAD_SETTINGS)]
SamplerName = Annotated[str, _known(SAMPLERS), _listed(SAMPLERS)]


class Choices(Spec):
    """One of a list of numbers."""

    choices: Annotated[tuple[float, ...], Field(min_length=1)]


class Range(Spec):
    """A number between two bounds, on a linear or a logarithmic scale."""

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high or (self.log and self.low <= 0):
            raise ValueError("low must not be above high, and must be above 0 where log = true")
        return self


def _form(value: Any) -> str:
    """Which form a setting has: a table with `choices`, another table (a range), or a plain number."""
    if isinstance(value, dict):
        return "choices" if "choices" in value else "range"
    if isinstance(value, Choices):
        return "choices"
    return "range" if isinstance(value, Range) else "number"


WholeOrChoices = Annotated[
    Annotated[Annotated[int, Field(ge=1)], Tag("number")]
    | Annotated[Choices, Tag("choices")]
    | Annotated[Range, Tag("range")],
    Discriminator(_form),
]
Number = Annotated[
    Annotated[Annotated[float, Field(gt=0)], Tag("number")]
    | Annotated[Choices, Tag("choices")]
    | Annotated[Range, Tag("range")],
    Discriminator(_form),
]
FORMS, FORMED = {"number", "choices", "range"}, {"hidden", "learning_rate"}


class Depth(Spec):
    """Which layers of each model, as a share of its depth: 0 the embeddings, 1 the last block."""

    low: Share = 0.0
    high: Share = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self

    def layers(self, last: int) -> tuple[int, int]:
        """The lowest and the highest layer of a model whose last layer is `last`."""
        return round(self.low * last), round(self.high * last)


class Sources(Spec):
    """Which models may take part, how many at once, and what is taken from each.

    `total` bounds the sources of a candidate over all its models; None leaves it to the other bounds.
    """

    models: Annotated[tuple[str, ...], Field(min_length=1)]
    at_least: Annotated[int, Field(ge=1)] = 1
    at_most: Annotated[int, Field(ge=1)] = 3
    layers_per_model: Annotated[int, Field(ge=1, le=MOST_LAYERS)] = 1
    total: Annotated[int | None, Field(ge=1)] = None
    depth: Depth = Depth()
    pooling: Annotated[tuple[PoolingName, ...], Field(min_length=1)] = ("mean", "last")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.at_least > self.at_most:
            raise ValueError("at_least must not be above at_most")
        if self.total is not None and self.total < self.at_least:
            raise ValueError("total must not be below at_least: every model is a source")
        if len(set(self.models)) < len(self.models):
            raise ValueError("models must not repeat")
        return self


class Fusion(Spec):
    """Which operators, and the widths that sources may be projected to (empty: the smallest source's)."""

    operators: Annotated[tuple[OperatorName, ...], Field(min_length=1)] = ("concat",)
    widths: tuple[Annotated[int, Field(ge=4)], ...] = ()


class Heads(Spec):
    """Which heads, and what is searched of the settings of the MLP (a plain number is fixed) and of ridge.

    `weighting` holds the ways in which ridge may weigh rows by their class, see `bench.specs.Ridge`. Other heads have
    defaults.
    """

    kinds: Annotated[tuple[HeadName, ...], Field(min_length=1)] = ("mlp",)
    hidden: WholeOrChoices = 256
    learning_rate: Number = 1e-4
    epochs: Annotated[int, Field(ge=1)] = 120
    batch_size: Annotated[int, Field(ge=1)] = 1024
    weighting: Annotated[tuple[Weighting, ...], Field(min_length=1)] = (Ridge().weighting,)

    @property
    def searched(self) -> bool:
        """Whether any setting of a head is, not only its kind."""
        several = any(len(set(_numbers(each))) > 1 for each in (self.hidden, self.learning_rate))
        return ("mlp" in self.kinds and several) or ("ridge" in self.kinds and len(set(self.weighting)) > 1)

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what was added later where it stands at its default: spaces name studies."""
        values: dict[str, Any] = dump(self)
        if self.weighting == Heads.model_fields["weighting"].default:
            del values["weighting"]
        return values

    @field_validator("hidden")
    @classmethod
    def _whole(cls, value: int | Choices | Range) -> int | Choices | Range:
        if any(number < 1 or number != int(number) for number in _numbers(value)):
            raise ValueError("hidden widths are whole numbers from 1 on")
        return value

    @field_validator("learning_rate")
    @classmethod
    def _positive(cls, value: float | Choices | Range) -> float | Choices | Range:
        if any(number <= 0 for number in _numbers(value)):
            raise ValueError("learning rates are above 0")
        return value


def _numbers(setting: float | Choices | Range) -> tuple[float, ...]:
    if isinstance(setting, Choices):
        return setting.choices
    return (setting.low, setting.high) if isinstance(setting, Range) else (setting,)


class Evaluation(Spec):
    """How often a candidate is scored: folds and repetitions in the search, fresh seeds in the confirmation."""

    folds: Annotated[int, Field(ge=2)] = 5
    repetitions: Annotated[int, Field(ge=1)] = 3
    confirm: Annotated[int, Field(ge=1)] = 5


def _objective(name: str) -> str:
    try:
        return objective(name).name
    except BenchError:
        raise ValueError(f"there is no '{name}': {nearest(name, objective_names())}") from None


ObjectiveName = Annotated[
    str,
    AfterValidator(_objective),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": objective_names()},
                {"type": "string", "pattern": r"^\w+\..+_\w+$", "description": "f1.CLASS_mean: of one class alone"},
            ]
        }
    ),
]


class Objectives(Spec):
    """What is to be traded off, see `bench.measures`."""

    maximize: tuple[ObjectiveName, ...] = ("f1_floor",)
    minimize: tuple[ObjectiveName, ...] = ("latency_ms",)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError("name at least one objective, and each only once")
        # pruning relies on it, and nobody wants the opposite
        for each, direction in zip(self.each, self.directions, strict=True):
            if each.direction != direction:
                raise ValueError(f"{each.name} is to be {each.direction}d")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """All objectives, those to maximize first."""
        return (*self.maximize, *self.minimize)

    @property
    def each(self) -> tuple[Objective, ...]:
        """All objectives, in the order of `names`."""
        return tuple(map(objective, self.names))

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The direction of each of `names`."""
        up: Direction = "maximize"
        down: Direction = "minimize"
        return (up,) * len(self.maximize) + (down,) * len(self.minimize)

    @property
    def scores(self) -> tuple[Objective, ...]:
        """Those that take training to know."""
        return tuple(each for each in self.each if not each.is_cost)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The scores that are kept of every candidate: those of any study, and those that are searched for."""
        return tuple(dict.fromkeys([*self.kept, *(each.measure for each in self.scores)]))

    @property
    def task(self) -> str:
        """Of which kind of labels the scores are."""
        return next((each.measure.task for each in self.scores), DEFAULT_TASK)

    @property
    def kept(self) -> tuple[Measure, ...]:
        """The measures of any study of that task; intervals and tests are about the first of them."""
        return tuple(MEASURES[name] for name in TASKS[self.task].measures)

    @property
    def score(self) -> Objective:
        """What a study is about: its first score."""
        return next(iter(self.scores), objective(f"{self.kept[0].name}_floor"))

    @property
    def cost(self) -> Objective:
        """What is paid for it: the last objective, or the latency where that is the score itself."""
        return Objective(LATENCY) if self.each[-1] == self.score else self.each[-1]

    @property
    def single(self) -> Objective:
        """By what the best single model is the best: the first score that is no spread, else the task's in the mean."""
        return next((each for each in self.scores if not each.is_spread), objective(f"{self.kept[0].name}_mean"))


class Screen(Spec):
    """Whether representations are scored in closed form before any candidate is tried (see `bench.screening`).

    Attributes:
        enabled: False searches as the sampler proposes from the beginning.
        beam: How many sets of sources are grown by one more, of single sources and again of pairs.
        rows: Of more training rows a seeded sample by class is looked at.
        first: How many candidates of it are tried before the sampler proposes.
    """

    enabled: bool = False
    beam: Annotated[int, Field(ge=1)] = 4
    rows: Annotated[int, Field(ge=20)] = 800
    first: Annotated[int, Field(ge=0)] = 60


class Sampler(Spec):
    """Who proposes candidates: a name, see `bench.space.samplers`."""

    name: Annotated[
        SamplerName,
        Field(description="Who proposes."),
        Hint(keyword="sampler", unset="the space's", names="samplers"),
    ] = "tpe"


class SearchSpace(Spec):
    """A file of `search_spaces/`."""

    version: Literal[1]
    description: str = ""
    sources: Sources
    fusion: Fusion = Fusion()
    head: Heads = Heads()
    protocol: Evaluation = Evaluation()
    objectives: Objectives = Objectives()
    screen: Screen = Screen()
    sampler: Sampler = Sampler()

    @model_validator(mode="after")
    def _scorable(self) -> Self:
        if self.protocol.repetitions < 2 and any(each.is_spread for each in self.objectives.each):
            raise ValueError("an objective that is a spread needs protocol.repetitions of 2 or more")
        return self

    @model_validator(mode="after")
    def _mixable(self) -> Self:
        for name in self.fusion.operators:
            if FUSIONS[name].weighted and self.sources.at_most > 1:
                raise ValueError(
                    f"'{name}' mixes layers of one model: it goes with sources.at_most = 1 and layers_per_model = 2"
                )
        return self
