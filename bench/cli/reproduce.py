"""`bench reproduce`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import api
from bench.cli import options, terminal
from bench.cli.fields import LazyChoice, listed, option, options_of
from bench.cli.words import in_options
from bench.durations import in_words
from bench.errors import BenchError, counted

if TYPE_CHECKING:
    from bench.reproduce.columns import Column, Row
    from bench.reproduce.finished import FinishedStudy
    from bench.reproduce.plan import ReproductionPlan

NOTES = 8
"""Sentences that a terminal shows of a study; its page has all of them."""
NAMES = (None, 16, 12, 8, 4, 2)
"""So many characters a model has in its tables, as many as there is room for; None are all."""


def _studies() -> list[str]:
    return api.names("reproductions")


class _Study(LazyChoice):
    """A word that names a study, completed as any choice; why another names none is said where the paper is known."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ARG002
        """As it stands."""
        return value


class _Command(click.Command):
    """Its help says what each study is."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The studies, then the options."""
        with formatter.section("Studies"):
            formatter.write_dl(list(api.reproductions().items()))
        super().format_options(ctx, formatter)


@click.command(cls=_Command)
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...", type=_Study(_studies))
@options.models_option(
    "Models by name, hub id or folder. May be repeated.  [default: all of `bench list models` that can be had]"
)
@options_of(api.REPRODUCE_SETTINGS)
@option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of tables and figures.  [default: reproduce in --home]",
)
@options.home_option
@options.tracking_option
@options.no_tracking_option
@options.json_option
@options.dry_run_option
def reproduce(
    studies: tuple[str, ...],
    dataset: str,
    out: Path | None,
    home: Path | None,
    tracking_uri: str | None,
    no_tracking: bool,
    as_json: bool,
    dry_run: bool,
    **params: Any,
) -> None:
    """Reproduce a table or figure of the paper on any data sets and models, the published numbers beside it.

    --dataset takes several names, separated by commas. STUDY is one of those below, or what the paper calls it
    (table2, figure3), or all; several run in one go. Studies share evaluations with each other and with searches; run
    the same command again after an interruption, and it goes on where it stopped.

    --json gives {study, dataset, rows, published, files, tracking_uri, parent_run_id}; where there are several studies
    or data sets, a list of these under "studies", with what a study says across data sets at its end.
    """
    from bench.cli import show

    wanted = listed(dataset)
    progress = show.progress()
    if dry_run:
        plans = api.plan_reproduction(studies, wanted, home=home, progress=progress, **params)
        found = [row for each in plans for row in each.to_json()]
        terminal.json_out(found[0] if len(found) == 1 else {"studies": found}) if as_json else _print_plans(plans)
        return
    done = api.reproduce(
        studies,
        wanted,
        out=out,
        home=home,
        tracking_uri=None if no_tracking else tracking_uri,
        tracking=not no_tracking,
        progress=progress,
        **params,
    )
    if as_json:
        found = [each.to_json() for each in done]
        terminal.json_out(found[0] if len(found) == 1 else {"studies": found})
    else:
        for each in done:
            _print_done(each)
        terminal.echo(f"All of it on one page: {done[0].index}")
        if not no_tracking:
            terminal.echo(f"Compare in the browser: {options.ui_command(home)}")
    if untracked := next((each.untracked for each in done if each.untracked), None):
        raise BenchError(untracked)


def _print_done(done: "FinishedStudy") -> None:

    study, rows = done.study, done.findings.rows
    title = f"{study.name} on {done.dataset}: {done.findings.title or study.summary} ({study.paper})"
    if rows:
        columns = [
            column
            for column in done.findings.columns or study.columns
            if any(row.get(column.name) is not None for row in rows)
        ]
        _print_rows(title, columns, rows, done.models)
    else:
        terminal.echo(title)
    notes, published = done.findings.notes, done.findings.published
    for note in notes[:NOTES]:
        terminal.echo(f"- {in_options(note)}")
    if len(notes) > NOTES:
        terminal.echo(f"- {len(notes) - NOTES} more sentences: see {study.name}.md.")
    if published:
        theirs = {row["model"] for row in published if "model" in row}
        run = theirs & {row.get("model") for row in rows if row.get("kind") == "model"}
        terminal.echo(
            f"- The paper's numbers ({len(published)} rows) are in published.csv"
            + (f"; of its {len(theirs)} models, {len(run)} were run here." if theirs else ".")
        )
    if rows and (wrong := len(done.findings.errata)):
        terminal.echo(f"- The paper contradicts itself here in {counted(wrong, 'place')}: see {study.name}.md.")
    terminal.echo(f"Files: {done.files[0].parent}\n")


def _print_rows(title: str, columns: "Sequence[Column]", rows: "Sequence[Row]", models: Sequence[str]) -> None:
    """A line a row, with names of models as long as there is room for."""
    from bench.cli import show

    header = [column.heading for column in columns]
    spare = [index for index, column in reversed([*enumerate(columns)]) if column.spare]
    for most in NAMES:
        short, used = api.aliases(models, most), dict[str, str]()

        def cell(column: "Column", row: "Row", short: Mapping[str, str] = short, used: dict[str, str] = used) -> str:
            text = column.write(row)
            for model in sorted(short, key=len, reverse=True) if not column.kind.right else ():
                if model in text:
                    text = text.replace(model, short[model])
                    used[model] = short[model]
            return text

        cells = [[cell(column, row) for column in columns] for row in rows]
        if show.fits(header, cells, spare):
            break
    right = [index for index, column in enumerate(columns) if column.kind.right]
    show.table(title, header, cells, right=right, spare=spare)
    show.legend(used)


def _print_plans(plans: "list[ReproductionPlan]") -> None:
    from bench.cli import show

    for each in plans:
        show.table(
            f"{each.dataset}: {each.train_rows} training and {each.test_rows} test rows",
            ("study", "evaluations", "known", "estimated time"),
            [
                (one.study, one.evaluations, one.known, "~ " + in_words(one.seconds))
                for one in (*each.studies, *([each.together] if len(each.studies) > 1 else []))
            ],
            right=(1, 2),
        )
        if each.models:
            show.table(
                "To extract",
                ("model", "texts", "missing", "size\non disk", "estimated\ntime"),
                [
                    (model.name, model.texts, model.missing, show.size(model.bytes), "~ " + in_words(model.seconds))
                    for model in each.models
                ],
                right=(1, 2, 3),
                names=True,
            )
        if each.absent:
            terminal.echo(f"{counted(len(each.absent), 'model')} cannot be had here: `bench list models` says why.")
    terminal.echo("Times are rough (from this machine's matrix products). Nothing was written.")
