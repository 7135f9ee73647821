"""`bench cost`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench import api
from bench.cli import completers, options, terminal
from bench.cli.fields import option

if TYPE_CHECKING:
    from bench.study.elsewhere import StudyCosts


@click.command()
@click.argument("study", shell_complete=completers.studies)
@option("--here", is_flag=True, help="Time the models on this machine; else the costs are those of the search.")
@option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for the figure of the front at these costs: costs.html, .png and .svg.",
)
@options.trust_option
@options.home_option
@options.json_option
def cost(study: str, here: bool, out: Path | None, trust_remote_code: bool, home: Path | None, as_json: bool) -> None:
    """What the candidates of STUDY cost, and which to take at these costs.

    With --here its models are timed on this machine, as a search times them, and front and recommendation are redrawn:
    for the machine where the pipeline will run. Nothing is extracted or searched, and the study stays as it is.
    """
    from bench.cli import show

    found = api.cost(study, here=here, trust_remote_code=trust_remote_code, home=home, progress=show.progress())
    if out is not None:
        found.save(out)
    if as_json:
        terminal.json_out(found.to_json())
        return
    _print(found)
    if out is not None:
        terminal.echo(f"Figure: {out / 'costs.html'}")
    if found.here and found.recommended is not None:
        terminal.command("bench", "export", found.study, "--trial", found.recommended, "--out", "classifier")


def _print(found: "StudyCosts") -> None:
    from bench.cli import show
    from bench.cli.show import number

    score = found.objectives.score
    terminal.echo()
    show.table(
        "Models, " + ("timed on this machine" if found.here else "as the search timed them"),
        ("model", "ms/text in batches", "one by one", "95% within", "GiB"),
        [
            (
                name,
                number(each.layer_ms[-1], 2),
                number(each.p50_ms, 2),
                number(each.p95_ms, 2),
                number(each.peak_memory_gb, 2),
            )
            for name, each in found.costs.items()
        ],
        right=(1, 2, 3, 4),
        names=True,
    )
    show.table(
        f"Candidates, the cheapest first, by {score.label}",
        ("candidate", score.short, "search ms", *(("here ms", "times") if found.here else ()), ""),
        [
            (
                each.name,
                score.measure.shown(each.score),
                number(each.before["latency_ms"], 2),
                *(
                    (
                        number(each.costs["latency_ms"], 2),
                        number(each.costs["latency_ms"] / each.before["latency_ms"], 2),
                    )
                    if found.here
                    else ()
                ),
                _role(found, each.name, within=each.within),
            )
            for each in found.candidates
        ],
        right=(1, 2, 3, 4) if found.here else (1, 2),
        names=True,
    )
    if found.given_up:
        terminal.echo(
            f"{found.given_up} more were given up at the costs of the search: what of them might stand on this front "
            "is not known."
        )
    terminal.echo(_in_words(found))


def _role(found: "StudyCosts", name: str, *, within: bool) -> str:
    if not within:
        return "over the limits"
    if name == found.recommended:
        return "recommended"
    return "front" if name in found.front else ""


def _in_words(found: "StudyCosts") -> str:
    if found.near is None:
        return "The search was made by an earlier bench and recommends nothing: run it again, which adds that."
    if found.recommended is None:
        return "Nothing that cannot be told apart from the best score is within the limits here."
    if found.here and found.recommended != found.before:
        return f"Recommended here: {found.recommended}, where the search recommended {found.before}."
    return f"Recommended: {found.recommended}" + (", here as by the search." if found.here else ".")
