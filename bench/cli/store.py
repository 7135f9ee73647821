"""`bench store`."""

from pathlib import Path
from typing import Any

import click

from bench import api
from bench.cli import completers, options, terminal
from bench.cli.fields import options_of
from bench.errors import BenchError


@click.group()
def store() -> None:
    """Look into, verify, prune or export the store of hidden states (BENCH_STORE)."""


@store.command("list")
@options.json_option
def list_(as_json: bool) -> None:
    """What is stored: one line a model and settings, the rows that are known, and the remembered evaluations."""
    from dataclasses import asdict

    from bench.cli import show

    opened = api.store()
    home, shelves = opened.home, list(opened.shelves())
    remembered, known = api.remembered()
    if as_json:
        terminal.json_out(
            {
                "store": str(home),
                "shelves": [
                    {
                        "shelf": each.folder.name,
                        "rows": each.rows(),
                        "bytes": each.size(),
                        "identity": dict(each.identity),
                    }
                    for each in shelves
                ],
                "splits": [{"fingerprint": each[0], "dataset": each[1], "rows": each[2]} for each in known],
                "evaluations": asdict(remembered),
            }
        )
        return
    keys = ("backend", "dtype", "storage_dtype", "max_length", "attention")
    show.table(
        f"Store {home}",
        ("shelf", "rows", "size", *keys),
        [
            (each.folder.name, each.rows(), show.size(each.size()), *(each.identity.get(key) for key in keys))
            for each in shelves
        ],
        right=(1, 2),
    )
    terminal.echo(f"{len(known)} splits of data sets are known by their rows, without texts.")
    earlier = (
        f", and {remembered.earlier:,} of an earlier bench ({show.size(remembered.earlier_bytes)}) that it does not use"
        if remembered.earlier
        else ""
    )
    terminal.echo(f"{remembered.files:,} evaluations are remembered ({show.size(remembered.bytes)}){earlier}.")


@store.command()
@options.json_option
def verify(as_json: bool) -> None:
    """Read every byte and check it; damaged files are set aside, their rows will be extracted again."""
    from bench.cli import show

    found = api.verify_store(progress=show.progress())
    rows = [{"shelf": name, "whole": whole, "damaged": damaged} for name, (whole, damaged) in found.items()]
    if as_json:
        terminal.json_out({"shelves": rows})
    else:
        show.table(
            "Verified", ("shelf", "whole segments", "damaged"), [tuple(row.values()) for row in rows], right=(1, 2)
        )
    if any(row["damaged"] for row in rows):
        raise SystemExit(1)


@store.command()
@click.option("--shelf", "names", multiple=True, metavar="PREFIX", help="Also delete the shelves that begin with this.")
@click.option("--evaluations", is_flag=True, help="Also delete the remembered evaluations.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.json_option
def prune(names: tuple[str, ...], evaluations: bool, yes: bool, as_json: bool) -> None:
    """Delete damaged files and parts of interrupted writes; with --shelf, whole shelves."""
    from bench.cli import show

    opened = api.store()
    doomed = opened.prunable(names, evaluations=evaluations)
    total = sum(doomed.values())
    if doomed and not yes:
        for path in doomed:
            terminal.echo(f"{show.size(doomed[path]):>10}  {path.relative_to(opened.home)}", err=True)
        if not _agreed(f"Delete {show.size(total)}?"):
            raise BenchError("Nothing was deleted. Say y, or pass --yes.")
    opened.delete(doomed)
    if as_json:
        terminal.json_out({"deleted": [str(path.relative_to(opened.home)) for path in doomed], "bytes": total})
    else:
        terminal.echo(f"Deleted {len(doomed)} items, {show.size(total)}.")


def _agreed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        return False


@store.command()
@click.option("--model", required=True, shell_complete=completers.models, help="A model by name, hub id or folder.")
@options_of(api.EXTRACT_SETTINGS)
@options.json_option
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export(file: Path, model: str, as_json: bool, **params: Any) -> None:
    """Write a data set's hidden states to one safetensors FILE.

    Tensors `train` and `test`, [rows, layers + 1, poolings, width], rows in data-set order; row ids, labels, poolings
    and identities are in the metadata. What is not stored yet is extracted first.
    """
    from bench.cli import show

    material = api.export_states(params.pop("dataset"), model, file, progress=show.progress(), **params)
    written = file.stat().st_size
    if as_json:
        terminal.json_out({"file": str(file), "bytes": written, "model": model, "dataset": material.dataset.name})
    else:
        terminal.echo(f"Wrote {file} ({show.size(written)}).")
