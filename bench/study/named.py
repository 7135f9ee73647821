"""What of a study goes by a number, a name, or the role that it plays on the front."""

from bench.errors import BenchError, nearest
from bench.evaluation.baselines import STUDENT
from bench.front import pareto
from bench.space.objectives import Objectives
from bench.specs import TextCandidate
from bench.study.baselines import BaselineRecord, ScoredRecord, baselines, outdated, remembered, scored_records
from bench.study.cascades import CascadeRecord, Selected, chosen, fallen
from bench.study.journal import Journal
from bench.study.roles import ALIASES, CHOICES, RECOMMENDED, place, role
from bench.study.selection import Recommendation, kept
from bench.study.settings import SearchRequest


def front(journal: Journal, objectives: Objectives) -> list[ScoredRecord]:
    """The scored trials and baselines that no other dominates, by the last objective."""
    records = scored_records(journal)
    points = [objectives.point(record.metrics) for record in records]
    chosen = [records[index] for index in pareto(points, objectives.directions)]
    return sorted(chosen, key=lambda record: record.metrics[objectives.names[-1]])


def choose(
    name: str, journal: Journal, request: SearchRequest, which: str, found: Recommendation | None = None
) -> Selected:
    """What is to be chosen of the study `name` (see `Study.choose`).

    Without the `found` selection, the recommended one is that of the end of the search, or what of those near it
    still stands.
    """
    if role(which) == RECOMMENDED and (found := found or kept(journal)) is not None:
        which = next((each for each in (found.recommended, *found.near) if _stands(journal, each)), "knee")
    elif role(which) == RECOMMENDED:
        which = "knee"  # nothing was recommended by an earlier bench
    if role(which) in CHOICES:
        objectives = request.space.objectives
        records = front(journal, objectives)
        points = [objectives.point(record.metrics) for record in records]
        return records[place(points, objectives, role(which))]
    named = by_name(journal)
    if which in named:
        return named[which]
    scored = {str(record.number): record for record in journal.of("complete")}
    if which in {*outdated(journal), *(record.name for record in fallen(journal))}:
        raise BenchError(left_out(name, journal, request) or "")
    if which not in scored:
        shown = ", ".join(str(record.id) for record in front(journal, request.space.objectives))
        raise BenchError(
            f"'{which}' is no scored trial of the study '{name}'. Give a number (the front has {shown}) or a word: "
            f"{nearest(which, [*CHOICES, *ALIASES, *named])}"
        )
    return scored[which]


def left_out(name: str, journal: Journal, request: SearchRequest) -> str | None:
    """What of the study `name` is shown no more, as it is fitted otherwise now, and how to have it again, if any is."""
    old, with_it = outdated(journal), [record.name for record in fallen(journal)]
    if not old:
        return None
    cascades = f", and with it {', '.join(with_it)}, of which it is a stage" if with_it else ""
    found = remembered(journal)
    taught = None if found is None or STUDENT not in old else found.by_name[STUDENT].candidate
    again = []
    if old - {STUDENT}:
        again.append(
            "The command of its search, run again, scores this anew and tries no further candidate: "
            f"`bench search {request.dataset.name}` with `study={name}`, `trials={request.trials}` and what else was "
            "set."
        )
    if isinstance(taught, TextCandidate) and taught.teacher is not None:
        number = next((each.number for each in journal.of("complete") if each.candidate == taught.teacher), None)
        settings = [] if number is None else [f"`trial={number}`"]
        settings += [] if taught.unlabelled is None else ["the file of `unlabelled` texts"]
        with_them = f" with {' and '.join(settings)}" if settings else ""
        again.append(f"`bench distill {name}`{with_them} teaches the student anew.")
    return (
        f"Left out: {', '.join(sorted(old))}, which is fitted otherwise since '{name}' was searched{cascades}. "
        f"{' '.join(again)}"
    )


def _stands(journal: Journal, name: str) -> bool:
    return name.isdecimal() or name in by_name(journal)


def by_name(journal: Journal) -> dict[str, CascadeRecord | BaselineRecord]:
    """What has a name instead of a trial's number: the cascades of a study, and its baselines."""
    made, beside = chosen(journal), baselines(journal)
    cascades = {} if made is None else {record.name: record for record in made.records}
    return {**cascades, **({} if beside is None else beside.by_name)}
