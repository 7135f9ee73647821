"""What a search has found, on a terminal: the front, the cascades and the baselines, each candidate a line."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench import api
from bench.cli import show, terminal
from bench.cli.show import number

if TYPE_CHECKING:
    from bench.measures import Measure
    from bench.specs import AnyCandidate
    from bench.study.cascades import CascadeRecord
    from bench.study.entry import Entry
    from bench.study.study import Study

SINGLE = "single:"
NAME = 16
"""So many characters a model has in the name of a baseline."""


def print_tables(study: "Study") -> None:
    """The front and the baselines with their scores, then what each of them is."""
    draft = api.aliases(study.material.models, NAME)
    lines, short = _told(study, draft)
    if draft != short:
        lines, short = _told(study, short)
    names = _names(study, short)
    score = study.request.space.objectives.score.measure
    _scores(study, "Front: search scores, then the test set under fresh seeds", study.found, names, compared=True)
    if study.cascades:
        _cascades(study, score)
    _scores(study, "Baselines", study.baselines, names, compared=False)
    _verdicts(study, names)
    show.candidates("What they are", lines, short)
    if any(entry.latency_estimated for entry in (*study.found, *study.baselines)):
        terminal.echo(
            f"~ estimated: the {study.material.settings.backend} backend measures a model's whole pass; what it takes "
            "up to a layer before the last is a share of that."
        )


def _told(study: "Study", short: Mapping[str, str]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """What the names of the tables stand for, where those of models' baselines hold these short ones."""
    named: dict[str, AnyCandidate | CascadeRecord] = {}
    names = _names(study, short)
    for entry in (*study.found, *study.baselines):
        subject = entry.candidate if entry.cascade is None else entry.cascade.record
        if subject is not None:
            named[names[entry.name]] = subject
    return api.told(named, show.room(), tuple(short), max(map(len, short.values())))


def _names(study: "Study", short: Mapping[str, str]) -> dict[str, str]:
    """How each entry is called in the tables: a trial by its number, a model's baseline with the model's short name."""
    names = {entry.name: entry.name if entry.trial is None else str(entry.trial) for entry in study.found}
    for entry in study.baselines:
        model = entry.name.removeprefix(SINGLE)
        names[entry.name] = SINGLE + short[model] if entry.name != model and model in short else entry.name
    return names


def _scores(
    study: "Study", title: str, entries: Sequence["Entry"], names: Mapping[str, str], *, compared: bool
) -> None:
    columns, objectives = study.columns, study.request.space.objectives
    score = objectives.score.measure
    test = [f"test {score.short}", "95%", *(f"test {each.short}" for each in objectives.beside)]
    heads = ["trial" if compared else "", *(column.heading for column in columns), *test]
    if compared:
        heads.append("p vs singles")
    spread = next(place for place, column in enumerate(columns, 1) if not column.number)
    show.table(
        title,
        [head.replace(" ", "\n", 1) for head in heads],
        [_row(entry, names[entry.name], study, score)[: len(heads)] for entry in entries],
        right=[place for place in range(1, len(heads)) if place != spread],
        spare=(*(place for place, column in enumerate(columns, 1) if column.spare), *[len(heads) - 1] * compared),
    )


def _row(entry: "Entry", name: str, study: "Study", score: "Measure") -> list[str]:
    low, high = entry.tested(score)
    return [
        name,
        *(column.cell(entry) for column in study.columns),
        score.shown(entry.confirmed.summary(score).mean),
        f"{number(low, 3)}–{number(high, 3)}",
        *(each.shown(entry.confirmed.summary(each).mean) for each in entry.objectives.beside),
        "–" if entry.comparison is None else number(entry.comparison.p, 3),
    ]


def _cascades(study: "Study", score: "Measure") -> None:
    made, rows = study.considered, []
    assert made is not None, "there are cascades"
    shown = (score, *study.request.space.objectives.beside)
    for entry in study.cascades:
        tested = entry.cascade
        assert tested is not None
        beside = tested.beside
        difference = None if beside is None else beside.difference
        rows.append(
            [
                entry.name,
                ", ".join(f"{value:.2g}" for value in tested.record.cascade.thresholds),
                ", ".join(map(_left, tested.record.reached, tested.reached)),
                f"{tested.costs['latency_ms']:.2f}",
                *(each.shown(tested.control.get(each.name)) for each in shown),
                "" if difference is None else f"{difference.value:+.3f}",
                "" if difference is None else f"{difference.low:+.3f} to {difference.high:+.3f}",
                "" if beside is None else f"{beside.share:.0%}",
            ]
        )
    best = next((entry.cascade.beside for entry in study.cascades if entry.cascade is not None), None)
    named = "best trial" if best is None else best.title
    heads = [
        *("cascade", "below\nmargin", "left on:\nsearch/test", "test\nms/text"),
        *(f"random\n{each.short}" for each in shown),
        *(f"test −\n{named}", "95%", "its\ncost"),
    ]
    show.table(
        "Cascades: a stage leaves the texts whose margin is below its threshold to the next",
        heads,
        rows,
        right=(1, 2, 3, *range(4, 5 + len(shown)), len(heads) - 1),
        spare=(3, *range(5, 4 + len(shown)), 1),
    )
    terminal.echo(
        f"{made.considered} cascades of scored candidates were considered out of fold; {made.on_front} are "
        f"beaten by nothing, and the {len(rows)} that add most were confirmed. random: as many texts left, but any.\n"
    )


def _left(search: float, test: float) -> str:
    return f"{search:.0%}/{test:.0%}"


def _verdicts(study: "Study", names: Mapping[str, str]) -> None:
    """Every member of the front, and what is from outside, beside the single models, a line a score."""
    compared = [(entry, entry.comparison) for entry in (*study.found, *study.baselines) if entry.comparison is not None]
    if not compared:
        return
    rows = []
    for entry, comparison in compared:
        said = [names[entry.name], comparison.verdict]
        for each in comparison.by_measure:
            rows.append(
                [
                    *(*said, each.short, each.against.removeprefix("trial-"), f"{each.value:+.3f}"),
                    *(_range(each.low, each.high), number(each.p, 3), number(each.resolvable, 3)),
                ]
            )
            said = ["", ""]
            if (other := each.retrained) is not None:
                rows.append([*said, "retrained", "", f"{other.value:+.3f}", _range(other.low, other.high), "", ""])
    show.table(
        f"Beside {_these(compared[0][1].singles)}: the one told apart from least",
        ("trial", "verdict", "score", "against", "trial −\nsingle", "interval", "p", "resol-\nvable"),
        rows,
        right=(4, 6, 7),
        spare=(7,),
    )
    terminal.echo(
        "better: than each of these single models, in every score. Interval, p and resolvable difference (80% power) "
        f"hold over the front; they are of these trained pipelines on {len(study.material.dataset.test)} test rows. "
        "retrained: the difference out of fold, as wide as other training rows would make it.\n"
    )


def _these(singles: Sequence[str]) -> str:
    return (
        "the best single model" if len(singles) == 1 else f"each of {len(singles)} single models that may be the best"
    )


def _range(low: float, high: float) -> str:
    return f"{low:+.3f} to {high:+.3f}"
