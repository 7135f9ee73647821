"""`bench compare`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench import api
from bench.cli import completers, options, terminal
from bench.cli.fields import option

if TYPE_CHECKING:
    from bench.comparison import Compared, Contender


@click.command()
@click.argument("a", shell_complete=completers.studies)
@click.argument("b", shell_complete=completers.studies)
@option("--study", "within", shell_complete=completers.studies, help="The study in which A and B select models.")
@options.measure_option("By what the verdict is", "macro-F1 and accuracy, which otherwise stand beside it")
@options.costs_option
@options.trust_option
@options.home_option
@options.json_option
def compare(
    a: str,
    b: str,
    within: str | None,
    measure: str | None,
    costs: Path | None,
    trust_remote_code: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Set A and B side by side: paired by seed, by fold and by example.

    Each is a study, STUDY:recommended (or knee, best, cheapest, a trial's number, a cascade's name), the id of a
    trial's MLflow run, or, within --study, models joined by commas, for which their best scored candidate stands.
    """
    from bench.cli import show

    found = api.compare(
        *(a, b),
        within=within,
        measure=measure,
        costs=costs,
        trust_remote_code=trust_remote_code,
        home=home,
        progress=show.progress(),
    )
    if as_json:
        terminal.json_out({"a": a, "b": b, "pairs": [each.to_json() for each in found]})
        return
    for each in found:
        _print(each)


def _print(found: "Compared") -> None:
    from bench.cli import show
    from bench.cli.show import number

    terminal.echo(f"A  {_describe(found.a)}")
    terminal.echo(f"B  {_describe(found.b)}\n")
    show.table(
        f"Test set, {found.test[0].rows} rows, {found.test[0].seeds} seeds (p and interval corrected over all pairs)",
        ("score", "A", "B", "A − B", "interval", "p", "resol-\nvable"),
        [
            (
                each.title,
                number(each.a),
                number(each.b),
                f"{each.difference:+.4f}",
                f"{each.low:+.4f} to {each.high:+.4f}",
                number(each.p, 3),
                number(each.resolvable, 3),
            )
            for each in (*found.test, *found.beside, *((found.cost,) if found.cost is not None else ()))
        ],
        right=(1, 2, 3, 5, 6),
    )
    if found.by_seed:
        others = [each.title for each in (*found.test[1:], *found.beside)]
        show.table(
            f"Search, out of fold: {found.test[0].title} of A − B (both were selected by such scores)",
            ("seed", "all rows", *others, "fold by fold"),
            [
                (
                    *(each.seed, f"{each.difference:+.4f}", *(f"{value:+.4f}" for value in each.beside.values())),
                    "  ".join(f"{value:+.4f}" for value in each.folds),
                )
                for each in found.by_seed
            ],
            right=range(2 + len(others)),
            prose=2 + len(others),
        )
    if (examples := found.examples) is not None:
        terminal.echo(
            f"Test rows: A is right more often on {examples.a_better}, B on {examples.b_better}, "
            f"equal on {examples.equal}."
        )
        for name, ids in (("A", examples.a_ids), ("B", examples.b_ids)):
            if ids:
                terminal.echo(f"  most in favour of {name}: rows {', '.join(ids)}")
    for note in found.notes:
        terminal.echo(f"Note: {note}")
    terminal.echo(f"{found.words()}\n")


def _describe(side: "Contender") -> str:
    # a text baseline's title is all that there is to say of it
    named = ", ".join(dict.fromkeys((side.record.title, str(side.subject))))
    return f"{side.label}: {named}, {side.record.metrics['latency_ms']:.2f} ms/text"
