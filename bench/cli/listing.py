"""`bench list`."""

from pathlib import Path

import click

from bench import api
from bench.cli import options, terminal
from bench.cli.fields import options_of
from bench.cli.words import in_options


@click.group("list")
def listing() -> None:
    """List models, data sets, fusion operators, or studies."""


@listing.command()
@options.json_option
def models(as_json: bool) -> None:
    """Models by name: what they are, what they need, and whether they can be had and fit here."""
    from bench.cli import show

    machine, overview = api.models()
    found = [each.to_json() for each in overview]
    if as_json:
        terminal.json_out({"machine_gb": machine, "models": found})
        return
    show.table(
        "Models (any hub id or local folder works too)",
        ("name", "kind", "layers", "width", "params", "GiB\nfloat32", "\n16 bits", "fits\nhere in"),
        [
            (
                *(each["name"], each["kind"], each["layers"], each["width"], f"{each['parameters'] / 1e9:.2f} B"),
                *(f"{each['memory_gb'][dtype]:.1f}" for dtype in ("float32", "bfloat16")),
                next(iter(each["fits"]), "neither"),
            )
            for each in found
        ],
        right=(2, 3, 4, 5, 6),
        spare=(1, 3),
    )
    reasons = list(dict.fromkeys(each["reason"] for each in found if each["reason"]))
    show.table(
        "How they can be had",
        ("name", "licence", "gated", "remote\ncode", "here", "backends"),
        [
            (
                *(each["name"], each["licence"], *("yes" if each[key] else "no" for key in ("gated", "remote_code"))),
                f"no ({reasons.index(each['reason']) + 1})" if each["reason"] else "yes",
                ", ".join(each["backends"]),
            )
            for each in found
        ],
        spare=(5,),
    )
    for number, reason in enumerate(reasons, start=1):
        terminal.echo(f"({number}) {in_options(reason)}")
    terminal.echo(f"Memory: the weights and a fifth more; this machine has {machine:.1f} GiB.")
    terminal.echo("Gated: the terms must be accepted on the model's hub page first, then: hf auth login\n")
    for each in found:
        if each["note"]:
            terminal.echo(f"{each['name']}: {each['note']}")


@listing.command()
@options.json_option
@options_of(api.EXTRACT_SETTINGS, "data_home")
def datasets(as_json: bool, data_home: str | None) -> None:
    """Data sets by name, and the sources that may give them."""
    from bench.cli import show

    found = api.datasets(data_home)
    if as_json:
        terminal.json_out(
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
        ("name", "title", "classes", "train", "test", "sources, in order"),
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
        prose=5,
        spare=(1, 2),
    )


@listing.command()
@options.json_option
def fusions(as_json: bool) -> None:
    """Fusion operators."""
    from bench.cli import show

    found = api.fusions().values()
    if as_json:
        terminal.json_out(
            {
                "fusions": [
                    {
                        "name": each.name,
                        "summary": each.summary,
                        "commutative": each.commutative,
                        "projects": each.aligned,
                    }
                    for each in found
                ]
            }
        )
        return
    show.table(
        "Fusion operators",
        ("name", "order\nmatters", "projects to a\ncommon width", "what it does"),
        [
            (each.name, "no" if each.commutative else "yes", "yes" if each.aligned else "no", each.summary)
            for each in found
        ],
        prose=3,
    )


@listing.command()
@options.home_option
@options.json_option
def studies(home: Path | None, as_json: bool) -> None:
    """Studies under mlruns/ with how far they are."""
    from bench.cli import show

    found = api.studies(home)
    if as_json:
        terminal.json_out({"studies": [each.to_json() for each in found]})
        return
    if not found:
        terminal.echo("There is no study yet: bench search makes one, and --home names another folder.")
        return
    show.table(
        "Studies",
        ("study", "data set", "scored", "pruned", "models"),
        [(each.study, each.data, each.complete, each.pruned, ", ".join(each.models)) for each in found],
        right=(2, 3),
        prose=4,
    )
    for each in found:
        if each.problem is not None:
            terminal.echo(in_options(each.problem), err=True)
