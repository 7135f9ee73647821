"""A study's memory: Optuna's journal, opened by one process at a time, whole after any kill, its damage found."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bench.errors import BenchError, nearest
from bench.progress import SILENT
from bench.specs import Candidate
from bench.study.chain import NOTES, RECORD, Checked, signed, signed_note, value_of
from bench.study.mending import load
from bench.study.record import TRIED, State, TrialRecord
from bench.study.restore import SETTINGS, kept, let_go, restored
from bench.study.sampling import make
from bench.study.settings import StudySettings

if TYPE_CHECKING:
    import optuna

FIXED, GIVEN = "fixed_params", "bench.given"
"""Optuna's name for parameters that a trial is asked for with; whether they were ours, and no earlier draw's again."""
PLACE, RUNS, RETRIED = "bench.place", "runs", "bench.retries"


def studies_folder(home: Path) -> Path:
    """Where journals lie under `mlruns/`."""
    return home / "studies"


def study_names(home: Path) -> list[str]:
    """The studies of that home."""
    return sorted(path.stem for path in studies_folder(home).glob("*.journal"))


def require_study(home: Path, name: str) -> Path:
    """The journal of a study.

    Raises:
        BenchError: there is none of that name.
    """
    path = studies_folder(home) / f"{name}.journal"
    if not path.exists():
        raise BenchError(f"There is no study '{name}' under {home}: {_hint(name, home)}")
    return path


def nothing_named(text: str, home: Path) -> BenchError:
    """What is said where neither a study nor a run of that home has the name, ``STUDY`` or ``STUDY:WHICH``."""
    hint = _hint(text.partition(":")[0], home)
    return BenchError(f"There is no study and no trial's run '{text}' (models are compared within a `study`): {hint}")


def _hint(name: str, home: Path) -> str:
    if known := study_names(home):
        return nearest(name, known)
    return "there is none yet. `bench search` makes one; a study of another folder is found from there."


def read(home: Path, name: str) -> "Journal":
    """A study to look at, not to go on with: no lock is taken and nothing is written.

    Raises:
        BenchError: there is no such study, or its file is damaged.
    """
    path = require_study(home, name)
    found = load(path, name, None)
    if found is not None and found.faults:
        raise BenchError(
            f"{path} is damaged: {found.told()}. Search again under that `study` name: the file is set aside, and the "
            f"study goes on with {kept(found.checked)}."
        )
    if found is None or SETTINGS not in found.study.user_attrs:
        raise BenchError(f"The study '{name}' ({path}) was stopped before it began: run its search again.")
    return _journal(found.study, found.checked)


def made_under(home: Path, name: str | None) -> Mapping[str, Any]:
    """The settings that a study was made under, however damaged it is otherwise; none where there is none."""
    path = studies_folder(home) / f"{name}.journal"
    found = load(path, str(name), None) if name is not None and path.exists() else None
    return {} if found is None else found.study.user_attrs.get(SETTINGS, {})


def noted(home: Path, name: str | None, note: str) -> Any:
    """What is kept with a study under that name; None where there is no such study or note."""
    path = studies_folder(home) / f"{name}.journal"
    found = load(path, str(name), None) if name is not None and path.exists() else None
    return None if found is None else value_of(found.study.user_attrs.get(NOTES + note))


def made_with(home: Path, name: str | None) -> Mapping[str, Mapping[str, Any]] | None:
    """The models of a study by name, and the identities that they had when it was made; None where there is none."""
    return made_under(home, name).get("models")


def check_name(name: str) -> None:
    """Raise BenchError where `name` could not be a study's file."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w.,=@+-][\w .,=@+-]*", name):
        raise BenchError(f"'{name}' cannot be a study's name: use letters, digits, spaces and . , = @ + - _")


@contextmanager
def opened(
    home: Path, name: str, settings: StudySettings, warn: Callable[[str], None] = SILENT.warn
) -> Iterator["Journal"]:
    """Create or resume a study and hold it alone; `warn` is told what of it is damaged, and kept how.

    Raises:
        BenchError: another process has it open, or it cannot be gone on with (see `restored`).
    """
    from filelock import FileLock, Timeout

    check_name(name)
    path = studies_folder(home) / f"{name}.journal"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_suffix(".lock"), timeout=0):
            journal = _journal(*restored(path, name, settings, warn))
            try:
                yield journal
            except BaseException:
                let_go(journal.study, path)
                raise
    except Timeout as error:
        raise BenchError(
            f"The study '{name}' is open in another process. Wait for it, or give this search another `study` name."
        ) from error


def _journal(study: "optuna.Study", checked: Checked) -> "Journal":
    # Optuna changes nothing of a finished trial, and its run may be in another tracking store by now
    moved = value_of(study.user_attrs.get(NOTES + RUNS)) or {}
    records = {}
    for number, content in checked.records.items():
        run_id = moved.get(str(number), content.get("run_id"))
        try:
            records[number] = TrialRecord.model_validate(content | {"number": number, "run_id": run_id})
        except ValidationError as error:
            raise BenchError(
                f"Trial {number} of the study '{study.study_name}' was written by another version of bench; "
                "give this search another `study` name."
            ) from error
    return Journal(study, records, checked)


def _given(trial: "optuna.trial.FrozenTrial") -> bool:
    return bool(trial.system_attrs.get(GIVEN, FIXED in trial.system_attrs))


@dataclass
class Journal:
    """The trials of a study, in Optuna's terms and in ours, and the chain of their digests."""

    study: "optuna.Study"
    records: dict[int, TrialRecord] = field(default_factory=dict)
    chain: Checked = field(default_factory=Checked)

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
        return self.chain.id

    @property
    def end(self) -> str:
        """How many trials are remembered, and the digest of the last."""
        return f"{len(self.records)} {self.chain.head}"

    def reaches(self, end: str) -> bool:
        """Whether what was the end at some time is still in the journal."""
        return end.partition(" ")[2] in {*self.chain.digests, self.id}

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

    def given(self, trial: "optuna.Trial") -> bool:
        """Whether a new trial was asked for with `params`, or is such a one again; else the sampler proposes."""
        return _given(self.study.get_trials(deepcopy=False)[trial.number])

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
                noted = {**marked.system_attrs, FIXED: marked.params, GIVEN: _given(marked)}
                self.study.add_trial(create_trial(state=TrialState.WAITING, system_attrs=noted))
                self.study.sampler = make("random", 0)  # which notes nothing, and has nothing to draw
                return self.study.ask()
        return None

    def retried(self, trial: "optuna.Trial", times: int) -> None:
        """Remember how often a worker died that was to answer for a trial."""
        trial.set_user_attr(RETRIED, times)

    def tell(
        self, trial: "optuna.Trial", record: TrialRecord, values: Sequence[float] | None, violation: float = 0.0
    ) -> None:
        """Finish a trial. `values` None is a trial without scores (pruned, or over a limit by `violation`)."""
        from optuna.trial import TrialState

        unscored = TrialState.FAIL if record.state == "failed" else TrialState.PRUNED
        state = unscored if values is None else TrialState.COMPLETE
        content = record.model_dump(mode="json", exclude={"number"})
        kept = self.study.get_trials(deepcopy=False)[trial.number]
        content = signed(kept, state, values, content, self.chain.head)
        trial.set_user_attr(RECORD, content)
        trial.set_constraint("limits", violation)
        self.study.tell(trial, values, state=state)
        self.chain.follow(content)
        self.records[record.number] = record
        if record.state != "repeat":
            self._by_candidate[record.candidate.fingerprint()] = record

    def move_runs(self, runs: Mapping[int, str]) -> None:
        """Remember in which run of the tracking store each of some finished trials is now written down."""
        if runs:
            self.keep(RUNS, (self.note(RUNS) or {}) | {str(number): run_id for number, run_id in runs.items()})
        for number, run_id in runs.items():
            self.records[number] = self.records[number].model_copy(update={"run_id": run_id})

    def rescore(self, records: Mapping[int, TrialRecord]) -> None:
        """Take these records of finished trials for those of their numbers; what is written stays as it is."""
        self.records |= records
        self._by_candidate |= {record.candidate.fingerprint(): record for record in records.values()}

    @property
    def tried(self) -> int:
        """How many distinct candidates were trained; repeats and what is over a limit cost nothing."""
        return sum(record.state in TRIED for record in self.records.values())

    def note(self, name: str) -> Any:
        """Something that was kept with the study, or None."""
        return value_of(self.study.user_attrs.get(NOTES + name))

    def series(self, name: str) -> list[Any]:
        """What was kept as `name.0`, `name.1` and so on, as far as none is missing."""
        kept = self.study.user_attrs  # which copies all of it
        found: list[Any] = []
        while (note := kept.get(f"{NOTES}{name}.{len(found)}")) is not None:
            found.append(value_of(note))
        return found

    def keep(self, name: str, value: Any) -> None:
        """Keep a JSON value with the study."""
        self.study.set_user_attr(NOTES + name, signed_note(name, value))
