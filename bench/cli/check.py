"""`bench check`."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.api import EXTRACT_SETTINGS, HOME
from bench.cli import completers, options
from bench.cli.fields import Number, options_of
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.gate.baseline import Baseline
    from bench.gate.judge import Verdict

FAILED = 1


@click.command()
@click.option(
    "--baseline",
    "file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The baseline, a small JSON file that is kept with the code.",
)
@options_of(EXTRACT_SETTINGS, "data_home")
@click.option(
    "--fail-on-latency",
    type=Number(min=0, min_open=True),
    metavar="RATIO",
    help="Fail where a model takes RATIO times as long as before, relative to the reference.  [default: warn at 1.5]",
)
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Summary for a pull request.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="The comparisons as JUnit XML.")
@click.option("--update", is_flag=True, help="Measure, show what differs, and write the baseline.")
@click.option("--study", shell_complete=completers.studies, help="With --update: take the candidates of this study.")
@click.option(
    "--trial",
    "trials",
    multiple=True,
    help="With --study: a trial's number, knee, best or cheapest; may be repeated.  [default: the front]",
)
@options_of(
    EXTRACT_SETTINGS,
    "max_train",
    "max_test",
    max_train="With --study: a subset of the study's training rows.",
    max_test="With --study: a subset of its test rows.",
)
@click.option("--yes", is_flag=True, help="With --update: write without asking.")
@options.json_option
def check(file: Path, as_json: bool, markdown: Path | None, junit: Path | None, update: bool, **params: Any) -> None:
    """Evaluate the candidates of a baseline again and compare, for continuous integration.

    Everything is computed anew, from the data and the models' files on. The exit status is 0 where nothing got worse;
    1 where the macro-F1 of a candidate fell by more than chance explains, or where rows, models, extracted values or
    counts are not what they were; and 2 where the check could not run. Latency is compared as a ratio to a fixed piece
    of work timed in the same run, and only warns.

    A baseline is made from a study, and made anew from itself after an intended change:

        bench check --baseline baseline.json --update --study NAME

        bench check --baseline baseline.json --update
    """
    _consistent(update, params)
    reports = _Reports(markdown, junit)
    with reports.errors():
        if update:
            _update(file, params, reports, as_json=as_json)
        else:
            _check(file, params, reports, as_json=as_json)


def _consistent(update: bool, params: dict[str, Any]) -> None:
    """Refuse options that would have no effect."""
    given = {name: params[name] for name in ("study", "yes", "trials", "max_train", "max_test") if params[name]}
    if not update and given:
        raise click.UsageError(f"--{_flag(next(iter(given)))} goes with --update.")
    if update and params["study"] is None and (alone := [name for name in given if name != "yes"]):
        raise click.UsageError(f"--{_flag(alone[0])} goes with --study.")
    if update and params["fail_on_latency"]:
        raise click.UsageError("--fail-on-latency goes with a check, not with --update.")


def _flag(name: str) -> str:
    return "trial" if name == "trials" else name.replace("_", "-")


def _check(file: Path, params: dict[str, Any], reports: "_Reports", *, as_json: bool) -> None:
    from bench.cli import show
    from bench.gate.baseline import read
    from bench.gate.check import check as run_check
    from bench.home import store_home

    baseline = _at_home(read(file), params["data_home"])
    verdict = run_check(baseline, store_home(), fail_on_latency=params["fail_on_latency"], progress=show.progress())
    reports.write(verdict)
    show.json_out({"baseline": str(file), **verdict.to_json()}) if as_json else _print(verdict)
    if verdict.failed:
        sys.exit(FAILED)


def _update(file: Path, params: dict[str, Any], reports: "_Reports", *, as_json: bool) -> None:
    from bench.cli import show
    from bench.gate.baseline import read, write
    from bench.gate.check import from_study, measured
    from bench.gate.judge import judge
    from bench.home import store_home

    old = read(file) if params["study"] is None or file.exists() else None
    if params["study"] is not None:
        subset = params["max_train"], params["max_test"]
        pinned = from_study(HOME, params["study"], params["trials"], *subset)
    else:
        assert old is not None
        pinned = old.pinned
    if params["data_home"] is not None:
        pinned = pinned.model_copy(
            update={"dataset": pinned.dataset.model_copy(update={"data_home": params["data_home"]})}
        )
    new = measured(pinned, store_home(), show.progress())
    verdict = None if old is None else judge(old, new)
    if verdict is not None:
        reports.write(verdict)
    if not as_json:
        _print_update(old, new, verdict)
    written = params["yes"] or (not as_json and _confirmed(file))
    if written:
        write(file, new)
    if as_json:
        show.json_out(
            {
                "baseline": str(file),
                "written": written,
                "differences": _differences(old, new),
                "check": None if verdict is None else verdict.to_json(),
            }
        )
    else:
        click.echo(f"Wrote {file}." if written else "Nothing was written.")
    if not written and not _asks():
        raise BenchError(f"{file} was left as it was, because nobody is there to confirm: add --yes to write it.")


def _asks() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _confirmed(file: Path) -> bool:
    return _asks() and click.confirm(f"Write {file}?")


def _at_home(baseline: "Baseline", data_home: str | None) -> "Baseline":
    if data_home is None:
        return baseline
    dataset = baseline.pinned.dataset.model_copy(update={"data_home": data_home})
    return baseline.model_copy(update={"pinned": baseline.pinned.model_copy(update={"dataset": dataset})})


def _differences(old: "Baseline | None", new: "Baseline") -> list[str]:
    """What is checked that was not checked before, and the other way round, a line each."""
    from bench.gate.baseline import describe
    from bench.study.settings import differences

    before = {} if old is None else {each.fingerprint(): each for each in old.pinned.candidates}
    after = {each.fingerprint(): each for each in new.pinned.candidates}
    lines = [] if old is None else differences(*(each.pinned.model_dump(exclude={"candidates"}) for each in (old, new)))
    lines += [f"no longer: {describe(before[key])}" for key in before if key not in after]
    return lines + [f"new: {describe(after[key])}" for key in after if key not in before]


def _print_update(old: "Baseline | None", new: "Baseline", verdict: "Verdict | None") -> None:
    from bench.cli import show
    from bench.metrics import summarise

    click.echo()
    if old is not None and verdict is not None:
        click.echo("The new baseline against the old one:")
        for line in _differences(old, new):
            click.echo(f"  {line}")
        _print(verdict)
        return
    click.echo(
        f"A new baseline of {new.pinned.dataset.name}, {new.data.train.rows} training rows, {new.pinned.origin}."
    )
    summaries = [(each.name, summarise(each.f1 or [float("nan")])) for each in new.scores]
    show.table(
        "",
        ("candidate", f"{new.measure.title} mean ± std", "seeds"),
        [(name, f"{show.number(f1.mean)} ± {show.number(f1.std)}", f1.n) for name, f1 in summaries],
        right=(1, 2),
    )


def _print(verdict: "Verdict") -> None:
    from bench.cli import show

    click.echo()
    scored = [finding for finding in verdict.findings if finding.change is not None]
    show.table(
        f"{verdict.measure[:1].upper()}{verdict.measure[1:]}, paired by seed",
        ("", "candidate", "baseline", "now", "difference", "p", "detectable"),
        [
            (
                finding.status,
                finding.subject,
                f"{show.number(change.before.mean)} ± {show.number(change.before.std)}",
                f"{show.number(change.after.mean)} ± {show.number(change.after.std)}",
                f"{change.difference:+.4f}",
                show.number(change.p, 3),
                show.number(change.detectable, 3),
            )
            for finding in scored
            if (change := finding.change) is not None
        ],
        right=(2, 3, 4, 5, 6),
    )
    show.table(
        "Everything else",
        ("", "what", ""),
        [
            (finding.status, f"{finding.group}: {finding.subject}", finding.detail)
            for finding in verdict.findings
            if finding.change is None
        ],
    )
    click.echo(f"{verdict.summary}.")
    for finding in verdict.failed:
        click.echo(f"  {finding.subject}: {finding.detail}")


@dataclass
class _Reports:
    """The files that were asked for."""

    markdown: Path | None
    junit: Path | None

    def __post_init__(self) -> None:
        self._started = time.perf_counter()

    def write(self, verdict: "Verdict") -> None:
        """A check that ran."""
        from bench.gate import reports

        self._write(reports.markdown(verdict), reports.junit(verdict, self._seconds))

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Say in the files, too, that a check could not run."""
        from bench.gate import reports

        try:
            yield
        except BenchError as error:
            self._write(reports.markdown_error(str(error)), reports.junit_error(str(error), self._seconds))
            raise

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._started

    def _write(self, markdown: str, junit: str) -> None:
        from bench.files import atomic

        if self.markdown is not None and str(self.markdown) == os.environ.get("GITHUB_STEP_SUMMARY"):
            # other commands of the step write there too
            with self.markdown.open("a", encoding="utf-8") as summary:
                summary.write(markdown)
        elif self.markdown is not None:
            with atomic(self.markdown) as temporary:
                temporary.write_text(markdown, encoding="utf-8")
        if self.junit is not None:
            with atomic(self.junit) as temporary:
                temporary.write_text(junit, encoding="utf-8")
