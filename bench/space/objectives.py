"""What a space file may say of what a search is for."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator, model_validator

from bench.errors import BenchError, nearest
from bench.front import Direction
from bench.measures import AGGREGATIONS, LATENCY, MEASURES, Measure, Objective, objective, objective_names, score
from bench.specs import DEFAULT_TASK, Hint, Spec
from bench.tasks import TASKS

DEFAULT_OBJECTIVE = "f1_floor"


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

    maximize: tuple[ObjectiveName, ...] = (DEFAULT_OBJECTIVE,)
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

    def point(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """The values of `names` among a candidate's metrics, as `bench.front` compares them."""
        return tuple(metrics[name] for name in self.names)

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
    def beside(self) -> tuple[Measure, ...]:
        """The measures of any study that stand beside its score, whatever is searched for."""
        return tuple(each for each in self.kept if each != self.score.measure)

    @property
    def cost(self) -> Objective:
        """What is paid for it: the last objective, or the latency where that is the score itself."""
        return Objective(LATENCY) if self.each[-1] == self.score else self.each[-1]

    @property
    def single(self) -> Objective:
        """By what the best single model is the best: the first score that is no spread, else the task's in the mean."""
        return next((each for each in self.scores if not each.is_spread), objective(f"{self.kept[0].name}_mean"))

    def searching(self, asked: "Asked") -> "Objectives":
        """The same with what is asked for, if anything is, in place of its scores."""
        return self if asked.objective is None else self.scored_by(asked.found(self.score))

    def serving(self, task: str) -> "Objectives":
        """The same for a task: what a space says of classes' macro-F1 holds for the first measure of another task."""
        first = objective(DEFAULT_OBJECTIVE).measure
        if task == self.task or any(each.measure != first for each in self.scores):
            return self
        usual = TASKS[task].measure
        found = {each.name: Objective(usual, each.aggregation).name for each in self.scores}
        return Objectives(
            maximize=tuple(found.get(name, name) for name in self.maximize),
            minimize=tuple(found.get(name, name) for name in self.minimize),
        )

    def scored_by(self, each: Objective) -> "Objectives":
        """The same with one objective in place of its scores; costs stay."""
        costs = tuple(cost.name for cost in self.each if cost.is_cost)
        if each.direction == "maximize":
            return Objectives(maximize=(each.name,), minimize=costs)
        return Objectives(maximize=(), minimize=(each.name, *costs))


class Asked(Spec):
    """What a search is for where it is not what its space says."""

    objective: Annotated[
        str | None,
        Field(description="The score that is searched for, such as accuracy, log_loss:mean or f1.CLASS:low."),
        Hint(value="MEASURE[:AGGREGATION]", names="objectives", unset="the space's"),
    ] = None

    @field_validator("objective")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None:
            _asked(name, objective(DEFAULT_OBJECTIVE))
        return name

    def found(self, usual: Objective) -> Objective:
        """The objective that is named; a measure alone is aggregated as the `usual` one is."""
        assert self.objective is not None
        return _asked(self.objective, usual)


def _asked(name: str, usual: Objective) -> Objective:
    measure, colon, aggregation = name.rpartition(":")
    try:
        if colon:
            known = {word: row for row in AGGREGATIONS.values() for word in (row.name, row.worse) if word}
            if aggregation not in known:
                raise ValueError(f"there is no aggregation '{aggregation}': {nearest(aggregation, known)}")
            found = Objective(score(measure), known[aggregation])
        else:
            found = _plain(name) or Objective(score(name), usual.aggregation)
    except BenchError as error:
        raise ValueError(str(error)[0].lower() + str(error)[1:]) from None
    if found.is_cost or found.is_spread:
        kind = "a cost, and costs stay as the space has them" if found.is_cost else "a spread, and no score"
        raise ValueError(f"{found.name} is {kind}")
    return found


def _plain(name: str) -> Objective | None:
    """The objective that space files call so."""
    try:
        return objective(name)
    except BenchError:
        return None
