"""Options derived from settings: flag, type, bounds, choices, default, help and completion follow from the field."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import click

from bench import api
from bench.cli import completers
from bench.errors import nearest
from bench.settings import Setting

F = TypeVar("F", bound=Callable[..., Any])


class Whole(click.IntRange):
    """A whole number within bounds."""

    name = "integer"


class Number(click.FloatRange):
    """A finite number within bounds."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click does; it takes nan and inf for numbers."""
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"'{value}' is no finite number.", param, ctx)


class Choice(click.Choice[str]):
    """One of some words; a mistyped one is answered with the nearest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click does, with a better message."""
        if isinstance(value, str) and value not in self.choices:
            self.fail(f"There is no '{value}': {nearest(value, self.choices)}", param, ctx)
        return super().convert(value, param, ctx)


class LazyChoice(Choice):
    """A choice whose words are looked up where they are asked for, since looking imports what an answer may not need.

    It is completed and shown as any other.
    """

    def __init__(self, words: Callable[[], Iterable[str]]) -> None:
        # not click's own, which takes them at once
        self._words = words
        self.case_sensitive = True

    @cached_property
    def choices(self) -> Sequence[str]:  # type: ignore[override]  # click's is set when it is made
        """The words."""
        return tuple(self._words())


def listed(value: str) -> tuple[str, ...]:
    """A comma-separated list as a tuple."""
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    if not found:
        raise click.BadParameter("name at least one")
    return found


def names(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """The same where the option is given."""
    return None if value is None else listed(value)


def repeated(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...] | None:
    """All values of an option that is given several times; None where it is not given."""
    return values or None


def options_of(settings: Mapping[str, Setting], *only: str, **words: str) -> Callable[[F], F]:
    """An option for each setting, or for some `only`, in their order; `words` replace the help of some."""

    def decorate(function: F) -> F:
        for keyword in reversed(only or tuple(settings)):
            found = _arguments(settings[keyword])
            found["help"] = words.get(keyword, found["help"])
            flag = keyword.replace("_", "-")
            if settings[keyword].kind is bool and settings[keyword].hint.unset:
                flag += f"/--no-{flag}"  # three answers: yes, no, and what is best
            function = click.option("--" + flag, keyword, **found)(function)
        return function

    return decorate


def _arguments(setting: Setting) -> dict[str, Any]:
    """What `click.option` takes for a setting."""
    hint = setting.hint
    found: dict[str, Any] = {"help": _help(setting), "required": setting.required, "metavar": hint.value}
    if hint.names in completers.BY_TABLE:
        found["shell_complete"] = completers.BY_TABLE[hint.names]
    if setting.kind is bool:
        return found | {"is_flag": True, "default": None if hint.unset else False}
    if setting.default is not None:
        found |= {"default": setting.default, "show_default": True}
    if hint.repeated:
        return found | {"multiple": True, "callback": repeated}
    if setting.kind == tuple[str, ...]:
        return found | {"callback": names, "metavar": hint.value or "A,B,…"}
    return found | {"type": _type(setting)}


def _help(setting: Setting) -> str:
    words = setting.words
    if setting.hint.unset:
        words += f"  [default: {setting.hint.unset}]"
    return words + (f"  [env: {setting.hint.variable}]" if setting.hint.variable else "")


def _type(setting: Setting) -> click.ParamType[Any]:
    low, high = setting.bound("ge"), setting.bound("le")
    if setting.choices or setting.hint.names in api.CLOSED:
        return Choice(setting.choices or api.names(str(setting.hint.names)))
    if setting.hint.path:
        return click.Path(dir_okay=setting.hint.path == "folder", file_okay=setting.hint.path == "file")
    if setting.kind is int:
        return Whole(low, high)
    if setting.kind is float:
        above = setting.bound("gt")
        return Number(low if above is None else above, high, min_open=above is not None)
    return click.STRING
