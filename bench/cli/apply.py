"""`bench apply`."""

from typing import TYPE_CHECKING, Any

import click

from bench import api
from bench.cli import options, terminal
from bench.cli.fields import Choice, Number, Whole, names, option, options_of
from bench.durations import in_words
from bench.errors import counted

if TYPE_CHECKING:
    from bench.application.estimate import Estimate
    from bench.application.run import Applied

ONLY_ESTIMATED = ("rows", "rate", "price")


@click.command()
@options.package_option
@click.argument("source", metavar="[IN]", required=False)
@click.argument("out", metavar="[OUT]", required=False)
@options_of(
    api.EXTRACT_SETTINGS,
    *("text_column", "id_column", "delimiter", "encoding", "quoting", "no_texts"),
    text_column="Column of the texts, where IN has tables, or of a field. May be repeated.  [default: text]",
    id_column="Column by which the answers name their rows.  [default: id, if there is one]",
)
@option("--keep", callback=names, metavar="A,B,…", help="Other columns of IN to write beside the answers.")
@option(
    "--format", type=Choice(("parquet", "jsonl", "csv")), default="parquet", show_default=True, help="Of the answers."
)
@option("--shard-rows", type=Whole(1), metavar="N", help="Texts of a file of answers.  [default: 10000]")
@option("--devices", callback=names, metavar="A,B,…", help="For the workers, in turn.  [default: as in the search]")
@options_of(
    api.EXTRACT_SETTINGS,
    *("workers", "executor", "ray_address"),
    workers="Processes that answer, the model in each.  [default: one a device]",
)
@options.reject_option("as exported")
@options.costs_option
@option("--estimate", is_flag=True, help="Answer nothing: say what hours and money it would take.")
@option("--rows", type=Whole(1), metavar="N", help="With --estimate: how many texts.  [default: 1000000000]")
@option("--rate", type=Number(min=0, min_open=True), metavar="R", help="With --estimate: texts a second of a worker.")
@option("--price", type=Number(min=0), metavar="P", help="With --estimate: of a worker's hour.")
@options.trust_option
@options.home_option
@options.tracking_option
@options.json_option
def apply(model: str, source: str | None, out: str | None, estimate: bool, as_json: bool, **settings: Any) -> None:
    """Classify the texts of IN, a file or a folder of files of any size, into files of the folder OUT.

    Either may be an address as s3://BUCKET/FOLDER, which takes a package of fsspec's kind (bench[s3]).

    The texts are answered in shards, each a file that is whole or absent: the same command goes on after whatever ended
    it, and with files that have come to IN since. Memory does not grow with them.

    The files are tables, read as bench search reads them (csv, tsv, jsonl, json, Parquet, xlsx), or have a text a line
    (.txt). A row without a text stays: its answer is null.
    """
    from bench.cli import show

    about = {name: settings.pop(name) for name in ONLY_ESTIMATED}
    if estimate:
        if source is not None:
            raise click.UsageError("--estimate reads no texts: leave out IN and OUT, and give --rows.")
        shared = {name: settings[name] for name in ("home", "tracking_uri")}
        estimates = api.estimate(model, **about, workers=settings["workers"] or 1, **shared)
        if as_json:
            terminal.json_out([each.to_json() for each in estimates])
            return
        _print_estimates(estimates, about["price"] is not None)
        return
    if given := [f"--{name}" for name, value in about.items() if value is not None]:
        raise click.UsageError(f"{', '.join(given)} is for --estimate: give that too, or leave it out.")
    if source is None or out is None:
        raise click.UsageError("Give IN, a file or a folder of texts, and OUT, a folder for the answers.")
    found = api.apply(model, source, out, progress=show.progress(), **_given(settings))
    terminal.json_out(found.to_json()) if as_json else _print(found)


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "keep": settings["keep"] or (), "devices": settings["devices"] or ()}


def _print(found: "Applied") -> None:
    terminal.echo(f"Answers to {counted(found.rows, 'text')}: {counted(found.shards, 'file')} in {found.out}")
    if found.before:
        terminal.echo(f"There already: {found.before:,} of them.")
    if found.blank:
        terminal.echo(f"Without a text, and with null for an answer: {counted(found.blank, 'row')}.")
    if found.rate is not None:
        terminal.echo(f"{found.rate:,.0f} texts/s, {in_words(found.seconds)}.")


def _print_estimates(estimates: "list[Estimate]", priced: bool) -> None:
    from bench.cli import show

    first = estimates[0]
    workers = "1 worker" if first.workers == 1 else f"{first.workers:,} workers"
    show.table(
        f"{first.rows:,} texts by {workers}",
        ("measured", "texts/s of one", "time", *(("cost",) if priced else ())),
        [
            (
                each.rate.where,
                "not measured" if each.rate.texts_per_second is None else f"{each.rate.texts_per_second:,.1f}",
                "–" if each.hours is None else in_words(3600 * each.hours),
                *((("–" if each.cost is None else f"{each.cost:,.2f}"),) if priced else ()),
            )
            for each in estimates
        ],
        right=(1, 2, 3),
    )
