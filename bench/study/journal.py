"""A study's memory: Optuna's journal file, opened by one process at a time and whole after any kill."""

import os
import re
import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, model_validator

from bench.errors import BenchError, nearest
from bench.front import Direction
from bench.specs import Candidate, Spec
from bench.study.sampling import make
from bench.study.settings import StudySettings, completed, differences

if TYPE_CHECKING:
    import optuna

RECORD, PLACE, SETTINGS, NOTES = "bench", "bench.place", "bench.settings", "bench.notes."
ID, RUNS = "id", "runs"
State = Literal["complete", "pruned", "infeasible", "failed", "repeat"]
TRIED: tuple[State, ...] = ("complete", "pruned", "failed")
"""A candidate was trained: to the end, until it was given up, or until its training diverged."""


class TrialRecord(Spec):
    """What is remembered of a trial. `values` holds for each measure a value a repetition, in order."""

    number: int
    state: State
    candidate: Candidate
    metrics: Mapping[str, float] = Field(default_factory=dict)
    values: Mapping[str, tuple[float, ...]] = Field(default_factory=dict)
    seconds: float = 0.0
    repeats: int | None = None
    run_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_before(cls, content: Any) -> Any:
        """Journals that were written when there were two measures held each in a field of its own."""
        if not isinstance(content, dict) or not {"f1", "accuracy"} & set(content):
            return content
        fields = {name: content[name] for name in ("f1", "accuracy") if content.get(name)}
        return {name: value for name, value in content.items() if name not in {"f1", "accuracy"}} | {"values": fields}

    @property
    def repetitions(self) -> int:
        """How many were scored."""
        return max(map(len, self.values.values()), default=0)


def studies_folder(home: Path) -> Path:
    """Where journals lie under `mlruns/`."""
    return home / "studies"


def study_names(home: Path) -> list[str]:
    """The studies of that home."""
    return sorted(path.stem for path in studies_folder(home).glob("*.journal"))


class _HeldLock:
    """The journal's own lock does nothing: the study's lock is held for as long as the journal is open."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _mend(path: Path) -> None:
    """Cut a last line that a kill has torn: Optuna refuses a journal that holds one."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
            os.fsync(file.fileno())


def _load(path: Path, name: str, directions: Sequence[Direction] | None) -> "optuna.Study":
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = JournalStorage(JournalFileBackend(str(path), lock_obj=_HeldLock()))  # type: ignore[arg-type]
    if directions is None:
        return optuna.load_study(study_name=name, storage=storage)
    return optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)


def read(home: Path, name: str) -> "Journal":
    """A study to look at, not to go on with: no lock is taken and nothing is written.

    Raises:
        BenchError: there is no such study.
    """
    path = studies_folder(home) / f"{name}.journal"
    if not path.exists():
        raise BenchError(f"There is no study '{name}' under {home}: {nearest(name, study_names(home))}")
    try:
        study = _load(path, name, None)
    except (KeyError, ValueError) as error:
        raise BenchError(f"The study '{name}' ({path}) holds nothing that can be read: {error}") from error
    return Journal(study, {record.number: record for record in _records(study)})


def check_name(name: str) -> None:
    """Raise BenchError where `name` could not be a study's file."""
    if not re.fullmatch(r"[\w.,=@+-][\w .,=@+-]*", name):
        raise BenchError(f"'{name}' cannot be a study's name: use letters, digits, spaces and . , = @ + - _")


@contextmanager
def opened(home: Path, name: str, settings: StudySettings) -> Iterator["Journal"]:
    """Create or resume a study and hold it alone.

    Raises:
        BenchError: another process has it open, or it was made with other settings (the message shows which).
    """
    from filelock import FileLock, Timeout

    check_name(name)
    path = studies_folder(home) / f"{name}.journal"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_suffix(".lock"), timeout=0):
            _mend(path)
            study = _load(path, name, settings.space.objectives.directions)
            same_settings(study, name, settings)
            study.set_user_attr(SETTINGS, settings.model_dump(mode="json"))
            _fail_unfinished(study)
            journal = Journal(study, {record.number: record for record in _records(study)})
            if journal.id is None:
                journal.keep(ID, f"{secrets.token_hex(8)}-{settings.fingerprint()}")
            yield journal
    except Timeout as error:
        raise BenchError(
            f"The study '{name}' is open in another process. Wait for it, or give this search another `study` name."
        ) from error


def same_settings(study: "optuna.Study", name: str, settings: StudySettings) -> None:
    """Raise BenchError, which shows the difference, where the study was made with other settings."""
    new = settings.model_dump(mode="json")
    old = study.user_attrs.get(SETTINGS)
    if old is not None and (changed := differences(completed(old), new)):
        lines = "\n".join(f"  {line}" for line in changed)
        raise BenchError(
            f"The study '{name}' was made with other settings:\n{lines}\n"
            "Use the old settings to go on with it, or another `study` name to begin a new one."
        )


def _fail_unfinished(study: "optuna.Study") -> None:
    """A trial that a kill left RUNNING is told FAIL: no other process works here. It is proposed again as it was."""
    from optuna.trial import TrialState

    while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.ask()  # enqueued, but the kill came before it was asked for
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _records(study: "optuna.Study") -> Iterator[TrialRecord]:
    from optuna.trial import TrialState

    # Optuna changes nothing of a finished trial, and its run may be in another tracking store by now
    moved = study.user_attrs.get(NOTES + RUNS) or {}
    for trial in study.get_trials(deepcopy=False):
        if (content := trial.user_attrs.get(RECORD)) and trial.state.is_finished():
            run_id = moved.get(str(trial.number), content.get("run_id"))
            try:
                record = TrialRecord.model_validate(content | {"number": trial.number, "run_id": run_id})
            except ValidationError as error:
                raise BenchError(
                    f"Trial {trial.number} of the study '{study.study_name}' was written by another version of bench; "
                    "give this search another `study` name."
                ) from error
            # a kill between the record and the end of its trial leaves one that is told FAIL and tried again
            if trial.state != TrialState.FAIL or record.state == "failed":
                yield record


@dataclass
class Journal:
    """The trials of a study, in Optuna's terms and in ours."""

    study: "optuna.Study"
    records: dict[int, TrialRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_candidate = {
            record.candidate.fingerprint(): record for record in self.records.values() if record.state != "repeat"
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings that the study was made with."""
        return dict(self.study.user_attrs[SETTINGS])

    @property
    def id(self) -> str | None:
        """What tells the study from others of its name; None of an earlier bench's that was not gone on with since.

        Sixteen digits that were drawn when it was made, and the fingerprint of its settings.
        """
        found = self.note(ID)
        return None if found is None else str(found)

    def known(self, candidate: Candidate) -> TrialRecord | None:
        """The trial that tried this candidate first."""
        return self._by_candidate.get(candidate.fingerprint())

    def of(self, state: State) -> list[TrialRecord]:
        """Trials in that state, in order."""
        return [record for record in self.records.values() if record.state == state]

    def ask(self, sampler: str, seed: int, params: Mapping[str, Any] | None = None) -> "optuna.Trial":
        """A new trial, proposed by the sampler under that seed, or with `params` given."""
        self.study.sampler = make(sampler, seed)
        if params is not None:
            self.study.enqueue_trial(dict(params))
        return self.study.ask()

    def mark(self, trial: "optuna.Trial", finished: int, place: int) -> None:
        """Remember what was proposed at a place of the wave that follows `finished` trials; call it with all params."""
        trial.set_user_attr(PLACE, [finished, place])

    def again(self, finished: int, place: int) -> "optuna.Trial | None":
        """What was marked there, as a new trial: for a wave that a kill broke off when some of it was told.

        The sampler would not propose it again: it knows more than it did.
        """
        from optuna.trial import TrialState, create_trial

        for marked in reversed(self.study.get_trials(deepcopy=False)):
            if marked.user_attrs.get(PLACE) == [finished, place]:
                # as `enqueue_trial` does it, with what the sampler had noted besides (a generation)
                noted = {**marked.system_attrs, "fixed_params": marked.params}
                self.study.add_trial(create_trial(state=TrialState.WAITING, system_attrs=noted))
                self.study.sampler = make("random", 0)  # which notes nothing, and has nothing to draw
                return self.study.ask()
        return None

    def tell(
        self, trial: "optuna.Trial", record: TrialRecord, values: Sequence[float] | None, violation: float = 0.0
    ) -> None:
        """Finish a trial. `values` None is a trial without scores (pruned, or over a limit by `violation`)."""
        from optuna.trial import TrialState

        trial.set_user_attr(RECORD, record.model_dump(mode="json", exclude={"number"}))
        trial.set_constraint("limits", violation)
        unscored = TrialState.FAIL if record.state == "failed" else TrialState.PRUNED
        self.study.tell(trial, values, state=unscored if values is None else TrialState.COMPLETE)
        self.records[record.number] = record
        if record.state != "repeat":
            self._by_candidate[record.candidate.fingerprint()] = record

    def move_runs(self, runs: Mapping[int, str]) -> None:
        """Remember in which run of the tracking store each of some finished trials is now written down."""
        if runs:
            self.keep(RUNS, (self.note(RUNS) or {}) | {str(number): run_id for number, run_id in runs.items()})
        for number, run_id in runs.items():
            self.records[number] = self.records[number].model_copy(update={"run_id": run_id})

    @property
    def tried(self) -> int:
        """How many distinct candidates were trained; repeats and what is over a limit cost nothing."""
        return sum(record.state in TRIED for record in self.records.values())

    def note(self, name: str) -> Any:
        """Something that was kept with the study, or None."""
        return self.study.user_attrs.get(NOTES + name)

    def keep(self, name: str, value: Any) -> None:
        """Keep a JSON value with the study."""
        self.study.set_user_attr(NOTES + name, value)
