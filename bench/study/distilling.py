"""A static student of a study's candidate: taught, scored, and set beside the others as a baseline is.

Its folds are honest. Whoever teaches it in a fold is the same candidate trained anew, on that fold's training rows
alone: of these rows by heads that held them out, so that a student is not taught by what a head has learnt by heart,
and of texts without labels by one head that saw them all. With six heads for each of a student's fits it costs six
times what its teacher's score did. Which candidate teaches was chosen by scores of all training rows, as every choice
among candidates is.
"""

from collections.abc import Sequence
from pathlib import Path

from bench.datasets.load import strips
from bench.errors import BenchError
from bench.evaluation.baselines import STUDENT
from bench.progress import SILENT, Progress
from bench.specs import TextCandidate
from bench.store import Store
from bench.study.journal import Journal
from bench.study.named import choose
from bench.study.record import TrialRecord
from bench.study.reopen import prepared_again
from bench.study.run import search
from bench.study.settings import SearchRequest
from bench.study.study import Study
from bench.study.unlabelled import kept_texts
from bench.tasks import TASKS
from bench.tracking import Tracker


def distill(
    home: Path,
    name: str,
    store: Store,
    tracker: Tracker,
    texts: Sequence[str | None] = (),
    trial: str | None = None,
    progress: Progress = SILENT,
    *,
    trust_remote_code: bool = False,
    no_texts: bool = False,
) -> Study:
    """Teach a student, score it as the search scores, and confirm front, cascades and baselines anew with it.

    Args:
        home: Where studies lie.
        name: The study's.
        store: Of hidden states.
        tracker: Where its run goes.
        texts: Without labels; None where there is none.
        trial: The teacher, as `choose` takes it; the best trial where it is None.
        progress: Who is told.
        trust_remote_code: As for `reopen`.
        no_texts: As for `reopen`.

    Raises:
        BenchError: there is no such study or trial, its labels are no classes, or its data or models have changed.
    """
    journal, prepared = prepared_again(
        home, name, store, progress, trust_remote_code=trust_remote_code, no_texts=no_texts
    )
    record = teacher(name, journal, prepared.request, trial)
    dataset, strip = prepared.material.dataset, strips(prepared.request.dataset.name)
    digest = kept_texts(home, texts, dataset, strip=strip, progress=progress)
    student = TextCandidate(classifier=STUDENT, teacher=record.candidate, unlabelled=digest)
    return search(prepared, home, tracker, progress, student=student)


def teacher(name: str, journal: Journal, request: SearchRequest, which: str | None) -> TrialRecord:
    """The trial that teaches: the best one where None is named, since no one pays for it at prediction.

    Raises:
        BenchError: it is no trial, or it has no classes to teach.
    """
    if not TASKS[request.dataset.task].by_class:
        raise BenchError(f"A student learns classes, and the labels of '{name}' are for {request.dataset.task}.")
    if request.dataset.fields:
        raise BenchError(f"A student reads one text, and the rows of '{name}' have several fields.")
    by = request.space.objectives.single
    best = max(journal.of("complete"), key=lambda each: by.sign * each.metrics[by.name])
    found = best if which is None else choose(name, journal, request, which)
    if isinstance(found, TrialRecord):
        return found
    raise BenchError(
        f"'{which}' is {found.title}, and a teacher is one candidate on hidden states: give `trial` a number, for "
        f"instance {best.number}."
    )


def student_of(record: TrialRecord, digest: str | None) -> TextCandidate:
    """The student of a trial, on the texts without labels of that digest too."""
    return TextCandidate(classifier=STUDENT, teacher=record.candidate, unlabelled=digest)
