"""`check` a baseline, and make a new one from a study."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.datasets.sides import Sides
from bench.errors import BenchError, listed
from bench.gate.baseline import Baseline, Pinned, Repeats
from bench.gate.judge import judge, judge_data, judge_rows
from bench.gate.measure import data_of, fresh_store, look, measure
from bench.gate.verdict import Finding, Verdict
from bench.measures import score
from bench.progress import SILENT, Progress
from bench.specs import TextCandidate
from bench.study.baselines import ScoredRecord, baselines
from bench.study.cascades import CascadeRecord
from bench.study.journal import Journal
from bench.study.named import choose
from bench.study.named import front as front_of
from bench.study.reopen import searched
from bench.study.roles import CHOICES, RECOMMENDED
from bench.study.settings import SearchRequest
from bench.tasks import require_trained

MOST_CANDIDATES = 5


def check(
    baseline: Baseline,
    store: Path,
    *,
    fail_on_latency: float | None = None,
    trust_remote_code: bool = False,
    progress: Progress = SILENT,
) -> Verdict:
    """Evaluate the candidates of `baseline` again, from the data and the models' files on, and compare.

    Rows that came since the baseline are named and left out. Where rows went, those that stayed are judged; where it is
    not known which did, the check ends there. Of the folder `store`, nothing but converted models is read. A model's
    own code runs only with `trust_remote_code`, and only if it is the baseline's.

    Raises:
        BenchError: the check could not run: data or models cannot be had, or not be run.
    """
    with fresh_store(store) as fresh:
        recorded = {name: facts.identity for name, facts in baseline.models.items()}
        placed = None if baseline.rows is None else baseline.rows.sides
        material = look(baseline.pinned, recorded, fresh, progress, trust_remote_code=trust_remote_code, placed=placed)
        moved = judge_rows(material.dataset)
        data = [*judge_data(baseline.data, data_of(material.dataset)), *moved]
        if any(finding.status == "failed" for finding in data) and baseline.rows is None:
            left = Finding("quality", "candidates", "skipped", "not evaluated: the rows are not the baseline's")
            return Verdict((*data, left), baseline.measure.title, baseline.pinned.dataset.title)
        return judge(baseline, measure(baseline.pinned, material, progress), fail_on_latency, moved)


def measured(
    pinned: Pinned,
    store: Path,
    progress: Progress = SILENT,
    *,
    recorded: Mapping[str, Mapping[str, Any]] | None = None,
    placed: Sides | None = None,
    trust_remote_code: bool = False,
) -> Baseline:
    """A new baseline of what is pinned, with all rows that there are; `store` and `trust_remote_code` as in `check`.

    Of the `store` the predictions of references are read, too. `recorded` are the models' identities, by name, and
    `placed` the sides of the rows, where what is pinned comes from.

    Raises:
        BenchError: data or models cannot be had, or not be run.
    """
    with fresh_store(store) as fresh:
        material = look(
            pinned, recorded or {}, fresh, progress, trust_remote_code=trust_remote_code, placed=placed
        ).whole
        # what `auto` chose here is what a check elsewhere must run; the device stays open
        chosen = {"backend": material.settings.backend} if material.needs else {}
        extraction = pinned.extraction.model_copy(update=chosen)
        return measure(pinned.model_copy(update={"extraction": extraction}), material, progress, kept=store)


def from_study(
    home: Path,
    study: str,
    trials: Sequence[str] = (),
    max_train: int | None = None,
    max_test: int | None = None,
    *,
    measure: str | None = None,
) -> Pinned:
    """What a check of a study's candidates needs; no data is loaded.

    Args:
        home: Folder of studies.
        study: Its name.
        trials: Numbers of trials, names of baselines, or of `bench.study.roles.CHOICES`; the front by default, of a
            front of more than five what has such a name; and the recommended, of a cascade its stages. Predictions
            from outside are references, by default all that are out of fold.
        max_train: A subset of the study's training rows.
        max_test: A subset of its test rows, whose fingerprint alone is checked.
        measure: By what candidates are compared; None is the first of the data set's task.

    Raises:
        BenchError: there is no such study, trial or measure.
    """
    measure = None if measure is None else score(measure).name
    journal, request = searched(home, study)
    require_trained(request.dataset.task, "A check")
    front_alone = not trials
    if not trials:
        front = front_of(journal, request.space.objectives)
        few = len(front) <= MOST_CANDIDATES
        own = [str(record.id) for record in front] if few else _named(study, journal, request, CHOICES)
        # stages of what is to be shipped may stand on no front
        trials = [*dict.fromkeys([*own, *_named(study, journal, request, (RECOMMENDED,))])]
    beside = baselines(journal)
    outside = [] if beside is None else [each for each in beside.records if _is_outside(each) and each.values]
    lines = {each.name: each.candidate for each in outside} if front_alone and request.protocol.name == "cv" else {}
    records: dict[int | str, ScoredRecord] = {}
    left = ""
    for which in trials:
        record = choose(study, journal, request, which)
        if isinstance(record, CascadeRecord):
            raise BenchError(f"'{which}' is a cascade, and a baseline pins trials: name those of its stages.")
        if isinstance(record.candidate, TextCandidate) and record.candidate.unlabelled is not None:
            words = "learnt on texts without labels, which a check does not have"
            if not front_alone:
                raise BenchError(f"'{which}' {words}: name what else is to be pinned, or distil it anew without them.")
            left = f", without {which}, which {words}"
            continue
        if not _is_outside(record):
            records[record.id] = record
        elif record.values:
            lines[str(record.id)] = record.candidate
        else:
            raise BenchError(
                f"'{which}' has predictions from outside of the test rows alone, and a check scores training rows out "
                "of fold: leave it out, or search again with a file that has both."
            )
    if not records:
        raise BenchError(f"{listed(list(lines))} has predictions from outside: name what is to stay above it as well.")
    smaller = {key: value for key, value in (("max_train", max_train), ("max_test", max_test)) if value is not None}
    return Pinned(
        origin=f"study {study}, trials {', '.join(map(str, records))}{left}",
        dataset=request.dataset.model_copy(update=smaller),
        extraction=request.extraction,
        protocol=Repeats(
            folds=request.protocol.folds,
            repetitions=request.protocol.repetitions,
            seed=request.protocol.seed,
            classes="held",
        ),
        candidates=tuple(record.candidate for record in records.values()),
        measure=measure,
        references=tuple(each for each in lines.values() if isinstance(each, TextCandidate)),
        inputs=request.space.inputs,
    )


def _is_outside(record: ScoredRecord) -> bool:
    return isinstance(record.candidate, TextCandidate) and record.candidate.outside is not None


def _named(study: str, journal: Journal, request: SearchRequest, roles: Iterable[str]) -> list[str]:
    """The trials and baselines that play a role on the front; of a cascade that does, its stages."""
    found = [choose(study, journal, request, which) for which in roles]
    trials = [each.trials if isinstance(each, CascadeRecord) else (each.id,) for each in found]
    return [str(number) for number in dict.fromkeys(number for each in trials for number in each)]
