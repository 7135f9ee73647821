"""What is asked of data and models, and what of it is left to compute: in which dtype, and on which shelf.

What a call leaves open is found out here, for each model, or is as it was when the study was made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.adoption import adopted
from bench.backends.base import AUTO
from bench.backends.settings import ResolvedSettings
from bench.datasets.request import DatasetRequest
from bench.datasets.sides import Sides
from bench.extraction import Need, survey
from bench.models.resolve import ResolvedModel
from bench.precision import fitting
from bench.progress import Progress
from bench.specs import ExtractionSettings
from bench.store import Store
from bench.views import Form


@dataclass(frozen=True)
class Wanted:
    """What to gather. `named`: the user named the models, so that each must be there.

    `layers` limits what is extracted of a model (all layers where it is not mentioned). `scratch` makes it a dry run:
    nothing is fetched from the hub, and what resolving a model writes goes to that folder (see `bench.models.scratch`).
    `recorded` holds the models' identities where their names come from a file (see `bench.models.resolve`), and `kept`
    those of a study that is gone on with: what was left open when they were made is as it was. `poolings` are those
    that are looked at where a dtype is chosen; None takes all. `placed` are the sides that the rows of a file had.
    `forms` of the input are those that names of models may ask for (see `bench.views`), `extracted` the poolings
    that are to be had beside the usual ones.
    """

    dataset: DatasetRequest
    models: Sequence[str]
    settings: ExtractionSettings
    named: bool = True
    layers: Mapping[str, Sequence[int]] = field(default_factory=dict)
    scratch: Path | None = None
    recorded: Mapping[str, Mapping[str, Any]] | None = None
    kept: Mapping[str, Mapping[str, Any]] | None = None
    poolings: tuple[str, ...] | None = None
    placed: Sides | None = None
    forms: Mapping[str, Form] = field(default_factory=dict)
    extracted: tuple[str, ...] = ()

    @property
    def asked(self) -> ExtractionSettings:
        """The settings, under the backend that an earlier call resolved if none is named."""
        resolved = {each["backend"] for each in self.before.values()}
        if self.settings.backend != AUTO or len(resolved) != 1:
            return self.settings
        return self.settings.model_copy(update={"backend": resolved.pop()})

    @property
    def before(self) -> Mapping[str, Mapping[str, Any]]:
        """The identities that models had when the study was made."""
        return self.recorded or self.kept or {}

    @property
    def download(self) -> bool:
        """Whether the hub may be asked."""
        return self.scratch is None


def need_of(
    wanted: Wanted,
    model: ResolvedModel,
    settings: ResolvedSettings,
    texts: Sequence[str],
    store: Store,
    progress: Progress,
) -> Need:
    """What is to be extracted of one model of those that share `settings`, in which dtype, and on which shelf.

    Raises:
        BenchError: the model cannot be run where something is to be found out by it, or the store cannot be read.
    """
    own = _own(wanted, model, settings, store, progress)
    need = survey(model, own, texts, store, wanted.layers.get(model.name))
    if wanted.settings.no_adopt:
        return need
    dry = wanted.scratch is not None
    return adopted(need, store, texts, progress, recorded=wanted.before.get(model.name), dry=dry)


def _own(
    wanted: Wanted, model: ResolvedModel, settings: ResolvedSettings, store: Store, progress: Progress
) -> ResolvedSettings:
    """The settings of one model: those of all, in a dtype of its own where none was asked for."""
    if wanted.settings.dtype != AUTO:
        return settings
    if (before := wanted.before.get(model.name)) is not None:
        return settings.model_copy(update={"dtype": before["dtype"]})
    dry = wanted.scratch is not None
    return fitting(model, settings, store.home, progress, poolings=wanted.poolings, dry=dry)
