"""`bench store`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import api
from bench.cli import completers, options, terminal
from bench.cli.fields import option, options_of
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.store import Shelf
    from bench.store.leftovers import Leftover


@click.group()
def store() -> None:
    """Look into, verify, prune, export or import hidden states (BENCH_STORE)."""


@store.command("list")
@options.json_option
def list_(as_json: bool) -> None:
    """What is stored, and what kills and damage have left.

    One line a model and settings, the rows that are known, the remembered evaluations, and what is of no use.
    """
    from dataclasses import asdict

    from bench.cli import show

    opened = api.store()
    home, shelves = opened.home, [(shelf, *_rows(shelf)) for shelf in opened.shelves()]
    closed, left = opened.closed(), opened.leftovers()
    remembered, known = api.remembered()
    if as_json:
        terminal.json_out(
            {
                "store": opened.where,
                "shelves": [
                    {
                        "shelf": each.folder.name,
                        "rows": rows,
                        "bytes": each.size(),
                        "identity": dict(each.identity),
                        "problem": problem,
                    }
                    for each, rows, problem in shelves
                ],
                "closed": [{"shelf": path.name, "problem": reason} for path, reason in closed.items()],
                "splits": [{"fingerprint": each[0], "dataset": each[1], "rows": each[2]} for each in known],
                "evaluations": asdict(remembered),
                "leftovers": [_leftover(each, home) for each in left],
            }
        )
        return
    keys = ("backend", "dtype", "storage_dtype", "max_length", "attention")
    show.table(
        f"Store {opened.where}",
        ("shelf", "rows", "size", *keys),
        [
            (each.folder.name, rows, show.size(each.size()), *(each.identity.get(key) for key in keys))
            for each, rows, _ in shelves
        ],
        right=(1, 2),
        spare=(7, 5, 3, 6),
    )
    for problem in [*closed.values(), *(problem for *_, problem in shelves if problem)]:
        terminal.echo(f"Not used: {problem}")
    terminal.echo(f"{len(known)} splits of data sets are known by their rows, without texts.")
    earlier = (
        f", and {remembered.earlier:,} of an earlier bench ({show.size(remembered.earlier_bytes)}) that it does not use"
        if remembered.earlier
        else ""
    )
    terminal.echo(f"{remembered.files:,} evaluations are remembered ({show.size(remembered.bytes)}){earlier}.")
    if left:
        show.table(
            "Leftovers, which `bench store prune` deletes",
            ("size", "path", ""),
            [(show.size(each.bytes), each.path.relative_to(home), _use(each)) for each in left],
            right=(0,),
            prose=2,
        )


def _rows(shelf: "Shelf") -> tuple[int | None, str | None]:
    """How many texts a shelf has, or why that cannot be said."""
    try:
        return shelf.rows(), None
    except BenchError as error:
        return None, str(error)


def _leftover(left: "Leftover", home: Path) -> dict[str, Any]:
    return {"path": str(left.path.relative_to(home)), "bytes": left.bytes, "in_use": left.in_use}


def _use(left: "Leftover") -> str:
    return "kept: a process may be writing it" if left.in_use else ""


@store.command()
@options.json_option
def verify(as_json: bool) -> None:
    """Read every byte and check it; damaged files are set aside, their rows will be extracted again.

    What cannot be read, or is of a newer bench, is named and left as it is.
    """
    from dataclasses import asdict

    from bench.cli import show

    found = api.verify_store(progress=show.progress())
    if as_json:
        terminal.json_out({"shelves": [{"shelf": name} | asdict(each) for name, each in found.items()]})
    else:
        show.table(
            "Verified",
            ("shelf", "whole segments", "damaged"),
            [(name, each.whole, each.damaged) for name, each in found.items()],
            right=(1, 2),
        )
        for each in found.values():
            if each.problem:
                terminal.echo(f"Not verified: {each.problem}")
    if any(each.damaged or each.problem for each in found.values()):
        raise SystemExit(1)


@store.command()
@option(
    "--shelf",
    "names",
    multiple=True,
    metavar="PREFIX",
    help="Also delete the shelves that begin with this. May be repeated.",
)
@option("--evaluations", is_flag=True, help="Also delete the remembered evaluations.")
@option("--yes", is_flag=True, help="Do not ask.")
@options.json_option
def prune(names: tuple[str, ...], evaluations: bool, yes: bool, as_json: bool) -> None:
    """Delete damaged files and parts of interrupted writes; with --shelf, whole shelves.

    What another process is writing is kept: one of this machine is asked for, and what another machine may be writing
    is deleted when it has not changed for a day.
    """
    from bench.cli import show

    opened = api.store()
    doomed = opened.prunable(names, evaluations=evaluations)
    kept = [each for each in opened.leftovers() if each.in_use and each.path not in doomed]
    total = sum(doomed.values())
    for each in kept:
        terminal.echo(f"{show.size(each.bytes):>10}  {each.path.relative_to(opened.home)}  {_use(each)}", err=True)
    if doomed and not yes:
        for path in doomed:
            terminal.echo(f"{show.size(doomed[path]):>10}  {path.relative_to(opened.home)}", err=True)
        if not terminal.agreed(f"Delete {show.size(total)}?"):
            raise BenchError("Nothing was deleted. Say y, or pass --yes.")
        # somebody may have begun to write there while the question stood
        still = opened.prunable(names, evaluations=evaluations)
        doomed = {path: count for path, count in doomed.items() if path in still}
        total = sum(doomed.values())
    opened.delete(doomed)
    if as_json:
        terminal.json_out(
            {
                "deleted": [str(path.relative_to(opened.home)) for path in doomed],
                "bytes": total,
                "kept": [_leftover(each, opened.home) for each in kept],
            }
        )
    else:
        terminal.echo(f"Deleted {len(doomed)} items, {show.size(total)}.")


@store.command()
@option("--model", required=True, shell_complete=completers.models, help="A model by name, hub id or folder.")
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


@store.command("import")
@options.json_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(file: Path, as_json: bool) -> None:
    """Take the hidden states of a FILE of `bench store export` into the store.

    They are stored under the identity that they were computed under, and found by whoever computes the same. A file
    that was altered, or whose identity was, is refused; rows that the store has are left as they are.
    """
    found = api.import_states(file)
    if as_json:
        shelf = found.shelf
        terminal.json_out(
            {
                "file": str(file),
                "model": shelf.model,
                "shelf": shelf.folder.name,
                "texts": found.rows,
                "imported": found.new,
            }
        )
    else:
        terminal.echo(
            f"Imported {found.new:,} of {found.rows:,} texts of {found.shelf.model}; the store had the others."
        )
