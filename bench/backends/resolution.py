"""From what is asked for to what is done here: one backend, one device, and settings that apply to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import overload

from bench.backends.base import AUTO, BACKENDS, backend
from bench.backends.settings import ResolvedSettings
from bench.backends.speeds import Sized, fastest
from bench.errors import BenchError
from bench.specs import ExtractionSettings


def resolve(asked: ExtractionSettings) -> ResolvedSettings:
    """`asked` with a concrete device, under the backend that it names.

    A dtype of ``"auto"`` is float32: what fits a model is the model's own (see `bench.precision`).

    Raises:
        BenchError: there is no such backend, a setting is another's, or what is asked for cannot be had here.
    """
    module = backend(asked.backend)
    if asked.dtype == AUTO:
        asked = asked.model_copy(update={"dtype": "float32"})
    for name, owners in _foreign(asked):
        instead = module.INSTEAD.get(name, f"leave `{name}` out, or use `backend='{owners[0]}'`")
        raise BenchError(
            f"The {asked.backend} backend has no `{name}`, which is for {' and '.join(owners)}: {instead}."
        )
    found = ResolvedSettings(**module.resolve_settings(asked).model_dump())
    return found.trusting(asked.trust_remote_code)


@overload
def choose(asked: ExtractionSettings, models: Sequence[Sized]) -> ResolvedSettings: ...
@overload
def choose(asked: ExtractionSettings, models: None = None) -> ExtractionSettings: ...
def choose(asked: ExtractionSettings, models: Sequence[Sized] | None = None) -> ExtractionSettings:
    """`asked` with a concrete backend and device; one backend for all `models`.

    ``"auto"`` becomes the backend that was measured to be the fastest with models of their size (see
    `bench.backends.speeds`) of those that are installed and support every architecture, dtype and option asked for,
    else transformers. Before the models are known (None) it is left as it is. What is resolved already is given back.

    Raises:
        BenchError: there is no such backend, or it cannot do what is asked for here.
    """
    if isinstance(asked, ResolvedSettings):
        return asked
    if asked.backend != AUTO:
        return resolve(asked)
    if models is None:
        return asked
    plain = asked.model_copy(update={"backend": "transformers"})
    # Where it would run, whatever else is asked for: that may be for another backend.
    found = resolve(ExtractionSettings(device=asked.device, dtype=asked.dtype))
    for name in fastest(found.device, found.dtype, models):
        module = backend(name)
        if module.unavailable() is None and all(module.supports(model.architecture) for model in models):
            with suppress(BenchError):
                return resolve(asked.model_copy(update={"backend": name}))
    return resolve(plain)


def applying(kept: ExtractionSettings) -> ExtractionSettings:
    """`kept` without what is for other backends than its own: earlier versions took it, and did without it."""
    foreign = [name for name, _ in _foreign(kept)]
    return kept.model_copy(update={name: type(kept).model_fields[name].default for name in foreign})


def _foreign(settings: ExtractionSettings) -> Iterator[tuple[str, list[str]]]:
    """Settings that were changed and are not its backend's, each with the backends that have it."""
    if settings.backend == AUTO:
        return
    for name, field in type(settings).model_fields.items():
        if getattr(settings, name) != field.default:
            owners = [each for each in BACKENDS if name in backend(each).SETTINGS]
            if owners and settings.backend not in owners:
                yield name, owners
