"""`bench search`."""

import math
from collections.abc import Sequence
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
    from bench.measures import Measure
    from bench.study.columns import SearchColumn
    from bench.study.confirm import Entry
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
    from bench.cli.report import print_report

    progress = show.progress()
    if dry_run:
        planned = api.plan(home=home, progress=progress, **params)
        terminal.json_out(planned.to_json()) if as_json else _print_plan(planned)
        return
    uri = None if no_tracking else tracking_uri
    found = api.search(home=home, tracking_uri=uri, tracking=not no_tracking, progress=progress, **params)
    if not as_json:
        _print_study(found.study)  # first, whatever becomes of the report
    report = found.closing_report()
    if as_json:
        words = {} if report is None else report.to_json()
        terminal.json_out(
            found.study.to_json() | {"report": words.get("page"), "compare_url": words.get("compare_url")}
        )
    elif report is not None:
        print_report(report, home)
    if found.study.session is not None and found.study.session.untracked is not None:
        raise BenchError(found.study.session.untracked)


def _print_study(study: "Study") -> None:
    from bench.cli import show

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
    terminal.echo(f"Data: {dataset.title}, {len(dataset.train)} training and {len(dataset.test)} test rows.")
    terminal.echo(f"Protocol: {study.protocol}.")
    if study.optimistic:
        terminal.echo("OPTIMISTIC: candidates were selected on the test set, as in the paper.")
    for name, count in study.material.truncated.items():
        if count:
            texts = len(study.material.texts)
            terminal.echo(f"{count} of {texts} texts were cut to the maximum length for {name}.")
    terminal.echo()
    columns, score = study.columns, study.request.space.objectives.score.measure
    header = (
        "trial",
        "sources",
        "fusion",
        *(column.heading for column in columns),
        f"test {score.short} mean ± std",
        f"test {score.short} 95%",
        *(f"test {each.short}" for each in study.request.space.objectives.beside),
        "p vs best single",
    )
    right = [place for place, column in enumerate(columns, start=3) if column.number]
    right += range(len(columns) + 5, len(header) - 1)
    show.table(
        "Front (search scores, then the test set under fresh seeds)",
        header,
        [_row(entry, entry.name if entry.cascade else str(entry.trial), columns, score) for entry in study.found],
        right=right,
    )
    if study.cascades:
        _print_cascades(study, score)
    show.table(
        "Baselines",
        ("name", *header[1:-1]),
        [_row(entry, entry.name, columns, score)[:-1] for entry in study.baselines],
        right=right,
    )
    if any(entry.latency_estimated for entry in (*study.found, *study.baselines)):
        terminal.echo(
            f"~ estimated: the {study.material.settings.backend} backend measures a model's whole pass; what it takes "
            "up to a layer before the last is a share of that."
        )
    for sentence in study.limits_in_words:
        terminal.echo(sentence)
    compared = [entry.comparison.resolvable for entry in study.found if entry.comparison is not None]
    # unknown where two candidates never differ on a row
    if resolvable := [value for value in compared if not math.isnan(value)]:
        terminal.echo(
            f"{len(dataset.test)} test rows can resolve a difference in macro-F1 of about {max(resolvable):.3f} "
            "(80% power, two-sided 5%); p is Holm-corrected over the front."
        )
    terminal.echo("Seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in session.seconds.items()))


def _print_cascades(study: "Study", score: "Measure") -> None:
    from bench.cli import show

    made = study.considered
    assert made is not None, "there are cascades"
    rows = []
    for entry in study.cascades:
        tested = entry.cascade
        assert tested is not None
        beside = tested.beside
        rows.append(
            (
                entry.name,
                "\n".join(f"{value:.3f}" for value in tested.record.cascade.thresholds),
                "\n".join(map(_left, tested.record.reached, tested.reached)),
                f"{tested.costs['latency_ms']:.2f}",
                *(each.shown(tested.control.get(each.name)) for each in (score, *entry.objectives.beside)),
                ""
                if beside is None
                else f"{beside.difference.value:+.3f} ({beside.difference.low:+.3f} to {beside.difference.high:+.3f})",
                "" if beside is None else f"{beside.share:.0%}",
            )
        )
    scores = len(study.request.space.objectives.beside) + 1
    best = next((entry.cascade.beside for entry in study.cascades if entry.cascade is not None), None)
    named = "best trial" if best is None else f"trial {best.trial}"
    show.table(
        "Cascades: a stage leaves the texts whose margin is below its threshold to the next",
        (
            "cascade",
            "threshold",
            "left: search / test",
            "test ms/text",
            *(f"random: test {each.short}" for each in (score, *study.request.space.objectives.beside)),
            f"test − {named} (95%)",
            "its cost",
        ),
        rows,
        right=(1, 2, 3, *range(4, 4 + scores), 5 + scores),
    )
    terminal.echo(
        f"{made.considered} cascades of scored candidates were considered out of fold; {made.on_front} are "
        f"beaten by nothing, and the {len(rows)} that add most were confirmed. random: as many texts left, but any."
    )


def _left(search: float, test: float) -> str:
    return f"{search:.0%} / {test:.0%}"


def _row(entry: "Entry", name: str, columns: Sequence["SearchColumn"], score: "Measure") -> list[str]:
    from bench.cli.show import number

    candidate, test, (low, high) = entry.candidate, entry.confirmed.summary(score), entry.tested(score)
    if entry.cascade is not None:
        sources = "\n→ ".join(f"trial {trial}" for trial in entry.cascade.record.trials)
    else:
        sources = "" if candidate is None else "\n".join(map(str, candidate.sources))
    return [
        name,
        sources,
        entry.kind.replace("baseline", "") if candidate is None else candidate.fusion,
        *(column.cell(entry) for column in columns),
        score.plus_minus(test.mean, test.std) or "–",
        f"{number(low, 3)}–{number(high, 3)}",
        *(each.shown(entry.confirmed.summary(each).mean) for each in entry.objectives.beside),
        "reference" if entry.comparison is None else number(entry.comparison.p, 3),
    ]


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
        ("model", "own pooling", "dtype", "texts", "missing", "size on disk", "estimated time"),
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
