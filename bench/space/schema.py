"""What a space file may say."""

from collections.abc import Sequence
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

from bench.cascade import MOST_STAGES
from bench.errors import nearest
from bench.fusion import FUSIONS
from bench.pooling import POOLINGS
from bench.registry import Registry
from bench.space.objectives import Objectives
from bench.space.samplers import SAMPLERS
from bench.specs import HEAD_SETTINGS, TUNED, ClassWeight, Hint, Ridge, Spec
from bench.views import Form, expanded, parted, usual

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
FormName = Annotated[str, Field(pattern=r"^[\w-]+$")]
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


def _form_of_rate(value: Any) -> str:
    return TUNED if value == TUNED else _form(value)


Rate = Annotated[
    Annotated[Annotated[float, Field(gt=0)], Tag("number")]
    | Annotated[Choices, Tag("choices")]
    | Annotated[Range, Tag("range")]
    | Annotated[Literal["tuned"], Tag(TUNED)],
    Discriminator(_form_of_rate),
]
FORMS, FORMED = {"number", "choices", "range", TUNED}, {"hidden", "learning_rate"}


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

    `total` bounds the sources of a candidate over all its models; None leaves it to the other bounds. `deepest` bounds
    the layers of single models, by number, beside `depth`.
    """

    models: Annotated[tuple[str, ...], Field(min_length=1)]
    at_least: Annotated[int, Field(ge=1)] = 1
    at_most: Annotated[int, Field(ge=1)] = 3
    layers_per_model: Annotated[int, Field(ge=1, le=MOST_LAYERS)] = 1
    total: Annotated[int | None, Field(ge=1)] = None
    depth: Depth = Depth()
    deepest: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
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

    def layers(self, model: str, last: int) -> tuple[int, int]:
        """The lowest and the highest layer of a model whose last layer is `last`."""
        low, high = self.depth.layers(last)
        high = min(high, self.deepest.get(model, self.deepest.get(parted(model)[0], high)))
        return min(low, high), high


class Fusion(Spec):
    """Which operators, and the widths that sources may be projected to (empty: the smallest source's)."""

    operators: Annotated[tuple[OperatorName, ...], Field(min_length=1)] = ("concat",)
    widths: tuple[Annotated[int, Field(ge=4)], ...] = ()


class Heads(Spec):
    """Which heads, and what is searched of the settings of the MLP (a plain number is fixed) and of all.

    `class_weight` holds the ways in which training rows may weigh by their class, see `bench.specs.ClassWeight`; None
    leaves each kind of head its own (ridge's is `sqrt`, others' `none`). `weighting` is what earlier spaces have in its
    place, for ridge alone. A `learning_rate` may be "tuned": found on the training rows of each fit.
    """

    kinds: Annotated[tuple[HeadName, ...], Field(min_length=1)] = ("mlp",)
    hidden: WholeOrChoices = 256
    learning_rate: Rate = 1e-4
    epochs: Annotated[int, Field(ge=1)] = 120
    batch_size: Annotated[int, Field(ge=1)] = 1024
    class_weight: Annotated[tuple[ClassWeight, ...], Field(min_length=1)] | None = None
    weighting: Annotated[tuple[ClassWeight, ...], Field(min_length=1)] = (Ridge().class_weight,)

    def class_weights(self, kind: str) -> tuple[ClassWeight, ...]:
        """What a kind of head may weigh classes by; nothing where it has no such setting."""
        setting = HEAD_SETTINGS[kind].model_fields.get("class_weight")
        if setting is None:
            return ()
        if self.class_weight is not None:
            return tuple(dict.fromkeys(self.class_weight))
        return self.weighting if kind == "ridge" else (setting.default,)

    @property
    def searched(self) -> bool:
        """Whether any setting of a head is, not only its kind."""
        several = any(len(set(_numbers(each))) > 1 for each in (self.hidden, self.learning_rate))
        return ("mlp" in self.kinds and several) or any(len(set(self.class_weights(kind))) > 1 for kind in self.kinds)

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what was added later where it stands at its default: spaces name studies."""
        values: dict[str, Any] = dump(self)
        for name in ("class_weight", "weighting"):
            if getattr(self, name) == Heads.model_fields[name].default:
                values.pop(name, None)  # a dump may leave out what is None
        return values

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.class_weight is not None and self.weighting != Heads.model_fields["weighting"].default:
            raise ValueError("weighting is what class_weight was called for ridge alone: give class_weight")
        return self

    @field_validator("hidden")
    @classmethod
    def _whole(cls, value: int | Choices | Range) -> int | Choices | Range:
        if any(number < 1 or number != int(number) for number in _numbers(value)):
            raise ValueError("hidden widths are whole numbers from 1 on")
        return value

    @field_validator("learning_rate")
    @classmethod
    def _positive(cls, value: float | str | Choices | Range) -> float | str | Choices | Range:
        if any(number <= 0 for number in _numbers(value)):
            raise ValueError("learning rates are above 0")
        return value


def _numbers(setting: float | str | Choices | Range) -> tuple[float, ...]:
    if isinstance(setting, Choices):
        return setting.choices
    if isinstance(setting, str):
        return ()
    return (setting.low, setting.high) if isinstance(setting, Range) else (setting,)


class Evaluation(Spec):
    """How often a candidate is scored: folds and repetitions in the search, fresh seeds in the confirmation.

    `race` is the error rate at which candidates are given up early, see `bench.evaluation.protocol.Protocol`.
    """

    folds: Annotated[int, Field(ge=2)] = 5
    repetitions: Annotated[int, Field(ge=1)] = 3
    confirm: Annotated[int, Field(ge=1)] = 5
    race: Annotated[float | None, Field(ge=0, le=0.5)] = None


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


class Cascades(Spec):
    """Whether cascades of scored candidates are put beside the front (see `bench.study.cascades`).

    Attributes:
        enabled: False makes none.
        stages: How many candidates answer in turn at most.
        at_most: How many cascades are confirmed at most, those that add most to the front.
    """

    enabled: bool = False
    stages: Annotated[int, Field(ge=2, le=MOST_STAGES)] = 2
    at_most: Annotated[int, Field(ge=1)] = 6


class Sampler(Spec):
    """Who proposes candidates: a name, see `bench.space.samplers`."""

    name: Annotated[
        SamplerName,
        Field(description="Who proposes."),
        Hint(keyword="sampler", unset="the space's", names="samplers"),
    ] = "tpe"


class SearchSpace(Spec):
    """A file of `search_spaces/`.

    `inputs` are forms of the input by name (see `bench.views`): every model is tried under each, as `MODEL:FORM`.
    Without any, a model reads a row as it is; one of several fields each alone, and all joined.
    """

    version: Literal[1]
    description: str = ""
    sources: Sources
    inputs: Annotated[dict[FormName, Form], Field(exclude_if=lambda value: not value)] = Field(default_factory=dict)
    fusion: Fusion = Fusion()
    head: Heads = Heads()
    protocol: Evaluation = Evaluation()
    objectives: Objectives = Objectives()
    screen: Screen = Screen()
    cascade: Cascades = Cascades()
    sampler: Sampler = Sampler()

    @field_validator("inputs")
    @classmethod
    def _distinct(cls, value: dict[str, Form]) -> dict[str, Form]:
        seen: dict[Form, str] = {}
        for name, form in value.items():
            if seen.setdefault(form, name) != name:
                raise ValueError(f"'{name}' is the same form as '{seen[form]}'")
        return value

    def over(self, columns: Sequence[str]) -> Self:
        """The space over rows with these columns of texts: its forms, and every model under each of them."""
        forms = self.inputs or usual(columns)
        sources = self.sources.model_copy(update={"models": expanded(self.sources.models, forms)})
        return self.model_copy(update={"inputs": forms, "sources": sources}) if forms else self

    @model_validator(mode="after")
    def _scorable(self) -> Self:
        if self.protocol.repetitions < 2 and any(each.is_spread for each in self.objectives.each):
            raise ValueError("an objective that is a spread needs protocol.repetitions of 2 or more")
        return self

    @model_validator(mode="after")
    def _fusible(self) -> Self:
        if all(FUSIONS[name].compared for name in self.fusion.operators):
            raise ValueError("operators that compare two fields fuse nothing else: add another, such as concat")
        return self

    @model_validator(mode="after")
    def _mixable(self) -> Self:
        for name in self.fusion.operators:
            if FUSIONS[name].weighted and self.sources.at_most > 1:
                raise ValueError(
                    f"'{name}' mixes layers of one model: it goes with sources.at_most = 1 and layers_per_model = 2"
                )
        return self
