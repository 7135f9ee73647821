"""`bench doctor`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench import api
from bench.cli import completers, options, terminal
from bench.cli.fields import names, option, options_of

if TYPE_CHECKING:
    from bench.backends.parity import Parity

MARKS = {
    "ok": click.style("ok     ", fg="green"),
    "note": click.style("note   ", fg="yellow"),
    "problem": click.style("problem", fg="red"),
}


@click.command()
@option(
    "--parity",
    "model",
    metavar="MODEL",
    shell_complete=completers.models,
    help="Compare backends on a few texts instead, layer by layer.",
)
@option("--backends", callback=names, metavar="A,B,…", help="With --parity.  [default: all that are installed]")
@options_of(api.EXTRACT_SETTINGS, "dtype", dtype="With --parity: of the computation.")
@options.home_option
@options.json_option
def doctor(model: str | None, backends: tuple[str, ...] | None, dtype: str, home: Path | None, as_json: bool) -> None:
    """Say what is installed, which devices and sources are at hand, and what to fix.

    With --parity, extract a dozen texts with two or more backends and say how far their hidden states lie apart.
    """
    if model is not None:
        _parity(model, backends, dtype, home, as_json)
        return
    if backends is not None:
        raise click.UsageError("--backends goes with --parity MODEL.")
    from dataclasses import asdict

    from bench.cli.words import in_options

    found = api.doctor(home)
    if as_json:
        terminal.json_out({"findings": [asdict(each) for each in found]})
    else:
        for each in found:
            terminal.echo(f"  {each.what}: {in_options(each.detail)}", mark=MARKS[each.state], hanging=9)
    if any(each.state == "problem" for each in found):
        raise SystemExit(1)


def _parity(name: str, backends: tuple[str, ...] | None, dtype: str, home: Path | None, as_json: bool) -> None:
    from bench.cli import show

    found = api.compare_backends(name, backends, dtype=dtype, home=home, progress=show.progress())
    if as_json:
        terminal.json_out({"parities": [each.to_json() for each in found]})
        return
    for each in found:
        _print_parity(each)


def _print_parity(parity: "Parity") -> None:
    from bench.cli import show

    poolings = list(dict.fromkeys(each.pooling for each in parity.agreements))
    cells = {(each.layer, each.pooling): each for each in parity.agreements}
    layers = sorted({layer for layer, _ in cells})
    show.table(
        f"{parity.model} in {parity.dtype}: {parity.backend} beside {parity.reference}, the worst of "
        f"{parity.texts} texts",
        ("layer", *(f"{pooling} {what}" for pooling in poolings for what in ("error", "cosine"))),
        [
            (
                layer,
                *(
                    cell
                    for pooling in poolings
                    for cell in _cells(cells[layer, pooling].error, cells[layer, pooling].cosine)
                ),
            )
            for layer in layers
        ],
        right=tuple(range(1 + 2 * len(poolings))),
    )
    terminal.echo(f"Largest relative error {parity.worst_error:.1e}, smallest cosine {parity.worst_cosine:.6f}.")


def _cells(error: float, cosine: float | None) -> tuple[str, str]:
    return f"{error:.1e}", "–" if cosine is None else f"{cosine:.6f}"
