"""`bench evaluate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import api
from bench.cli import options, terminal
from bench.cli.fields import Number, option, options_of
from bench.errors import counted

if TYPE_CHECKING:
    from bench.metrics import Interval
    from bench.packaging.drift import Drift
    from bench.packaging.evaluated import Evaluated
    from bench.packaging.sure import Ruled, Sure

MISSED = 1
MATRIX = 8
"""Most labels whose confusion is a table on a screen."""
PAIRS = 10


@click.command()
@options.package_option
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@option("--min-f1", type=Number(min=0, max=1), metavar="F1", help="Exit with status 1 below this macro-F1.")
@option("--min-accuracy", type=Number(min=0, max=1), metavar="SHARE", help="The same below this accuracy.")
@option(
    "--min-score",
    type=Number(min=0, max=1),
    metavar="SCORE",
    help="The same below this kappa of grades, hierarchical F1 of paths, macro-F1 of classes or labels.",
)
@options.reject_option("as exported")
@options.costs_option
@options_of(
    api.EXTRACT_SETTINGS,
    *("text_column", "label_column", "label_columns", "label_sign", "group_column", "id_column", "drop_unlabelled"),
    *("delimiter", "encoding", "quoting", "no_texts"),
    text_column="Column of the texts, or of a field. May be repeated.  [default: text]",
    group_column="Rows with one value here belong together (a document, an author …).",
)
@options.trust_option
@options.home_option
@options.tracking_option
@options.json_option
def evaluate(model: str, file: Path, as_json: bool, **settings: Any) -> None:
    """Score an exported model on FILE, whose rows are labelled, and say what has changed since its search.

    Scores come with intervals, by class, and beside those on the search's test set; inputs, confidence and labels are
    held against what they were. FILE is a table, read as bench search reads it. The exit status is 0; 1 where a score
    is less than was asked (of the answered rows, where --reject-below rejects others); and 2 where nothing could be
    evaluated.
    """
    from bench.cli import show

    found = api.evaluate(model, file, progress=show.progress(), **settings)
    terminal.json_out(found.to_json()) if as_json else _print(found)
    if not found.passed:
        sys.exit(MISSED)


def _print(found: "Evaluated") -> None:
    made, then = found.pipeline, found.pipeline.remembered
    terminal.echo()
    terminal.echo(f"{counted(found.rows, 'row')} of {found.file}, by {made.title} of {made.study}: {made.candidate}")
    for note in found.notes:
        terminal.echo(f"Note: {note}")
    terminal.echo()
    _print_scores(found)
    _print_classes(found)
    _print_confusion(found)
    if found.sure is not None:
        _print_sure(found.sure)
    if found.answered is not None:
        _print_answered(found.answered, found.rows)
    if found.drift:
        _print_drift(found.drift)
    if then is not None:
        terminal.echo(_in_words(found))
    for missed in found.missed:
        terminal.echo(f"FAILED: {missed}.")
    if found.least and found.passed:
        terminal.echo("Passed: no score is less than was asked.")


def _print_scores(found: "Evaluated") -> None:
    from bench.cli import show
    from bench.cli.show import number

    then = found.pipeline.remembered
    show.table(
        "Scores",
        ("", "now", "95%", *(() if then is None else ("test set", "change", "95%"))),
        [
            (
                title,
                number(score.value),
                _span(score),
                *(() if then is None else _beside(then.scores.get(name), found.changes.get(name))),
            )
            for title, (name, score) in zip(found.titles, found.scores.items(), strict=True)
        ],
        right=(1, 2, 3, 4, 5),
    )


def _print_classes(found: "Evaluated") -> None:
    from bench.cli import show
    from bench.cli.show import number

    show.table(
        "F1 of each class" if len(found.confusion) else "F1 of each label",
        ("class" if len(found.confusion) else "label", "rows", "now", "95%", "test set", "change", "95%"),
        [
            (each.label, each.rows, number(each.f1.value), _span(each.f1), *_beside(each.before, each.change))
            if each.rows or each.f1.value
            else (each.label, 0, "–", "–", number(None if each.before is None else each.before.value), "–", "–")
            for each in found.classes
        ],
        right=(1, 2, 3, 4, 5, 6),
    )


def _print_confusion(found: "Evaluated") -> None:
    """A table where it fits, else what is mistaken for what most often."""
    from bench.cli import show

    table, labels = found.confusion.tolist(), found.labels
    if not table:
        return
    if len(labels) <= MATRIX:
        numbers = range(1, len(labels) + 1)
        show.table(
            "Confusion: a row a label, a column an answer",
            ("", "label", *map(str, numbers)),
            [
                (number, label, *(cell or "·" for cell in row))
                for number, label, row in zip(numbers, labels, table, strict=True)
            ],
            right=(0, *range(2, len(labels) + 2)),
        )
        return
    pairs = [
        (row[other], sum(row), label, labels[other])
        for place, (label, row) in enumerate(zip(labels, table, strict=True))
        for other in range(len(labels))
        if other != place and row[other]
    ]
    if pairs:
        show.table(
            "The most frequent mistakes",
            ("rows", "of", "label", "answer"),
            sorted(pairs, key=lambda pair: -pair[0])[:PAIRS],
            right=(0, 1),
        )


def _print_sure(sure: "Sure") -> None:
    from bench.cli import show
    from bench.cli.show import number

    if sure.thresholds:
        show.table(
            "Thresholds to choose from: what to reject to keep an accuracy, as found out of fold",
            ("to\nkeep", "reject\nbelow", "test set\nanswers", "\nright", "now\nanswers", "\nright", "\n95%"),
            [
                (
                    f"{100 * each.chosen.wanted:.3g}%",
                    f"{each.chosen.probability:.7g}",
                    f"{each.chosen.test_coverage:.1%}",
                    number(each.chosen.test_accuracy, 3),
                    f"{each.coverage:.1%}",
                    number(each.accuracy, 3),
                    "–" if each.low is None or each.high is None else f"{each.low:.3f}–{each.high:.3f}",
                )
                for each in sure.thresholds
            ],
            right=range(7),
        )
    errors = sure.errors
    before = f"; {errors.before:.3f} as the head says it" if errors.before != errors.after else ""
    terminal.echo(f"Expected calibration error of the probabilities: {errors.after:.3f}{before}.")
    terminal.echo()


def _print_answered(answered: "Ruled", rows: int) -> None:
    from bench.cli import show
    from bench.cli.show import number

    how = f"with {answered.reject_below:g} or more" if answered.cost is None else "at least expected cost"
    costs = {"cost of a row": answered.cost, "its cost by likeliest labels": answered.cost_likeliest}
    scores = zip(answered.titles, answered.scores.values(), strict=True)
    found = [*scores, *((name, each) for name, each in costs.items() if each is not None)]
    show.table(
        f"Answered {how}: {answered.rows} of {rows} rows ({answered.rows / rows:.1%})",
        ("", "value", "95%"),
        [(name, number(score.value), _span(score)) for name, score in found],
        right=(1, 2),
    )
    if answered.changed:
        terminal.echo(f"{answered.changed} of these answers are not the likeliest label.")
    if answered.rejected_right is not None:
        classes = ", ".join(f"{count} of {label}" for label, count in answered.by_class.items())
        terminal.echo(f"Rejected: {classes}. Of these {answered.rejected_right:.1%} would have been right.")
    terminal.echo()


def _print_drift(drift: "tuple[Drift, ...]") -> None:
    from bench.cli import show
    from bench.cli.show import number

    show.table(
        "Drift",
        ("", "against", "stability index", "p", ""),
        [
            (each.name, each.against, number(each.shift.index, 3), number(each.p, 3), "SHIFTED" if each.shifted else "")
            for each in drift
        ],
        right=(2, 3),
    )


def _in_words(found: "Evaluated") -> str:
    """What has changed, in a sentence or two."""
    moved = [
        f"{name.replace('_', ' ')} is {'higher' if change.low > 0 else 'lower'} than on the search's test set"
        for name, change in found.changes.items()
        if change.low > 0 or change.high < 0
    ]
    shifted = [each.name for each in found.drift if each.shifted]
    words = f"Beyond chance: {'; '.join(moved)}." if moved else "No score differs beyond chance from the test set's."
    return words + (f" Shifted: {', '.join(shifted)}." if shifted else " Nothing that was looked at has shifted.")


def _beside(before: "Interval | None", change: "Interval | None") -> tuple[str, str, str]:
    from bench.cli.show import number

    if before is None or change is None:
        return "–", "–", "–"
    return number(before.value), f"{change.value:+.3f}", f"{change.low:+.3f} to {change.high:+.3f}"


def _span(score: "Interval") -> str:
    return f"{score.low:.3f}–{score.high:.3f}"
