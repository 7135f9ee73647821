"""Frozen value objects: what is being compared, written so that equal things have equal fingerprints."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from bench.errors import BenchError
from bench.registry import Registry


def fingerprint(value: Any, length: int = 16) -> str:
    """The first `length` hex digits of the SHA-256 of `value`'s JSON with sorted keys.

    Stable across processes and machines, unlike `hash()`. NaN and infinity are refused: they are not JSON, and
    nothing that identifies a computation should hold them.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


class Spec(BaseModel):
    """A frozen value that forbids unknown keys and fingerprints itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def fingerprint(self) -> str:
        """16 hex digits that identify this value."""
        return fingerprint(self.model_dump(mode="json"))


@dataclass(frozen=True)
class Hint:
    """What a form shows of a field beside its description, bounds and default; stands in the field's `Annotated`.

    A field with a description is a setting, which people give by keyword or by flag (see `bench.settings`).

    Attributes:
        keyword: The setting's name, where it is not the field's.
        unset: What None stands for, in words; also makes a setting optional whose value another place may give.
        value: What the value is, in a word, where its type says too little.
        names: What the value names, for completion: one of the tables that the command line knows.
        path: Whether the value is the path of a file or of a folder.
        repeated: Whether the option may be given several times, which adds to its values.
        commas: Whether a comma separates several values; not where one may hold a comma itself.
        duration: Whether the value is a time in seconds, which may be given as `10m`.
        variable: The environment variable that stands for the setting where it is not given.
    """

    keyword: str | None = None
    unset: str | None = None
    value: str | None = None
    names: Literal["backends", "datasets", "models", "objectives", "samplers", "spaces", "studies"] | None = None
    path: Literal["file", "folder"] | None = None
    repeated: bool = False
    commas: bool = True
    duration: bool = False
    variable: str | None = None


DEFAULT_TASK = "classification"
"""The task of a data set that names none (see `bench.tasks`). It stands in no fingerprint: it was once the only one."""

Seed = Annotated[int, Field(ge=0, le=4_000_000, description="Seed of everything random.")]
"""Its thousandfold is a 32-bit seed."""


class Source(Spec):
    """One matrix of features: a model's hidden states at one layer under one pooling.

    Layer 0 is the output of the embeddings, layer L that of the last block (after the final norm, where the
    model has one, as transformers' `hidden_states[-1]`).
    """

    model: str
    layer: Annotated[int, Field(ge=0)]
    pooling: str

    def __str__(self) -> str:
        return f"{self.model}[{self.layer}].{self.pooling}"


WEIGHT_WORDS = {"none": "unweighted", "sqrt": "sqrt-weighted", "balanced": "balanced"}
"""The ways of `ClassWeight` behind the name of a head."""


class HeadSettings(Spec):
    """What a head is made with. Each kind of head has settings of its own, whose `kind` names it.

    `later` names settings that came after others: at its default none is written, so that what identifies a head stays.
    `solved` says that projections are drawn, not learned, and that fused features are standardised again: their scale
    changes nothing, and without projections no seed does, unless what follows is `seeded`. `trained` says that labels
    are learned from; what is not trained holds texts against each other (see `bench.heads.untrained`).
    """

    later: ClassVar[frozenset[str]] = frozenset()
    solved: ClassVar[bool] = False
    seeded: ClassVar[bool] = False
    trained: ClassVar[bool] = True
    kind: str

    @property
    def revision(self) -> int:
        """Raised when heads with these settings compute something else: remembered outcomes are then not used."""
        return 0

    @property
    def short(self) -> str:
        """For people: its kind, and how classes weigh where that is not the kind's own way."""
        field, weight = type(self).model_fields.get("class_weight"), getattr(self, "class_weight", None)
        own = field is None or weight == field.default
        return self.kind if own else f"{self.kind} {WEIGHT_WORDS.get(str(weight), weight)}"

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        plain = {name for name in self.later if getattr(self, name) == type(self).model_fields[name].default}
        return {name: value for name, value in values.items() if name not in plain}


HEAD_SETTINGS: Registry[type[HeadSettings]] = Registry("head", pluggable=True)


def _head(value: Any) -> Any:
    """Settings as they were written, by the kind that they name."""
    if not isinstance(value, Mapping):
        return value
    try:
        kind = HEAD_SETTINGS[str(value.get("kind", ""))]
    except BenchError as error:
        raise ValueError(str(error)) from None
    return kind.model_validate(value)


Head = Annotated[SerializeAsAny[HeadSettings], BeforeValidator(_head)]


ClassWeight = Literal["none", "sqrt", "balanced"]
"""How much a training row counts by how frequent its class is: all rows alike, each as the inverse square root of its
class's frequency, or so that all classes count the same (scikit-learn's `class_weight`). Rows weigh 1 on average."""


TUNED: Final = "tuned"
"""In place of a number: found on the training rows of each fit."""


class MLP(HeadSettings):
    """The paper's head: one hidden layer, Adam, a fixed number of epochs (section 4).

    The paper leaves the hidden width open; 256 is ours. A learning rate may be ``"tuned"`` (see `bench.heads.mlp`).
    """

    later: ClassVar[frozenset[str]] = frozenset({"class_weight"})
    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[int, Field(ge=1)] = 256
    learning_rate: Annotated[float, Field(gt=0)] | Literal["tuned"] = 1e-4
    epochs: Annotated[int, Field(ge=1)] = 120
    batch_size: Annotated[int, Field(ge=1)] = 1024
    class_weight: ClassWeight = "none"

    @property
    def revision(self) -> int:
        """As `HeadSettings.revision`."""
        return 1 if self.learning_rate == TUNED else 0


class Logistic(HeadSettings):
    """The sceptic's control: a converged logistic regression whose C is tuned on the training rows alone."""

    later: ClassVar[frozenset[str]] = frozenset({"class_weight"})
    solved: ClassVar[bool] = True
    kind: Literal["logistic"] = "logistic"
    class_weight: ClassWeight = "none"

    @property
    def revision(self) -> int:
        """As `HeadSettings.revision`."""
        return 4


class Ridge(HeadSettings):
    """Ridge regression on one-hot classes: solved rather than trained, its penalty found on the training rows alone.

    `class_weight` is written `weighting`, as it was once called: studies and exports are known by what is written.
    """

    solved: ClassVar[bool] = True
    kind: Literal["ridge"] = "ridge"
    class_weight: ClassWeight = "sqrt"

    @property
    def revision(self) -> int:
        """As `HeadSettings.revision`."""
        return 2

    @model_validator(mode="before")
    @classmethod
    def _by_its_first_name(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "weighting" in value:
            return {"class_weight" if name == "weighting" else name: each for name, each in value.items()}
        return value

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"weighting" if name == "class_weight" else name: each for name, each in dump(self).items()}


class Centroid(HeadSettings):
    """The class whose mean is nearest (see `bench.heads.centroid`)."""

    solved: ClassVar[bool] = True
    kind: Literal["centroid"] = "centroid"


class KNN(HeadSettings):
    """The classes of so many nearest training rows, or of as many as suit the rows (see `bench.heads.knn`)."""

    solved: ClassVar[bool] = True
    kind: Literal["knn"] = "knn"
    neighbours: Annotated[int, Field(ge=1)] | Literal["tuned"] = TUNED


class KMeans(HeadSettings):
    """As many groups as there are classes, each of the texts that are nearest to its mean (MacQueen, 1967)."""

    solved: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    trained: ClassVar[bool] = False
    kind: Literal["kmeans"] = "kmeans"


class Cosine(HeadSettings):
    """Of each text the others that are nearest by the cosine."""

    solved: ClassVar[bool] = True
    trained: ClassVar[bool] = False
    kind: Literal["cosine"] = "cosine"


for _kind in (MLP, Logistic, Ridge, Centroid, KNN, KMeans, Cosine):
    HEAD_SETTINGS.add(_kind.model_fields["kind"].default, _kind)


class Candidate(Spec):
    """A pipeline to be scored: sources, how they are fused, and the head on top.

    `fusion` is ``"none"`` for a single source. `width` is the common width that sources are projected to, already
    adjusted to what the operator needs, or None where nothing is projected. Build searched candidates through
    `bench.space`, which brings them into canonical form, so that equal pipelines are equal values.
    """

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    fusion: str = "none"
    width: Annotated[int, Field(ge=1)] | None = None
    head: Head = MLP()

    @property
    def models(self) -> tuple[str, ...]:
        """The distinct models, in order of first use."""
        return tuple(dict.fromkeys(source.model for source in self.sources))

    @property
    def drawn(self) -> bool:
        """Whether a seed changes what it says of rows that it is given whole, without folds."""
        return self.head.seeded or not self.head.solved or self.width is not None

    def __str__(self) -> str:
        sources = " + ".join(map(str, self.sources))
        return sources if self.fusion == "none" else f"{self.fusion}({sources})"


class TextCandidate(Spec):
    """A pipeline without a language model: a classifier of the texts themselves (see `bench.evaluation.baselines`).

    It has no sources, and what is asked of a pipeline's sources and models is answered with none. Of one from `outside`
    there are predictions alone, which this digest stands for; it cannot be trained. A student has a `teacher`, and
    `unlabelled` is the digest of the texts without labels that it learns on, if there are any.
    """

    classifier: str
    outside: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None
    teacher: Annotated[Candidate | None, Field(exclude_if=lambda value: value is None)] = None
    unlabelled: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None

    @property
    def asked(self) -> "str | TextCandidate":
        """How an ask names it: by what answers depend on."""
        if self.teacher is not None:
            return self
        return self.classifier if self.outside is None else f"outside {self.classifier} {self.outside}"

    @property
    def sources(self) -> tuple[Source, ...]:
        """None."""
        return ()

    @property
    def models(self) -> tuple[str, ...]:
        """None."""
        return ()

    def __str__(self) -> str:
        return self.classifier


AnyCandidate = Candidate | TextCandidate
"""What can be trained, scored, exported, and be a stage of a cascade."""

Dtype = Literal["float32", "bfloat16", "float16"]
AnyDtype = Literal["auto", "float32", "bfloat16", "float16"]

Long = Literal["truncate", "head+tail", "chunks"]
"""What is read of a text that is longer than what a model reads at once: its first tokens, its first and last ones, or
all of it in windows that overlap (see `bench.views.Framing`)."""

CALL = {"from": "the call"}
"""The context under which values are validated that a person gives with a call, and no file."""


class ExtractionSettings(Spec):
    """How hidden states are to be computed; the same for every model of a study.

    `backend`, `device` and `dtype` may be ``"auto"`` and `attention` None (the backend chooses); all are resolved
    before they enter an identity. `tensor_parallel` (how many graphics processors hold one model) and
    `gpu_memory_share` (the share of their memory that may be taken) are vLLM's. `token_budget` bounds a batch and
    changes no value beyond rounding, so it is not part of one.
    """

    backend: Annotated[
        str,
        Field(description="What runs the models; auto takes what was measured to be fastest with their size."),
        Hint(names="backends"),
    ] = "transformers"
    device: Annotated[str, Field(description="cpu, cuda, cuda:1, mps, or auto.")] = "auto"
    dtype: Annotated[
        AnyDtype,
        Field(description="Of the computation; auto takes, for each model, what fits it and this machine."),
    ] = "float32"
    storage_dtype: Annotated[Dtype, Field(description="In the store.")] = "float32"
    quantization: Annotated[
        Literal["none", "8bit", "4bit"],
        Field(description="Of the weights: bitsandbytes; under vLLM, 8bit is its fp8."),
    ] = "none"
    attention: Annotated[
        str | None,
        Field(description="Attention kernel, as transformers names them."),
        Hint(unset="the backend's choice"),
    ] = None
    max_length: Annotated[int, Field(ge=1, description="In tokens.")] = 512
    long: Annotated[
        Long,
        Field(
            exclude_if=lambda value: value == "truncate",
            description="What is read of texts beyond the maximum length; forms of a space's inputs may say otherwise.",
        ),
    ] = "truncate"
    prompts: Annotated[
        tuple[str, ...],
        Field(description="Put before every text of a model, as in 'owner/name=query: '."),
        Hint(unset="each model's own", value="MODEL=TEXT", repeated=True, commas=False),
    ] = ()
    token_budget: Annotated[int | None, Field(ge=1, description="Tokens in a batch."), Hint(unset="by device")] = None
    tensor_parallel: Annotated[int, Field(ge=1, description="GPUs that hold one model together (vllm).")] = 1
    gpu_memory_share: Annotated[float, Field(gt=0, le=1, description="Share of a GPU's memory to take (vllm).")] = 0.85
    no_adopt: Annotated[
        bool,
        Field(exclude=True, description="Extract anew what earlier versions of libraries have stored, whatever it is."),
    ] = False
    """Of this call: what a study has adopted is written in its identities."""
    trust_remote_code: Annotated[
        bool, Field(exclude=True, description="Run a model's own code; its revision must be a commit hash.")
    ] = False
    """Permission is the call's alone: it is never written, and what is read never grants it."""

    @field_validator("trust_remote_code")
    @classmethod
    def _of_this_call(cls, value: bool, info: ValidationInfo) -> bool:
        """False for whatever is validated as data, as what earlier versions wrote; see `bench.settings.given`."""
        return value and info.context is CALL

    def trusting(self, granted: bool) -> Self:
        """The same under the permission of this call."""
        return self.model_copy(update={"trust_remote_code": granted})
