"""Settings as people give them: each is declared once, as a field of a spec, and read here by keyword.

The command line derives its options from the same fields (`bench.cli.fields`), `help` shows them (`takes`), and
`bench.api.keywords`, which is written from them, tells type checkers.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError

from bench.errors import BenchError, nearest
from bench.specs import CALL, Hint, Spec

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

S = TypeVar("S", bound=Spec)
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Setting:
    """A field that people may set, under its `keyword`."""

    keyword: str
    info: FieldInfo
    hint: Hint

    @property
    def words(self) -> str:
        """What it is for."""
        return self.info.description or ""

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.info.is_required()

    @property
    def default(self) -> Any:
        """What stands where it is not given; None where the hint says what that means, or where it is required."""
        return None if self.required or self.hint.unset else self.info.default

    @property
    def kind(self) -> Any:
        """The type of a value that is given: a class, or a `Literal`."""
        kind = self.info.annotation
        if get_origin(kind) in (Union, types.UnionType):
            (kind,) = (each for each in get_args(kind) if each is not type(None))
        return kind

    @property
    def annotation(self) -> str:
        """The type of a value in Python's words; None is always allowed, and stands for the default."""
        if self.kind == tuple[str, ...]:
            return "Sequence[str] | None"
        words = f"Literal[{', '.join(map(repr, self.choices))}]" if self.choices else self.kind.__name__
        if self.hint.duration:
            words += " | str"
        return f"{words} | None".replace("'", '"')

    @property
    def choices(self) -> tuple[str, ...]:
        """The words of which it is one; empty where it is not one of some."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    def bound(self, name: Literal["ge", "gt", "le", "lt"]) -> Any:
        """A bound as pydantic names it, or None."""
        return next((getattr(each, name) for each in self.info.metadata if hasattr(each, name)), None)


def settings_of(spec: type[Spec], *names: str) -> dict[str, Setting]:
    """The settings of a spec by keyword: all of its fields that have a description, or those fields alone."""
    found = (
        Setting(_hint(spec.model_fields[name]).keyword or name, spec.model_fields[name], _hint(spec.model_fields[name]))
        for name in names or spec.model_fields
        if spec.model_fields[name].description
    )
    return {each.keyword: each for each in found}


def _hint(info: FieldInfo) -> Hint:
    return next((each for each in info.metadata if isinstance(each, Hint)), Hint())


def given(spec: type[S], values: Mapping[str, Any], **fixed: Any) -> S:
    """A spec made of those of `values` that are its settings and not None, and of `fixed` fields.

    Raises:
        BenchError: a value is out of its bounds or not of its kind.
    """
    keywords = {_hint(info).keyword or name: name for name, info in spec.model_fields.items() if info.description}
    chosen = {name: values[word] for word, name in keywords.items() if values.get(word) is not None}
    try:
        return spec.model_validate(chosen | fixed, context=CALL)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = str(problem["loc"][0])
        word = next((word for word, name in keywords.items() if name == field), field)
        raise BenchError(f"The setting '{word}' cannot be {problem['input']!r}: {_reason(problem)}") from error


def _reason(problem: Any) -> str:
    if problem["type"] == "literal_error":
        words = [each.strip("'") for each in problem["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return nearest(str(problem["input"]), words)
    said = str(problem["msg"]).removeprefix("Value error, ").replace("Input should", "it should")
    return said if said.endswith(("?", ".")) else f"{said}."


def refuse_unknown(what: str, values: Iterable[str], known: Iterable[str]) -> None:
    """Raise BenchError, which names the nearest, where one of `values` is no setting of `what`."""
    known = list(known)
    for name in values:
        if name not in known:
            raise BenchError(f"{what} has no setting '{name}': {nearest(name, known)}")


def takes(settings: Mapping[str, Setting]) -> Callable[[F], F]:
    """Show in a function's signature and help what its ``**settings`` are; those that it names itself are left out."""

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind != each.VAR_KEYWORD]
        named = {each.name for each in own}
        shown = {keyword: setting for keyword, setting in settings.items() if keyword not in named}
        added = [
            inspect.Parameter(word, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.annotation)
            for word, each in shown.items()
        ]
        function.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        lines = (f"    {word}: {setting.words}" for word, setting in shown.items())
        function.__doc__ = "\n".join([inspect.cleandoc(function.__doc__ or ""), "", "Settings:", *lines])
        return function

    return decorate
