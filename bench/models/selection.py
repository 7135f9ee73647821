"""Which of the space's models take part, and why not the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.models.availability import availability
from bench.models.resolve import ResolvedModel, resolve
from bench.models.use import check_prompted, prompts_by_model
from bench.progress import Progress
from bench.specs import ExtractionSettings
from bench.views import Form, Framing, form_of, parted


@dataclass(frozen=True)
class Absent:
    """A model of the space that does not take part."""

    name: str
    reason: str


@dataclass(frozen=True)
class Selection:
    """The models of a study, ready to be opened, and those left out."""

    models: tuple[ResolvedModel, ...]
    absent: tuple[Absent, ...]


def select(
    wanted: Sequence[str],
    settings: ExtractionSettings,
    store: Path,
    progress: Progress,
    *,
    named: bool,
    download: bool = True,
    recorded: Mapping[str, Mapping[str, Any]] | None = None,
    forms: Mapping[str, Form] | None = None,
    columns: Sequence[str] = (),
    asked: tuple[str, ...] = (),
) -> Selection:
    """Resolve models. `named` by the user, each must be there; those of a space are taken as far as they can be had.

    Without `download`, only what the machine has already can be had. `recorded` holds the identities that models had
    where their names were written down (see `resolve`); None where the names are the caller's own. A name may ask for
    one of the `forms` of the input (see `bench.views`), over rows with these `columns` of texts. `asked` are poolings
    that are to be had beside the usual ones.

    Raises:
        BenchError: a named model cannot be had, or none of the space can.
    """
    prompts = prompts_by_model(settings.prompts)
    if recorded is None:
        check_prompted(prompts, tuple(parted(name)[0] for name in wanted))

    def found(name: str) -> ResolvedModel:
        form, base = form_of(name, forms or {}), parted(name)[0]
        model = resolve(
            base,
            store,
            trust_remote_code=settings.trust_remote_code,
            prompt=prompts.get(base),
            recorded=None if recorded is None else recorded.get(name, {}),
            download=download,
            progress=progress,
        )
        model = replace(model, asked=asked, framing=Framing(long=settings.long))
        return model if form is None else model.under(name, form, columns)

    if named:
        return Selection(tuple(map(found, dict.fromkeys(wanted))), ())
    usable, absent = [], []
    for name in wanted:
        if reason := availability(parted(name)[0], settings, download=download).reason:
            absent.append(Absent(name, reason))
        else:
            usable.append(name)
    if not usable:
        reasons = "\n".join(f"  {model.name}: {model.reason}" for model in absent)
        raise BenchError(f"No model of the space can be used here:\n{reasons}\nName others with `models`.")
    others = f"; {len(absent)} more of the space cannot be used here, see `bench list models`" if absent else ""
    progress.say(f"models: {', '.join(usable)}{others}")
    return Selection(tuple(map(found, usable)), tuple(absent))
