"""What is asked of data and models, and what of it is left to compute: in which dtype, and on which shelf.

What a call leaves open is found out here, for each model, or is as it was when the study was made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.adoption import adopted
from bench.backends.base import AUTO
from bench.backends.layout import limit
from bench.backends.settings import ResolvedSettings
from bench.backends.tokenizer import TEXTS_AT_ONCE, Tokenizer, token_identity
from bench.datasets.request import DatasetRequest
from bench.datasets.sides import Sides
from bench.extraction import Need, survey
from bench.models.resolve import ResolvedModel
from bench.models.selection import Absent
from bench.precision import fitting
from bench.progress import Progress
from bench.specs import ExtractionSettings, fingerprint
from bench.store import Store
from bench.views import AS_IS, Form, parted

LENGTH = frozenset({"max_length", "long", "overlap", "combine"})
"""What of the tokens of a text tells long ones from others alone (see `bench.backends.tokenizer.token_identity`)."""


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


def told_apart(
    wanted: Wanted,
    models: Sequence[ResolvedModel],
    settings: ResolvedSettings,
    texts: Sequence[str],
    progress: Progress,
) -> tuple[list[ResolvedModel], list[Absent]]:
    """The models under forms of their input that read `texts` otherwise than those before them, and the others.

    Ways with long texts are one where no text is long. A study that exists has the forms that it was made with, though
    rows have come since.
    """
    before = {parted(name)[0] for name in wanted.before}
    seen: dict[str, ResolvedModel] = {}
    taken: list[ResolvedModel] = []
    left: list[Absent] = []
    for model in models:
        if all(each.framing == AS_IS for each in models if each.base == model.base):
            taken.append(model)
            continue
        read = dict(token_identity(model, settings))
        if short := not _any_long(model, settings, texts):
            read = {key: value for key, value in read.items() if key not in LENGTH}
        view = None if model.view is None else model.view.fingerprint()
        same, known = seen.setdefault(fingerprint([model.base, view, read]), model), model.name in wanted.before
        if not known and (same is not model or model.base in before):
            why = f"no text has more than {limit(model, settings)} tokens, so that it" if short else "it"
            reads = "the study was made without it" if same is model else f"{why} reads what {same.name} reads"
            left.append(Absent(model.name, reads))
            progress.say(f"{model.name} is left out: {left[-1].reason}")
            continue
        if short and model.framing.long != "truncate":
            progress.say(f"{model.name}: no text has more than {limit(model, settings)} tokens, which are read at once")
        taken.append(model)
    return taken, left


def _any_long(model: ResolvedModel, settings: ResolvedSettings, texts: Sequence[str]) -> bool:
    """Whether a text has more tokens than are read at once; the longest are looked at first."""
    tokenizer = Tokenizer(model.at_once, settings)
    ordered = sorted(texts, key=len, reverse=True)
    groups = (ordered[start : start + TEXTS_AT_ONCE] for start in range(0, len(ordered), TEXTS_AT_ONCE))
    return any(tokenizer.encode(group).truncated.any() for group in groups)


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
