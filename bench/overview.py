"""What there is by name, for lists: models, studies and search spaces."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from bench.backends.base import supporting
from bench.datasets.request import DatasetRequest
from bench.errors import BenchError
from bench.models.availability import availability, machine_gb, memory_gb
from bench.models.rows import MODELS, ModelRow
from bench.pooling import poolings
from bench.space.candidates import Shape
from bench.space.enumeration import COUNTED, count
from bench.space.files import find, load
from bench.space.schema import SearchSpace
from bench.specs import Dtype
from bench.study.journal import read, study_names


@dataclass(frozen=True)
class ModelOverview:
    """A model of the table: what it needs (`memory_gb`, by dtype), what fits here, and why it cannot be had, if so."""

    row: ModelRow
    backends: tuple[str, ...]
    memory_gb: Mapping[str, float]
    fits: tuple[str, ...]
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The model as JSON values."""
        return self.row.model_dump() | {
            "backends": self.backends,
            "memory_gb": dict(self.memory_gb),
            "fits": list(self.fits),
            "available": not self.reason,
            "reason": self.reason,
        }


def models() -> tuple[float, list[ModelOverview]]:
    """This machine's memory in GiB, and the models by name."""
    machine, found = machine_gb("auto"), []
    for name, row in MODELS.items():
        need = {dtype: memory_gb(row.parameters, dtype) for dtype in get_args(Dtype)}
        fits = tuple(dtype for dtype in need if need[dtype] <= machine)
        found.append(ModelOverview(row, supporting(row.architecture), need, fits, availability(name).absent))
    return machine, found


@dataclass(frozen=True)
class StudyOverview:
    """A study, and how many candidates it has by state; `problem` says why it cannot be read, where it cannot."""

    study: str
    dataset: str = ""
    models: tuple[str, ...] = ()
    complete: int = 0
    pruned: int = 0
    problem: str | None = None
    min_class_rows: int | None = None
    rare: str | None = None

    @property
    def data(self) -> str:
        """The data set for people, with the rule for rare classes."""
        return DatasetRequest(name=self.dataset, min_class_rows=self.min_class_rows, rare=self.rare).title

    def to_json(self) -> dict[str, Any]:
        """The study as JSON values."""
        return asdict(self)


def studies(home: Path) -> list[StudyOverview]:
    """The studies of a home, with how far they are; one that is damaged hides none of the others."""
    found = []
    for name in study_names(home):
        try:
            journal = read(home, name)
        except BenchError as error:
            found.append(StudyOverview(name, problem=str(error)))
            continue
        counts = (len(journal.of("complete")), len(journal.of("pruned")))
        taken = tuple(sorted(journal.settings["models"]))
        asked = DatasetRequest.model_validate((journal.note("request") or {}).get("dataset", {"name": ""}))
        found.append(
            StudyOverview(
                name,
                journal.settings["dataset"],
                taken,
                *counts,
                min_class_rows=asked.min_class_rows,
                rare=asked.rare,
            )
        )
    return found


@dataclass(frozen=True)
class SpaceOverview:
    """A search space. `candidates` is how many it holds, None where that is not known or they are more than `counted`.

    `unknown` models are not in the table, and taken as hub ids or folders.
    """

    file: Path
    space: SearchSpace
    candidates: int | None
    unknown: tuple[str, ...]
    counted: int = COUNTED


def space(name: str) -> SpaceOverview:
    """What a space file holds.

    Raises:
        BenchError: there is none, or it breaks the schema.
    """
    found = load(name)
    rows = [MODELS[model] for model in found.sources.models if model in MODELS]
    shapes = {
        row.name: Shape(row.layers, row.width, poolings(causal=row.causal, asked=found.sources.pooling)) for row in rows
    }
    unknown = tuple(model for model in found.sources.models if model not in MODELS)
    return SpaceOverview(find(name), found, None if unknown or not shapes else count(found, shapes), unknown)
