"""The baseline: a small JSON file, kept with the code, that says what is checked and what it was."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.evaluation.ask import read_by
from bench.evaluation.protocol import Protocol
from bench.files import atomic
from bench.gate.rows import PinnedRows
from bench.identity import PINNED, KeyGroup, only
from bench.measures import Measure, score
from bench.metrics import Summary, summarise
from bench.pooling import parts
from bench.specs import DEFAULT_TASK, MLP, AnyCandidate, ExtractionSettings, Spec, TextCandidate
from bench.tasks import TASKS
from bench.views import Form

FORMAT = 1
WIDTH = 110
MOST_ROWS = 20_000


Finite = Annotated[float, Field(allow_inf_nan=False)]
"""JSON as Python reads it knows NaN, and nothing that is compared with NaN ever fails."""


class Repeats(Spec):
    """How each candidate is scored: every training row once out of fold, under as many seeds as `repetitions`.

    The test set takes no part: a check that runs every day would wear it out. `classes` says over which a fold's
    macro-F1 is the mean: those that its rows or predictions hold, or all that training has, as in baselines of earlier
    versions, which are held against what is measured in their own way.
    """

    folds: Annotated[int, Field(ge=2)] = 5
    repetitions: Annotated[int, Field(ge=1)] = 3
    seed: Annotated[int, Field(ge=0, le=4_000_000)] = 0
    classes: Literal["all", "held"] = "all"

    @property
    def protocol(self) -> Protocol:
        """The same for the evaluation."""
        return Protocol(folds=self.folds, repetitions=self.repetitions, seed=self.seed, validation_above=MOST_ROWS)


class Pinned(Spec):
    """What is checked. `origin` says where the candidates came from, in words.

    `measure` is by what they are compared, by name; None is the first of the data set's task. `references` are
    predictions from outside that candidates have to stay above (see `bench.gate.quality`). `inputs` are the forms of
    the input that candidates' models name (see `bench.views`).
    """

    origin: str
    dataset: DatasetRequest
    extraction: ExtractionSettings
    protocol: Repeats
    candidates: Annotated[tuple[AnyCandidate, ...], Field(min_length=1)]
    measure: str | None = None
    references: tuple[TextCandidate, ...] = ()
    inputs: Annotated[dict[str, Form], Field(exclude_if=lambda value: not value)] = Field(default_factory=dict)

    @property
    def poolings(self) -> tuple[str, ...]:
        """The poolings of what candidates or their teachers read, each once."""
        return tuple(dict.fromkeys(source.pooling for each in self.candidates for source in read_by(each)))

    @property
    def score(self) -> Measure:
        """By what they are compared."""
        return TASKS[self.dataset.task].measure if self.measure is None else score(self.measure)

    @property
    def beside(self) -> tuple[Measure, ...]:
        """What is shown beside it: the task's other measures."""
        return tuple(each for name in TASKS[self.dataset.task].measures if (each := score(name)) != self.score)

    def at_home(self, data_home: str | None) -> "Pinned":
        """The same with another folder of data sets; as it is where it is None."""
        if data_home is None:
            return self
        return self.model_copy(update={"dataset": self.dataset.model_copy(update={"data_home": data_home})})


class RowsDigest(Spec):
    """How many rows, and the fingerprint of their texts, labels, groups and order."""

    rows: int
    contents: str


class Data(Spec):
    """Both sides of the data set; `labels` counts those of the training rows."""

    train: RowsDigest
    test: RowsDigest
    labels: int


class ModelFacts(Spec):
    """What one model was and gave.

    Attributes:
        identity: What makes the values those of the same computation (`bench.identity.PINNED`); must be equal.
        environment: Library versions, device and kernels; may differ as long as the values hold.
        texts: Distinct texts extracted.
        tokens: Tokens of all training texts, one count a row.
        truncated: Training texts that were cut to the maximum length.
        latency: Time of the layers that are used, relative to the reference (see `bench.gate.latency`).
        places: The training rows and the dimensions that `values` are taken at.
        values: Slot (``layer.pooling``) → values [rows, dimensions].
    """

    identity: dict[str, Any]
    environment: dict[str, Any]
    texts: int
    tokens: int
    truncated: int
    latency: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    places: dict[Literal["rows", "dimensions"], tuple[int, ...]]
    values: dict[str, tuple[tuple[Finite, ...], ...]]

    @model_validator(mode="before")
    @classmethod
    def _grouped(cls, data: Any) -> Any:
        """Earlier versions counted backend and norm as environment."""
        if not isinstance(data, Mapping) or not all(
            isinstance(data.get(name), Mapping) for name in ("identity", "environment")
        ):
            return data
        whole = {**data["identity"], **data["environment"]}
        return {**data, "identity": only(whole, *PINNED), "environment": only(whole, KeyGroup.ENVIRONMENT)}


class CandidateScores(Spec):
    """Scores by seed over all rows, and by seed and fold; empty where its training diverged.

    They are by the measure that is pinned, which is macro-F1 in classification unless another was asked for; `beside`
    holds scores by seed of measures that are only shown, by name.

    `predicted` are the classes that each seed gave the rows, where those are pinned one by one (see `bench.gate.rows`).
    `name` describes the candidate for the reader of the file; the order is that of the pinned candidates.
    """

    name: str
    f1: tuple[Finite, ...]
    folds: tuple[tuple[Finite, ...], ...]
    predicted: tuple[str, ...] = ()
    beside: dict[str, tuple[Finite, ...]] = Field(default_factory=dict)

    @property
    def means(self) -> dict[str, float]:
        """Over seeds, of the measures that are only shown."""
        return {name: summarise(values).mean for name, values in self.beside.items()}

    @property
    def summary(self) -> Summary:
        """Mean and spread over seeds; unknown where its training diverged."""
        return summarise(self.f1 or [float("nan")])


class Baseline(Spec):
    """What is checked, and what was measured when it was written; `rows` where the data set is a file.

    `references` are the scores of those that are pinned, which are measured once.
    """

    format: Literal[1] = 1
    pinned: Pinned
    software: dict[str, str]
    data: Data
    models: dict[str, ModelFacts]
    scores: tuple[CandidateScores, ...]
    rows: PinnedRows | None = None
    references: tuple[CandidateScores, ...] = ()

    @property
    def measure(self) -> Measure:
        """What the scores are."""
        return self.pinned.score

    def at_home(self, data_home: str | None) -> "Baseline":
        """See `Pinned.at_home`."""
        return self.model_copy(update={"pinned": self.pinned.at_home(data_home)})

    @property
    def by_candidate(self) -> dict[AnyCandidate, CandidateScores]:
        """Scores by candidate."""
        return dict(zip(self.pinned.candidates, self.scores, strict=True))


def describe(candidate: AnyCandidate) -> str:
    """A candidate in a line, with what usually tells two of them apart."""
    if isinstance(candidate, TextCandidate):
        if candidate.teacher is not None:
            return f"{candidate} of {describe(candidate.teacher)}"
        return f"{candidate}, tuned on the training rows"
    head = candidate.head
    words = head.kind
    if isinstance(head, MLP):
        rate = head.learning_rate if isinstance(head.learning_rate, str) else f"{head.learning_rate:g}"
        words = f"mlp {head.hidden}, learning rate {rate}"
    setting = type(head).model_fields.get("class_weight")
    if setting is not None and (weight := getattr(head, "class_weight", None)) != setting.default:
        words += f", class weight {weight}"
    width = "" if candidate.width is None else f", width {candidate.width}"
    return f"{candidate}{width}, {words}"


def read(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        BenchError: there is none, or it is not one that this bench can read; the message says where.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BenchError(
            f"There is no baseline {path}: write it with `update`, and `study` for what it pins."
        ) from None
    except (OSError, ValueError) as error:
        raise BenchError(f"The baseline {path} cannot be read: {error}") from error
    if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
        raise BenchError(
            f"The baseline {path} is of format {content['format']!r}, and this bench reads format {FORMAT}: write it "
            "again with `update`, or use the bench that wrote it."
        )
    try:
        found = Baseline.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise BenchError(
            f"The baseline {path} is not valid at {where}: {first['msg']}. Restore it, or write it again with `update`."
        ) from error
    _check_whole(path, found)
    return found


def _check_whole(path: Path, baseline: Baseline) -> None:
    """Raise BenchError where the parts of a baseline contradict each other, as after a careless merge."""
    pinned = baseline.pinned
    shape = (pinned.protocol.repetitions, pinned.protocol.folds)
    scored = (*baseline.scores, *baseline.references)
    whole = (
        len(baseline.scores) == len(set(pinned.candidates)) == len(pinned.candidates)
        and len(baseline.references) == len(pinned.references)
        and all(
            len(scores.f1) == shape[0] and [len(each) for each in scores.folds] == [shape[1]] * shape[0]
            for scores in scored
        )
    )
    slots = slots_by_model(pinned)
    if not whole or {name: set(facts.values) for name, facts in baseline.models.items()} != slots:
        raise BenchError(
            f"The baseline {path} contradicts itself: its scores or models are not those of its candidates and "
            f"protocol ({shape[0]} seeds, {shape[1]} folds). Restore it, or write it again with `update`."
        )
    measure = baseline.measure
    sign = measure.sign
    for scores in scored:
        for value in (*scores.f1, *(each for folds in scores.folds for each in folds)):
            if sign * value > sign * measure.best:
                raise BenchError(
                    f"The baseline {path} is not valid: {scores.name} has {value:g}, and no {measure.title} is better "
                    f"than {measure.best:g}. Restore it, or write it again with `update`."
                )


def slots_by_model(pinned: Pinned) -> dict[str, set[str]]:
    """Model → its slots (``layer.pooling``) that candidates use."""
    slots: dict[str, set[str]] = {}
    for candidate in pinned.candidates:
        for source in read_by(candidate):
            stored = {f"{layer}.{pooling}" for layer, pooling in parts(source.layer, source.pooling)}
            slots.setdefault(source.model, set()).update(stored)
    return slots


def write(path: Path, baseline: Baseline) -> None:
    """Write a baseline, atomically: a kill leaves the old file.

    Raises:
        BenchError: a candidate has no scores, because its training diverged.
    """
    for scores in baseline.scores:
        if not scores.f1:
            raise BenchError(f"The training of {scores.name} diverges, so it cannot be in a baseline: leave it out.")
    content = baseline.model_dump(mode="json")
    if baseline.rows is None:
        del content["rows"]
        for each in (*content["scores"], *content["references"]):
            del each["predicted"]
    if not baseline.references:
        del content["references"], content["pinned"]["references"]
    request = content["pinned"]["dataset"]
    content["pinned"]["dataset"] = {
        name: value
        for name, value in request.items()
        if value is not None and value is not False and (name, value) != ("task", DEFAULT_TASK)
    }
    if baseline.pinned.protocol.classes == "all":
        del content["pinned"]["protocol"]["classes"]
    if baseline.pinned.measure is None:
        del content["pinned"]["measure"]
    with atomic(path) as temporary:
        temporary.write_text(_text(content) + "\n", encoding="utf-8")


def _text(value: Any, indent: int = 0) -> str:
    """JSON with a value a line, as far as lines allow: a changed score is a changed line."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not isinstance(value, Mapping | list | tuple) or (indent and len(line) + indent <= WIDTH):
        return line
    inside = " " * (indent + 2)
    if isinstance(value, Mapping):
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {_text(each, indent + 2)}" for key, each in value.items()]
        left, right = "{}"
    else:
        parts, (left, right) = [_text(each, indent + 2) for each in value], "[]"
    body = ",\n".join(inside + part for part in parts)
    return f"{left}\n{body}\n{' ' * indent}{right}"
