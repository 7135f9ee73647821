"""What a packaged pipeline is: its description, its head, and checksums by which a changed file gives itself away."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, ValidationError

from bench import files
from bench.cascade import Cascade
from bench.errors import BenchError
from bench.evaluation.baselines import TEXT_CLASSIFIERS, FittedText
from bench.evaluation.mistakes import MistakeCosts
from bench.evaluation.rule import Rule
from bench.evaluation.sureness import Sureness
from bench.foreign import require_parts
from bench.heads import FittedHead
from bench.metrics import tempered
from bench.models.resolve import ResolvedModel
from bench.packaging.remembered import Remembered
from bench.packaging.sure import Ruled
from bench.specs import DEFAULT_TASK, AnyCandidate, Candidate, ExtractionSettings, Spec, TextCandidate
from bench.tasks import TASKS
from bench.tasks.face import Column
from bench.views import AS_IS, Framing, View

FORMAT = 6
"""Cascades came with 2, what is remembered and classifiers of texts with 3, calibration with 4, rules with 5, fields
with 6."""
READ = (1, 2, 3, 4, 5, FORMAT)
DESCRIPTION, HEAD = "pipeline.json", "head.safetensors"
Fitted = FittedHead | FittedText
"""What answers in a stage: a head on hidden states, or a classifier of the texts themselves."""


STAGE_COLUMNS: Mapping[str, Column] = {"stage": "whole number", "margin": "number"}
REJECTED_COLUMN: Mapping[str, Column] = {"rejected": "yes or no"}


class PackedBody(Spec):
    """A model's weights inside the package; the fields are those of `ResolvedModel`, `layers` of the whole model."""

    folder: str
    architecture: str
    layers: int
    width: int
    causal: bool
    max_positions: int
    prompt: str
    lowercase: bool = False
    vocabulary: int | None = None

    def resolved(self, name: str, pipeline: Path) -> ResolvedModel:
        """The model as it lies in the folder of the pipeline; its files are known by the package's checksums."""
        fields = self.model_dump(exclude={"folder"})
        return ResolvedModel(
            name=name,
            folder=pipeline / self.folder,
            row=None,
            revision=None,
            remote_code=False,
            identity={},
            **fields,
        )


class PackagedModel(Spec):
    """One language model of a pipeline.

    `name` is the candidate's; `reference` what it is resolved by when the package is opened, unless its weights are
    `packed`. Layers beyond `deepest` of `layers` are not loaded. `identity` is that of the search's extraction. `view`
    is what it reads of a text of several fields, `pooled` whether the prompt's tokens are pooled too, and `framing` how
    a text's tokens are laid out.
    """

    name: str
    reference: str
    layers: int
    deepest: int
    settings: ExtractionSettings
    identity: Mapping[str, Any]
    packed: PackedBody | None = None
    view: Annotated[View | None, Field(exclude_if=lambda value: value is None)] = None
    pooled: Annotated[Literal["all", "text"], Field(exclude_if=lambda value: value == "all")] = "all"
    framing: Annotated[Framing, Field(exclude_if=lambda value: value == AS_IS)] = AS_IS


class Latency(Spec):
    """Milliseconds a text: what the search predicted, and what the package takes, from the text to its answer.

    `predicted_ms` and `measured_ms` are of texts in batches, `texts` of them; `predicted_single_ms`, `single_ms` (the
    median) and `single_p95_ms` of texts that come one by one. The search predicts no single texts of a cascade, whose
    `reached` is the share of the texts that came to each stage but the first while it was timed, and `expected` that
    share as the search predicted it. An earlier bench timed no single texts but of cascades, and models one by one.
    """

    predicted_ms: float
    measured_ms: float
    texts: int
    predicted_single_ms: float | None = None
    single_ms: float | None = None
    single_p95_ms: float | None = None
    reached: tuple[float, ...] = ()
    expected: tuple[float, ...] = ()

    @property
    def ratio(self) -> float:
        """Measured over predicted."""
        return self.measured_ms / self.predicted_ms


class Agreement(Spec):
    """Of `rows` test rows, `same` get the label that the search's own evaluation gave them."""

    rows: int
    same: int


class PackagedPipeline(Spec):
    """The description of a packaged candidate, a trial or a baseline by its name, or of a cascade of candidates.

    `chosen` is how it was chosen among the study's trials, by search scores. `task` is what the labels are. `seed` is
    the confirmation's seed that the head was trained under, on all `rows` training rows. `strip`: white space around a
    text is removed, as the data set's loader did. `remote_code`: a model runs code from its repository. `search` and
    `test` are its scores. `plugins`: what of the candidate comes from plugins, and a hash of its source.
    `remembered` is what is known of the rows, `sureness` of the probabilities, at whose temperature it answers;
    an earlier bench's package has none. `reject_below` and `costs`, by answer by true label, are the rule by which it
    answers where a caller asks for no other, and `answered` what that answers of the test rows; None without a rule.
    `fields` are the columns of a text that has several (see `bench.views`).
    """

    format: int = FORMAT
    bench: str
    study: str
    trial: int | None
    cascade: str | None = None
    baseline: str | None = None
    chosen: str
    candidate: Candidate | TextCandidate | Cascade
    task: str = DEFAULT_TASK
    labels: tuple[str, ...]
    dataset: str
    dataset_fingerprint: str
    rows: int
    seed: int
    strip: bool
    remote_code: bool
    models: tuple[PackagedModel, ...]
    search: Mapping[str, float | None]
    test: Mapping[str, float | None]
    plugins: Mapping[str, str] = Field(default_factory=dict)
    latency: Latency | None = None
    agreement: Agreement | None = None
    remembered: Remembered | None = None
    sureness: Sureness | None = None
    reject_below: float = 0.0
    costs: Mapping[str, Mapping[str, float]] | None = None
    answered: Ruled | None = None
    fields: Annotated[tuple[str, ...], Field(exclude_if=lambda value: not value)] = ()

    @property
    def rule(self) -> Rule:
        """How an answer follows from probabilities."""
        return Rule(self.reject_below, MistakeCosts.of_values(self.costs, self.labels) if self.costs else None)

    @property
    def rule_words(self) -> tuple[str, ...]:
        """How an answer follows where that is not the likeliest label, and what it answers of the test rows."""
        if self.answered is None or self.remembered is None:
            return ()
        how = []
        if self.costs is not None:
            how.append("Each text gets the answer of least expected cost, by the table of costs that it was made with.")
        if self.reject_below:
            how.append(f"A text whose likeliest label is less probable than {self.reject_below:.7g} gets none.")
        return (*how, *self.answered.words(self.remembered.rows, "test rows"))

    def calibrated(self, scores: np.ndarray) -> np.ndarray:
        """What the heads say, at the temperature at which it means what it says: of the same shape and type."""
        if self.sureness is None:
            return scores
        with np.errstate(divide="ignore"):
            found: np.ndarray = np.exp(tempered(np.log(scores), self.sureness.temperature)).astype(scores.dtype)
        return found

    @property
    def title(self) -> str:
        """What was packaged, in words."""
        return self.name if self.trial is None else f"trial {self.trial}"

    @property
    def name(self) -> str:
        """By what it is chosen in its study."""
        return self.cascade or self.baseline or str(self.trial)

    @property
    def stages(self) -> tuple[AnyCandidate, ...]:
        """The candidates that answer in turn; one, where it is no cascade."""
        return self.candidate.stages if isinstance(self.candidate, Cascade) else (self.candidate,)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The margin at which a stage answers, of each but the last."""
        return self.candidate.thresholds if isinstance(self.candidate, Cascade) else ()

    def columns(self, rule: Rule) -> Mapping[str, Column]:
        """What is said of a text, by column: the task's; of a cascade which stage answered, from 1, and its margin.

        Where the rule rejects texts, whether this one is.
        """
        return {
            **TASKS[self.task].columns,
            **(STAGE_COLUMNS if self.thresholds else {}),
            **(REJECTED_COLUMN if rule.rejects else {}),
        }

    @property
    def head_files(self) -> tuple[str, ...]:
        """The files of the stages' heads; beside that of a classifier of texts lies its `words_of`."""
        count = len(self.stages)
        return (HEAD,) if count == 1 else tuple(f"head-{stage}.safetensors" for stage in range(1, count + 1))


def words_of(head_file: str) -> str:
    """The file of a text classifier's terms and settings, which are no numbers: ``head.json``."""
    return head_file.removesuffix("safetensors") + "json"


def write(folder: Path, pipeline: PackagedPipeline, heads: Sequence[Fitted]) -> None:
    """Write description, the stages' heads and checksums beside what lies in `folder` already."""
    for name, stage, head in zip(pipeline.head_files, pipeline.stages, heads, strict=True):
        metadata = {"candidate": stage.fingerprint()}
        if isinstance(head, FittedHead):
            files.write_tensors(folder / name, head.state(), metadata)
        else:
            arrays = {each: torch.from_numpy(values) for each, values in head.arrays().items()}
            files.write_tensors(folder / name, arrays, metadata)
            files.write_json(folder / words_of(name), head.description())
    files.write_json(folder / DESCRIPTION, pipeline.model_dump(mode="json"))
    files.write_checksums(folder)


def described(folder: Path) -> PackagedPipeline:
    """The description of the pipeline in `folder`, after every file of it was checked.

    Raises:
        BenchError: there is none, a file was altered or is missing, or another version of bench wrote it.
    """
    if not (folder / files.CHECKSUMS).is_file():
        raise BenchError(f"{folder} holds no pipeline of bench: give what bench export wrote.")
    # before anything is read: an altered description may be no JSON any more
    if flaw := files.altered(folder):
        raise BenchError(f"{folder}: {flaw} after the export, so that the package is not used. Export it again.")
    try:
        content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"{folder / DESCRIPTION} cannot be read ({error}): export it again.") from error
    if content.get("format") not in READ:
        raise BenchError(
            f"{folder} has format {content.get('format')}, and this bench reads {FORMAT}: use bench "
            f"{content.get('bench')}, or MLflow, which runs the code inside the package."
        )
    require_parts(content.get("plugins", {}))
    try:
        pipeline = PackagedPipeline.model_validate(content)
    except ValidationError as error:
        raise BenchError(f"{folder / DESCRIPTION} cannot be read: {error}") from error
    return pipeline


def read(folder: Path) -> tuple[PackagedPipeline, tuple[Fitted, ...]]:
    """The pipeline in `folder` and the heads of its stages, after every file of it was checked.

    Raises:
        BenchError: there is none, a file was altered or is missing, or another version of bench wrote it.
    """
    pipeline = described(folder)
    stages = zip(pipeline.stages, pipeline.head_files, strict=True)
    return pipeline, tuple(_fitted(folder, stage, name, TASKS[pipeline.task].link) for stage, name in stages)


def fields_of(folder: Path) -> tuple[str, ...]:
    """What the fields of a text are called that the package in `folder` reads; none where it reads one text.

    Nothing is checked yet: of a package that cannot be read, opening it says so.
    """
    try:
        return tuple(json.loads((folder / DESCRIPTION).read_text(encoding="utf-8")).get("fields", ()))
    except (OSError, ValueError, AttributeError):
        return ()


def _fitted(folder: Path, stage: AnyCandidate, name: str, link: str) -> Fitted:
    from safetensors.torch import load_file

    tensors = load_file(folder / name)
    if isinstance(stage, Candidate):
        return FittedHead.from_state(stage.fusion, tensors, link)
    words = json.loads((folder / words_of(name)).read_text(encoding="utf-8"))
    return TEXT_CLASSIFIERS[stage.classifier].restored(
        words, {each: values.numpy() for each, values in tensors.items()}
    )
