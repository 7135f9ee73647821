"""What makes a study the same study, and how two of them differ."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from bench.datasets.request import DatasetRequest
from bench.durations import in_seconds
from bench.errors import BenchError
from bench.evaluation.protocol import Protocol
from bench.executors.settings import Workers
from bench.settings import given, refuse_unknown, settings_of
from bench.space.files import load as load_space
from bench.space.objectives import Asked
from bench.space.schema import Cascades, Heads, Sampler, Screen, SearchSpace
from bench.space.serving import serving
from bench.specs import ClassWeight, ExtractionSettings, Hint, Spec, fingerprint
from bench.tasks import TASKS
from bench.views import expanded

PAPER_RUNS = 5
"""The paper's runs of a candidate (section 4)."""


class Constraints(Spec):
    """Limits on a candidate; None is no limit."""

    max_latency_ms: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False, description="Limit on a candidate's extraction, for a text."),
        Hint(value="MS"),
    ] = None
    max_memory_gb: Annotated[
        float | None, Field(gt=0, allow_inf_nan=False, description="Limit on a candidate's memory."), Hint(value="GB")
    ] = None

    def violation(self, costs: Mapping[str, float]) -> float:
        """By which share a candidate is over the limit that it breaks most; 0 where it keeps all of them."""
        limits = ((name.removeprefix("max_"), limit) for name, limit in self if limit is not None)
        return max((costs[name] / limit - 1 for name, limit in limits if costs[name] > limit), default=0.0)


def _seconds(value: Any) -> Any:
    return in_seconds(value) if isinstance(value, str) else value


class HeadOverride(Spec):
    """What a call says of a space's heads, in whose place it then stands in the space itself."""

    class_weight: Annotated[
        ClassWeight | None,
        Field(description="How classes weigh in the training of all heads: alike by row, by a root, or by class."),
        Hint(unset="the space's"),
    ] = None

    def on(self, space: SearchSpace) -> SearchSpace:
        """The space with it."""
        if self.class_weight is None:
            return space
        heads = space.head.model_dump(exclude={"class_weight", "weighting"}) | {"class_weight": (self.class_weight,)}
        return space.model_copy(update={"head": Heads.model_validate(heads)})


class SearchRequest(Workers):
    """All that a user asks of a search. `models` None takes those of the space that can be had and fit."""

    dataset: DatasetRequest
    space: SearchSpace
    space_name: Annotated[
        str,
        Field(description="A file of search_spaces/, or a path."),
        Hint(keyword="space", value="NAME|FILE", names="spaces"),
    ] = "default"
    models: Annotated[
        tuple[str, ...] | None,
        Field(min_length=1, description="Models by name, hub id or folder."),
        Hint(unset="those of the space that can be had and fit", names="models", repeated=True),
    ] = None
    trials: Annotated[int, Field(ge=1, description="Distinct candidates to try.")] = 50
    study: Annotated[
        str | None,
        Field(description="Name of the study; the same name goes on with it."),
        Hint(unset="from the settings", names="studies"),
    ] = None
    extraction: ExtractionSettings = ExtractionSettings()
    protocol: Protocol = Protocol()
    constraints: Constraints = Constraints()
    time_budget: Annotated[
        float | None,
        # behind the bounds, which are then those of the number within
        Field(gt=0, allow_inf_nan=False, description="Stop searching after 90s, 10m, 1h30m; the front is confirmed."),
        BeforeValidator(_seconds),
        Hint(value="DURATION", duration=True),
    ] = None
    wave: Annotated[
        int | None,
        Field(
            ge=1,
            description="Candidates that are proposed at once and raced against what was scored before; part of the "
            "study, which is the same with any number of workers.",
        ),
        Hint(unset="the study's; in a new one 1, under ray twice the workers"),
    ] = None
    lazy: Annotated[
        bool | None,
        Field(description="Extract all models on few rows first, and whole only what can still matter."),
        Hint(unset="where extraction is estimated to take more than 30 minutes"),
    ] = None
    against: Annotated[
        tuple[str, ...] | None,
        Field(min_length=1, description="Predictions from outside: a table of id, label or scores, ms."),
        Hint(value="NAME=FILE", repeated=True, commas=False, unset="none"),
    ] = None
    keep: Annotated[
        tuple[str, ...] | None,
        Field(min_length=1, description="Models of which a lazy search drops nothing."),
        Hint(names="models", repeated=True, unset="none"),
    ] = None


SEARCH_SETTINGS = {
    **settings_of(DatasetRequest),
    **settings_of(SearchRequest, *(name for name in SearchRequest.model_fields if name not in Workers.model_fields)),
    **settings_of(Workers),
    **settings_of(Protocol, "name", "validation_above", "seed"),
    **settings_of(Asked),
    **settings_of(Sampler),
    **settings_of(HeadOverride),
    **settings_of(Constraints),
    **settings_of(ExtractionSettings),
}
"""All that may be set of a search, by keyword; the rest of the protocol is the space file's."""


def search_request(**values: Any) -> SearchRequest:
    """A request from settings by keyword (see `SEARCH_SETTINGS`); None stands for the default.

    Raises:
        BenchError: there is no such setting or space, or a value is out of its bounds.
    """
    refuse_unknown("A search", values, SEARCH_SETTINGS)
    name = values.get("space") or SEARCH_SETTINGS["space"].default
    if not isinstance(name, str | Path):
        raise BenchError(f"The setting 'space' cannot be {name!r}: it should be a name or a file.")
    space = load_space(str(name))
    if values.get("sampler"):
        space = space.model_copy(update={"sampler": given(Sampler, values)})
    dataset = given(DatasetRequest, values)
    rules_out(values, dataset)
    space = serving(space, dataset.task)
    objectives = space.objectives.serving(dataset.task).searching(given(Asked, values))
    space = space.model_copy(update={"objectives": objectives})
    space = given(HeadOverride, values).on(space)
    dataset = given(DatasetRequest, values)
    space = space.over(dataset.fields)
    models = values.get("models")
    if isinstance(models, Sequence) and not isinstance(models, str):  # anything else is refused below
        values = values | {"models": expanded(models, space.inputs)}
    rules = given(Protocol, values, **dict(space.protocol))
    if rules.name == "paper":
        rules = rules.model_copy(update={"repetitions": max(rules.repetitions, PAPER_RUNS)})
    return given(
        SearchRequest,
        values,
        dataset=dataset,
        space=space,
        space_name=Path(name).stem,
        extraction=given(ExtractionSettings, values),
        protocol=rules,
        constraints=given(Constraints, values),
    )


TRAINING = {
    "class_weight": "weighs classes in training",
    "lazy": "judges models by heads",
    "against": "is held against what heads predict",
}
"""What some settings do, which has no sense where nothing is trained."""


def rules_out(values: Mapping[str, Any], dataset: DatasetRequest) -> None:
    """Refuse settings that are about training, where a task trains nothing.

    Raises:
        BenchError: there is one.
    """
    if not TASKS[dataset.task].ranks:
        return
    for name, does in TRAINING.items():
        if values.get(name):
            raise BenchError(f"`{name}` {does}, and {dataset.task} trains nothing: leave it out.")
    if values.get("protocol") == "paper":
        raise BenchError(
            f"The `protocol` 'paper' selects on the test set by what heads say, and {dataset.task} trains nothing: "
            "leave it out. The training rows are ranked first, the test rows only confirm."
        )


class StudySettings(Spec):
    """Everything that a study's numbers depend on; a study is only ever continued under the same."""

    dataset: str
    dataset_fingerprint: str
    models: dict[str, dict[str, Any]]
    """Name → identity of its extraction: weights, tokenizer, dtype, backend, kernels, prompt …."""
    space: SearchSpace
    protocol: Protocol
    constraints: Constraints
    wave: int = 1
    """Candidates that are proposed at once, and raced against what was told before."""
    plugins: dict[str, str] = Field(default_factory=dict)
    """What of the space comes from plugins, and a hash of its source."""
    lazy: bool = False
    """Whether models and layers were dropped on few rows, before all rows were extracted."""
    keep: tuple[str, ...] = ()
    """Models of which nothing was to be dropped."""

    def fingerprint(self) -> str:
        """What names the study; what was added later and stands at its default has no part in it."""
        values = self.model_dump(mode="json")
        space = values["space"]
        for holder, name, usual in (
            (values, "wave", 1),
            (values, "plugins", {}),
            (values, "lazy", False),
            (values, "keep", []),
            (space, "screen", Screen().model_dump(mode="json")),
            (space, "cascade", Cascades().model_dump(mode="json")),
            (space["sources"], "total", None),
            (space["protocol"], "race", None),
            (values["protocol"], "race", None),
            (space["sources"], "deepest", {}),
        ):
            if holder[name] == usual:
                del holder[name]
        return fingerprint(values)


def completed(old: Mapping[str, Any]) -> Mapping[str, Any]:
    """A study's settings as JSON values; what an earlier version did not know stands at its default."""
    try:
        return StudySettings.model_validate(old).model_dump(mode="json")
    except ValidationError:
        return old


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line a setting that differs: `key: old → new`."""
    before, after = dict(_flat(old)), dict(_flat(new))
    return [
        f"{key}: {before.get(key, '(absent)')} → {after.get(key, '(absent)')}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key, _ABSENT) != after.get(key, _ABSENT)
    ]


_ABSENT = object()


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
