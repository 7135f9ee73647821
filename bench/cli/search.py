"""`bench search`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import api
from bench.cli import options, terminal
from bench.cli.fields import options_of
from bench.cli.words import in_options
from bench.durations import in_words
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.study.plan import LazyPlan, Plan
    from bench.study.study import Study


@click.command()
@options.dataset_argument
@options_of(api.SEARCH_SETTINGS, optional="dataset")
@options.home_option
@options.tracking_option
@options.no_tracking_option
@options.json_option
@options.dry_run_option
def search(
    home: Path | None, tracking_uri: str | None, no_tracking: bool, as_json: bool, dry_run: bool, **params: Any
) -> None:
    """Search for the best candidates on a data set and confirm the front on its test set.

    Hidden states are extracted once and kept. Run the same command again after an interruption, or with more
    --trials, and it goes on where it stopped.
    """
    from bench.cli import show

    progress = show.progress()
    if dry_run:
        planned = api.plan(home=home, progress=progress, **params)
        terminal.json_out(planned.to_json()) if as_json else _print_plan(planned)
        return
    uri = None if no_tracking else tracking_uri
    found = api.search(home=home, tracking_uri=uri, tracking=not no_tracking, progress=progress, **params)
    print_searched(found, home, as_json=as_json)


def print_searched(found: api.Searched, home: Path | None, *, as_json: bool) -> None:
    """What a search has found, and its report; an error last, where the tracking store lacks something.

    Raises:
        BenchError: it lacks something.
    """
    from bench.cli import show
    from bench.cli.report import print_report

    if not as_json:
        _print_study(found.study)  # first, whatever becomes of the report
    report = found.closing_report()
    if as_json:
        words = {} if report is None else report.to_json()
        terminal.json_out(
            found.study.to_json()
            | {"report": words.get("page"), **{name: words.get(name) for name in ("compare_url", "runs_url")}}
        )
    elif report is not None:
        print_report(report, home)
    if not as_json:
        show.decision(found.study.decision)
    if found.study.session is not None and found.study.session.untracked is not None:
        raise BenchError(found.study.session.untracked)


def _print_study(study: "Study") -> None:
    from bench.cli.found import print_tables

    trials, session, dataset = study.trials, study.session, study.material.dataset
    assert session is not None
    terminal.echo()
    terminal.echo(
        f"{study.name}: {trials['tried']} candidates tried of {trials['requested']}: {trials['complete']} scored, "
        f"{trials['pruned']} pruned, {trials['failed']} failed; "
        f"{trials['infeasible']} more over the limits, {trials['repeats']} repeats"
    )
    if study.lazy is not None:
        terminal.echo(study.lazy.header())
        for drop in study.lazy.drops:
            terminal.echo(f"  {drop}")
    if study.screening is not None:
        terminal.echo(f"Screened before: {study.screening.header()}")
    if session.stopped:
        terminal.echo(f"Stopped: {session.stopped}.")
    terminal.echo(f"Data: {dataset.name}, {len(dataset.train)} training and {len(dataset.test)} test rows.")
    terminal.echo(f"Protocol: {study.protocol}.")
    if study.optimistic:
        terminal.echo("OPTIMISTIC: candidates were selected on the test set, as in the paper.")
    for name, count in study.material.truncated.items():
        if count:
            texts = len(study.material.texts)
            ends = study.material.models[name].framing.long == "head+tail"
            where = "in the middle " if ends else ""
            terminal.echo(f"{count} of {texts} texts were cut {where}to the maximum length for {name}.")
    terminal.echo()
    print_tables(study)
    for sentence in study.limits_in_words:
        terminal.echo(sentence)
    terminal.echo("Seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in session.seconds.items()))


def _print_lazy(lazy: "LazyPlan", whole: float) -> None:

    if not lazy.rows:
        terminal.echo("Lazy: the training rows are too few to judge models on a part of them; all is extracted.")
        return
    rows = ", ".join(map(str, lazy.rows))
    terminal.echo(f"Lazy: models and layers are judged on {rows} training rows, and dropped where they cannot matter.")
    for drop in lazy.drops:
        terminal.echo(f"  {drop}")
    if lazy.first_seconds:
        terminal.echo(
            f"The first of these rows take ~ {in_words(lazy.first_seconds)}; the rest is what is left of "
            f"~ {in_words(whole)} when models are dropped."
        )
    if lazy.keep:
        terminal.echo(f"Kept whatever is found: {', '.join(lazy.keep)}.")


def _print_plan(planned: "Plan") -> None:
    from bench.cli import show

    terminal.echo(f"Study {planned.study}: {planned.done} of {planned.trials} candidates are tried already.")
    terminal.echo(f"Data: {planned.dataset}, {planned.train_rows} training and {planned.test_rows} test rows.")
    for sentence in planned.limits:
        terminal.echo(sentence)
    terminal.echo(f"Backend: {planned.backend} on {planned.device}.")
    terminal.echo(f"Protocol: {planned.protocol}.")
    terminal.echo(f"Space: {planned.space_size}.\n")
    show.table(
        "To extract",
        ("model", "own\npooling", "dtype", "texts", "missing", "size\non disk", "estimated\ntime"),
        [
            (
                model.name,
                model.own_pooling or "–",
                model.dtype,
                model.texts,
                model.missing,
                show.size(model.bytes),
                "~ " + in_words(model.seconds),
            )
            for model in planned.models
        ],
        right=(3, 4, 5, 6),
        names=True,
    )
    if planned.lazy is not None:
        _print_lazy(planned.lazy, sum(model.seconds for model in planned.models))
    if planned.screen_seconds:
        terminal.echo(f"Then representations are screened, ~ {in_words(planned.screen_seconds)}.")
    terminal.echo(
        f"Then {planned.left} candidates are left to try, ~ {in_words(planned.search_seconds)}, and the front is "
        f"confirmed, ~ {in_words(planned.confirm_seconds)} (rough: from a moment of this machine's training). "
        f"Free on disk: {show.size(planned.free_bytes)}."
    )
    if planned.problem:
        terminal.echo(f"Problem: {in_options(planned.problem)}")
    terminal.echo("Nothing was written.")
