"""Options derived from settings: flag, type, bounds, choices, default, help and completion follow from the field."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, TypeVar, cast

import click

from bench import api
from bench.cli import completers
from bench.cli.words import in_options
from bench.durations import in_seconds
from bench.errors import nearest
from bench.settings import Setting

F = TypeVar("F", bound=Callable[..., Any])


class _Collecting:
    """A parser of click's in which an option that is given twice keeps both values; else the last is taken."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def add_option(self, *, action: str, **how: Any) -> None:
        """As the parser does, but appended to what was given before."""
        self._parser.add_option(action={"store": "append", "store_const": "append_const"}[action], **how)


class Option(click.Option):
    """An option that is given once, or says that it may be repeated: of two values none is dropped in silence."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """As click does, but all values are kept."""
        super().add_to_parser(parser if self.multiple else cast(Any, _Collecting(parser)), ctx)

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """As click does with the one value.

        Raises:
            UsageError: there are several.
        """
        found = opts.get(str(self.name))
        if isinstance(found, list) and not self.multiple:
            if len(found) > 1 and not ctx.resilient_parsing:
                raise click.UsageError(self._twice(found), ctx)
            opts = {**opts, str(self.name): found[-1]}
        return super().handle_parse_result(ctx, opts, args)

    def _twice(self, values: Sequence[Any]) -> str:
        if self.is_flag:
            given = [self.opts[0] if value else self.secondary_opts[0] for value in values]
        else:
            given = [f"{self.opts[0]} {value}" for value in values]
        return f"{self.opts[0]} is given {len(values)} times ({', '.join(given)}): leave one."


option = partial(click.option, cls=Option)
"""The decorator of every option; `click.option` would take the last of two values."""


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


class Duration(click.ParamType[float]):
    """A time in seconds, given as `10m`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """In seconds."""
        try:
            return in_seconds(str(value))
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


def listed(value: str) -> tuple[str, ...]:
    """A comma-separated list as a tuple."""
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    if not found:
        raise click.BadParameter("name at least one")
    return found


def names(_: click.Context, __: click.Parameter, value: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The names of comma-separated lists, each once; None where the option is not given."""
    given = (value,) if isinstance(value, str) else value or ()
    return tuple(dict.fromkeys(name for each in given for name in listed(each))) or None


def repeated(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...] | None:
    """All values of an option that is given several times; None where it is not given."""
    return values or None


def options_of(
    settings: Mapping[str, Setting], *only: str, optional: str | None = None, **words: str
) -> Callable[[F], F]:
    """An option for each setting, or for some `only`, in their order; `words` replace the help of some.

    One that is required is `optional` where the command has another way to give it.
    """

    def decorate(function: F) -> F:
        for keyword in reversed(only or tuple(settings)):
            found = _arguments(settings[keyword])
            found["help"] = words.get(keyword, found["help"])
            found["required"] &= keyword != optional
            flag = keyword.replace("_", "-")
            if settings[keyword].kind is bool and settings[keyword].hint.unset:
                flag += f"/--no-{flag}"  # three answers: yes, no, and what is best
            function = option("--" + flag, keyword, **found)(function)
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
    if setting.kind == tuple[str, ...]:
        split = {"callback": names, "metavar": hint.value or "A,B,…"} if hint.commas else {"callback": repeated}
        return found | {"multiple": hint.repeated} | split
    return found | {"type": _type(setting)}


def _help(setting: Setting) -> str:
    words = in_options(setting.words) + " May be repeated." * setting.hint.repeated
    if setting.hint.unset:
        words += f"  [default: {setting.hint.unset}]"
    return words + (f"  [env: {setting.hint.variable}]" if setting.hint.variable else "")


def _type(setting: Setting) -> click.ParamType[Any]:
    low, high = setting.bound("ge"), setting.bound("le")
    if setting.choices or setting.hint.names in api.CLOSED:
        return Choice(setting.choices or api.names(str(setting.hint.names)))
    if setting.hint.path:
        return click.Path(dir_okay=setting.hint.path == "folder", file_okay=setting.hint.path == "file")
    if setting.hint.duration:
        return Duration()
    if setting.kind is int:
        return Whole(low, high)
    if setting.kind is float:
        above = setting.bound("gt")
        return Number(low if above is None else above, high, min_open=above is not None)
    return click.STRING
