"""`bench study`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench import api
from bench.cli import completers, options, terminal
from bench.cli.fields import option
from bench.errors import BenchError, counted

if TYPE_CHECKING:
    from bench.study.keeping import Contents

AGREE = option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def study() -> None:
    """Look at a study, rename, delete or bundle it; bench list studies has all."""


@study.command("show")
@click.argument("name", metavar="STUDY", shell_complete=completers.studies)
@options.home_option
@options.json_option
def show_(name: str, home: Path | None, as_json: bool) -> None:
    """What STUDY holds, from its journal alone: nothing is loaded. `bench report STUDY` has the test scores."""
    found = api.study_overview(name, home)
    terminal.json_out(found.to_json()) if as_json else _print(found, home)


def _print(found: "Contents", home: Path | None) -> None:
    from bench.cli import show

    request, counts = found.request, found.counts
    tried = sum(counts[state] for state in ("complete", "pruned", "failed"))
    lines = {
        "study": found.name,
        "data": request.dataset.title,
        "models": ", ".join(found.models),
        "space": f"{request.space_name}, sampler {request.space.sampler.name}",
        "candidates": f"{tried} tried of {request.trials}: {counts['complete']} scored, {counts['pruned']} pruned, "
        f"{counts['failed']} failed",
    }
    if found.begun is not None:
        first, last = (f"{each:%Y-%m-%d %H:%M}" for each in found.begun)
        lines["trials"] = f"from {first} to {last}"
    lines["files"] = ", ".join(f"{path} ({show.size(count)})" for path, count in found.files.items())
    show.facts(lines)
    terminal.echo()
    score, beside = request.space.objectives.score, request.space.objectives.beside
    show.table(
        "Front, by search scores",
        ("trial", "which is", score.short, *(f"{each.short} mean" for each in beside), "ms/text"),
        [
            (
                each.id,
                ", ".join(role for role, which in found.roles.items() if which == each.id),
                score.measure.shown(each.metrics.get(score.name)),
                *(one.shown(each.metrics.get(f"{one.name}_mean")) for one in beside),
                f"{each.metrics['latency_ms']:.2f}",
            )
            for each in found.found
        ],
        right=range(2, 4 + len(beside)),
    )
    show.candidates("What they are", *api.told(found.named, show.room(), found.models))
    if found.left_out is not None:
        terminal.echo(f"{found.left_out}\n")
    terminal.echo("Test scores, figures and mistakes:")
    terminal.command("bench", "report", found.name, *options.at(home))


@study.command()
@click.argument("name", metavar="STUDY", shell_complete=completers.studies)
@AGREE
@options.home_option
@options.tracking_option
@options.untracked("Leave its runs in MLflow as they are.")
@options.json_option
def delete(name: str, yes: bool, home: Path | None, tracking_uri: str | None, no_tracking: bool, as_json: bool) -> None:
    """Delete STUDY: its journal, its report, and its runs in the tracking store.

    Hidden states and evaluations stay in the store, where other studies find them. With --no-tracking its runs stay.
    MLflow keeps what is deleted until `mlflow gc`; what was exported to a folder is not touched.
    """
    from bench.cli import show

    doomed = api.study_files(name, home)
    if doomed and not yes:
        for path, count in doomed.items():
            terminal.echo(f"{show.size(count):>10}  {path}", err=True)
        runs = "" if no_tracking else ", and its runs in the tracking store"
        if not terminal.agreed(f"Delete the study '{name}'{runs}?"):
            raise BenchError("Nothing was deleted. Say y, or pass --yes.")
    deleted = api.delete_study(name, home=home, tracking_uri=tracking_uri, tracking=not no_tracking)
    if as_json:
        terminal.json_out({"study": name, "deleted": [str(path) for path in doomed], "runs": deleted})
    else:
        terminal.echo(f"Deleted {counted(len(doomed), 'file')} and {counted(deleted, 'run')} of '{name}'.")


@study.command()
@click.argument("name", metavar="STUDY", shell_complete=completers.studies)
@click.argument("new", metavar="NEW")
@options.home_option
@options.tracking_option
@options.untracked("Leave its runs in MLflow as they are.")
@options.json_option
def rename(name: str, new: str, home: Path | None, tracking_uri: str | None, no_tracking: bool, as_json: bool) -> None:
    """Call STUDY by the name NEW: its journal, its report, and its runs in the tracking store.

    To go on with it, give its search --study NEW. With --no-tracking its runs keep their name, and a search that goes
    on writes new ones.
    """
    runs = api.rename_study(name, new, home=home, tracking_uri=tracking_uri, tracking=not no_tracking)
    if as_json:
        terminal.json_out({"study": new, "before": name, "runs": runs})
    else:
        terminal.echo(f"'{name}' is '{new}' now, in {counted(runs, 'run')} of the tracking store as well.")


@study.command()
@click.argument("name", metavar="STUDY", shell_complete=completers.studies)
@option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file.  [default: STUDY.zip]")
@options.home_option
@options.json_option
def bundle(name: str, out: Path | None, home: Path | None, as_json: bool) -> None:
    """Write STUDY as one file that `bench verify` computes again, without models and texts.

    What the store no longer has is computed here first, which may run models.

    In it: settings and journal, what every classifier said of every row, labels and groups, versions, tables, hashes.
    The journal names the data file and what its rows are called, as the search did.
    """
    from bench.cli import show

    path = api.bundle(name, out, home=home, progress=show.progress())
    if as_json:
        terminal.json_out({"study": name, "file": str(path)})
        return
    terminal.echo(f"{path}: whoever has it can compute its tables again:")
    terminal.command("bench", "verify", str(path))
