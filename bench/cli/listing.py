"""`bench list`."""

import click

from bench.cli import options


@click.group("list")
def listing() -> None:
    """List models, data sets, fusion operators, or studies."""


@listing.command()
@options.json_option
@click.option(
    "--dtype", type=click.Choice(options.DTYPES), default="float32", show_default=True, help="Of the computation."
)
def models(as_json: bool, dtype: str) -> None:
    """Models by name, and whether they can be had and fit here."""
    from bench.cli import show
    from bench.models.availability import availability
    from bench.models.rows import MODELS
    from bench.specs import ExtractionSettings

    settings = ExtractionSettings.model_validate({"dtype": dtype})
    found = [(row, availability(name, settings)) for name, row in MODELS.items()]
    if as_json:
        show.json_out(
            {
                "models": [
                    row.model_dump() | {"available": here.ok, "reason": here.reason, "memory_gb": here.memory_gb}
                    for row, here in found
                ]
            }
        )
        return
    show.table(
        "Models (any hub id or local folder works too)",
        ("name", "kind", "layers", "width", "parameters", f"GiB {dtype}", "licence", "here"),
        [
            (
                row.name,
                row.kind,
                row.layers,
                row.width,
                f"{row.parameters / 1e9:.2f} B",
                show.number(here.memory_gb, 1),
                row.licence + (", gated" if row.gated else ""),
                "yes" if here.ok else f"no: {here.reason}",
            )
            for row, here in found
        ],
        right=(2, 3, 4, 5),
    )
    for row, _ in found:
        if row.note:
            click.echo(f"{row.name}: {row.note}")


@listing.command()
@options.json_option
@click.option("--data-home", type=click.Path(file_okay=False), help="Folder of data sets.  [env: BENCH_DATA_HOME]")
def datasets(as_json: bool, data_home: str | None) -> None:
    """Data sets by name, and the sources that may give them."""
    from bench.cli import show
    from bench.datasets.catalog import available

    found = available(data_home)
    if as_json:
        show.json_out(
            {
                "datasets": [
                    {
                        "name": each.name,
                        "title": each.title,
                        "sources": list(each.sources),
                        "sizes": None if each.sizes is None else each.sizes.model_dump(),
                    }
                    for each in found
                ]
            }
        )
        return
    show.table(
        "Data sets (also legalbench/TASK, any hub id, any csv/tsv/jsonl/parquet file)",
        ("name", "title", "classes", "train", "test", "sources, first asked first"),
        [
            (
                each.name,
                each.title,
                *((each.sizes.classes, each.sizes.train, each.sizes.test) if each.sizes else "???"),
                ", ".join(each.sources),
            )
            for each in found
        ],
        right=(2, 3, 4),
    )


@listing.command()
@options.json_option
def fusions(as_json: bool) -> None:
    """Fusion operators."""
    from bench.cli import show
    from bench.fusion import FUSIONS

    if as_json:
        show.json_out(
            {
                "fusions": [
                    {
                        "name": each.name,
                        "summary": each.summary,
                        "commutative": each.commutative,
                        "projects": each.aligned,
                    }
                    for each in FUSIONS.values()
                ]
            }
        )
        return
    show.table(
        "Fusion operators",
        ("name", "order matters", "projects to a common width", "what it does"),
        [
            (each.name, "no" if each.commutative else "yes", "yes" if each.aligned else "no", each.summary)
            for each in FUSIONS.values()
        ],
    )


@listing.command()
@options.json_option
def studies(as_json: bool) -> None:
    """Studies under mlruns/ with how far they are."""
    from bench.cli import show
    from bench.study.journal import read, study_names

    found = [(name, read(options.HOME, name)) for name in study_names(options.HOME)]
    rows = [
        {
            "study": name,
            "dataset": journal.settings["dataset"],
            "models": sorted(journal.settings["models"]),
            "complete": len(journal.of("complete")),
            "pruned": len(journal.of("pruned")),
        }
        for name, journal in found
    ]
    if as_json:
        show.json_out({"studies": rows})
        return
    show.table(
        "Studies",
        ("study", "data set", "models", "scored", "pruned"),
        [(row["study"], row["dataset"], ", ".join(row["models"]), row["complete"], row["pruned"]) for row in rows],
        right=(3, 4),
    )
