"""What the shell completes words to."""

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from bench import api

Words = list[str | CompletionItem]


def _datasets(ctx: click.Context, _: click.Parameter, incomplete: str) -> Words:
    return _matching("datasets", incomplete, data_home=ctx.params.get("data_home"))


def models(_: click.Context, __: click.Parameter, incomplete: str) -> Words:
    """The last name of a comma-separated list."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _matching("models", last)]


def studies(ctx: click.Context, _: click.Parameter, incomplete: str) -> Words:
    """The name of a study."""
    return _matching("studies", incomplete, home=ctx.params.get("home"))


def trials(ctx: click.Context, _: click.Parameter, incomplete: str) -> Words:
    """A choice from the front, or the number of a scored trial of the argument STUDY."""
    # click leaves an argument where it was while an option still lacks its value
    study = ctx.params.get("study") or next(iter(ctx.args), "")
    return _matching("trials", incomplete, home=ctx.params.get("home"), study=study)


def _measures(_: click.Context, __: click.Parameter, incomplete: str) -> Words:
    """A measure of predictions."""
    return _matching("measures", incomplete)


def _objectives(_: click.Context, __: click.Parameter, incomplete: str) -> Words:
    """A measure under an aggregation."""
    return _matching("objectives", incomplete)


def terms(_: click.Context, __: click.Parameter, incomplete: str) -> Words:
    """A word that can be explained."""
    return _matching("terms", incomplete)


def spaces(_: click.Context, __: click.Parameter, incomplete: str) -> Words:
    """The name of a search space, or a path."""
    return _matching("spaces", incomplete) or [CompletionItem(incomplete, type="file")]


def _matching(
    table: str, incomplete: str, home: str | None = None, data_home: str | None = None, study: str = ""
) -> Words:
    known = api.names(table, home=home, data_home=data_home, study=study)
    return [name for name in known if name.startswith(incomplete)]


BY_TABLE: dict[str | None, Callable[[click.Context, click.Parameter, str], Words]] = {
    "datasets": _datasets,
    "measures": _measures,
    "models": models,
    "objectives": _objectives,
    "spaces": spaces,
    "studies": studies,
}
