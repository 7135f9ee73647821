"""`bench check`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import api
from bench.cli import completers, options, terminal
from bench.cli.fields import Number, option, options_of
from bench.errors import BenchError
from bench.escaping import shown

if TYPE_CHECKING:
    from bench.gate.update import Update
    from bench.gate.verdict import Verdict

FAILED = 1
NAME = 12
"""So many characters a model has in the name of a candidate."""


@click.command()
@option(
    "--baseline",
    "file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The baseline, a small JSON file that is kept with the code.",
)
@options_of(api.EXTRACT_SETTINGS, "data_home")
@option(
    "--fail-on-latency",
    type=Number(min=0, min_open=True),
    metavar="RATIO",
    help="Fail where a model takes RATIO times as long as before, relative to the reference.  [default: warn at 1.5]",
)
@option(
    "--history",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of JSON lines to append this check to; fails where checks fall one after the other.",
)
@option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Summary for a pull request.")
@option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="The comparisons as JUnit XML.")
@option("--update", is_flag=True, help="Measure, show what differs, and write the baseline.")
@option("--study", shell_complete=completers.studies, help="With --update: take the candidates of this study.")
@option(
    "--trial",
    "trials",
    multiple=True,
    help="With --study: a trial's number, recommended, knee, best or cheapest. May be repeated.  "
    "[default: the front, and what is recommended]",
)
@options_of(
    api.EXTRACT_SETTINGS,
    "max_train",
    "max_test",
    max_train="With --study: a subset of the study's training rows.",
    max_test="With --study: a subset of its test rows.",
)
@options.measure_option("With --study: by what candidates are compared from then on", "f1")
@option("--yes", is_flag=True, help="With --update: write without asking.")
@options.trust_option
@options.home_option
@options.json_option
def check(file: Path, as_json: bool, update: bool, **params: Any) -> None:
    """Evaluate the candidates of a baseline again and compare, for continuous integration.

    Everything is computed anew, from the data and the models' files on. The exit status is 0 where nothing got worse;
    1 where the macro-F1 of a candidate (or another --measure) got worse by more than chance explains, or than
    predictions from outside (--against of the search) that it was not below; where rows, models, extracted values or
    counts are not what they were; or where past checks (--history) fall one after the other; and 2 where the check
    could not run. Latency is compared as a ratio to a fixed piece of work timed in the same run, and only warns.

    A baseline is made from a study, and made anew from itself after an intended change:

        bench check --baseline baseline.json --update --study NAME

        bench check --baseline baseline.json --update
    """
    _consistent(update, params)
    _update(file, params, as_json=as_json) if update else _check(file, params, as_json=as_json)


def _consistent(update: bool, params: dict[str, Any]) -> None:
    """Refuse options that would have no effect."""
    given = {
        name: params[name] for name in ("study", "yes", "trials", "max_train", "max_test", "measure") if params[name]
    }
    if not update and given:
        raise click.UsageError(f"--{_flag(next(iter(given)))} goes with --update.")
    if update and params["study"] is None and (alone := [name for name in given if name != "yes"]):
        raise click.UsageError(f"--{_flag(alone[0])} goes with --study.")
    for name in ("fail_on_latency", "history"):
        if update and params[name]:
            raise click.UsageError(f"--{_flag(name)} goes with a check, not with --update.")


def _flag(name: str) -> str:
    return "trial" if name == "trials" else name.replace("_", "-")


def _check(file: Path, params: dict[str, Any], *, as_json: bool) -> None:
    from bench.cli import show

    taken = ("data_home", "fail_on_latency", "history", "markdown", "junit", "trust_remote_code", "home")
    verdict = api.check(file, progress=show.progress(), **{name: params[name] for name in taken})
    terminal.json_out({"baseline": str(file), **verdict.to_json()}) if as_json else _print(verdict)
    if verdict.failed:
        if not as_json:
            terminal.echo("If all of this was meant:")
            terminal.command("bench", "check", "--baseline", str(file), "--update")
        sys.exit(FAILED)


def _update(file: Path, params: dict[str, Any], *, as_json: bool) -> None:
    from bench.cli import show

    taken = (
        *("study", "trials", "max_train", "max_test", "measure", "data_home"),
        *("markdown", "junit", "trust_remote_code", "home"),
    )
    update = api.new_baseline(file, progress=show.progress(), **{name: params[name] for name in taken})
    if not as_json:
        _print_update(update)
    written = params["yes"] or (not as_json and _confirmed(file))
    if written:
        update.write()
    if as_json:
        verdict = None if update.verdict is None else update.verdict.to_json()
        words = {"baseline": str(file), "written": written, "differences": update.differences, "check": verdict}
        terminal.json_out(words)
    else:
        terminal.echo(f"Wrote {file}." if written else "Nothing was written.")
    if not written and not _asks():
        raise BenchError(f"{file} was left as it was, because nobody is there to confirm: add --yes to write it.")


def _asks() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _confirmed(file: Path) -> bool:
    return _asks() and click.confirm(shown(f"Write {file}?"))


def _print_update(update: "Update") -> None:
    from bench.cli import show

    terminal.echo()
    if update.verdict is not None:
        terminal.echo("The new baseline against the old one:")
        for line in update.differences:
            terminal.echo(f"  {line}")
        _print(update.verdict)
        return
    new = update.new
    terminal.echo(
        f"A new baseline of {new.pinned.dataset.title}, {new.data.train.rows} training rows, {new.pinned.origin}."
    )
    beside = [each.title for each in new.pinned.beside]
    show.table(
        "",
        ("candidate", f"{new.measure.title} mean ± std", *beside, "seeds"),
        [
            (
                *(each.name, f"{show.number(each.summary.mean)} ± {show.number(each.summary.std)}"),
                *map(show.number, each.means.values()),
                each.summary.n,
            )
            for each in new.scores
        ],
        right=range(1, 3 + len(beside)),
    )
    for each in new.references:
        terminal.echo(f"To stay above {each.name}, from outside: {new.measure.title} {show.number(each.summary.mean)}.")


def _named(text: str, short: Mapping[str, str]) -> str:
    """A candidate or a subject with the short names of its models."""
    for model, alias in short.items():
        text = text.replace(model, alias)
    return text


def _print(verdict: "Verdict") -> None:
    from bench.cli import show

    terminal.echo()
    if verdict.data:
        terminal.echo(f"Data: {verdict.data}\n")
    models = [each.subject.rpartition(":")[0] for each in verdict.findings if each.group == "model"]
    short = api.aliases(models, NAME)
    beside = next((list(each.beside) for each in verdict.findings if each.change is not None), [])
    show.table(
        f"{verdict.measure[:1].upper()}{verdict.measure[1:]}, paired by seed",
        (
            *("", "candidate", "before", "now", "differ-\nence", "p"),
            *(f"{title}\nnow" for title in beside),
            *("± std\nnow", "detect-\nable"),
        ),
        [
            (
                finding.status,
                _named(finding.subject, short),
                show.number(change.before.mean),
                show.number(change.after.mean),
                f"{change.difference:+.4f}",
                show.number(change.p, 3),
                *(show.number(mean) for _, mean in finding.beside.values()),
                show.number(change.after.std),
                show.number(change.detectable, 3),
            )
            for finding in verdict.findings
            if (change := finding.change) is not None
        ],
        right=range(2, 8 + len(beside)),
        spare=(6 + len(beside), 7 + len(beside)),
        prose=1,
    )
    show.table(
        "Everything else",
        ("", "what", "found"),
        [
            (finding.status, f"{finding.group}: {_named(finding.subject, short)}", _named(finding.detail, short))
            for finding in verdict.findings
            if finding.change is None
        ],
        prose=2,
    )
    show.legend(short)
    terminal.echo(f"{verdict.summary}.")
    for finding in verdict.failed:
        terminal.echo(f"  {finding.subject}: {finding.detail}")
