"""A study's file made ready to go on: mended, held to its settings, its records and notes with digests."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, counted
from bench.study.chain import GAPS, ID, NOTES, SEALED, Checked, check, draw_id, seal, signed_note, value_of
from bench.study.journalfile import create, cut, set_aside
from bench.study.mending import FORM, FORMAT, load
from bench.study.settings import StudySettings, completed, differences

if TYPE_CHECKING:
    import optuna

SETTINGS = "bench.settings"
"""What Optuna calls the settings that the study was made with."""


def restored(
    path: Path, name: str, settings: StudySettings, warn: Callable[[str], None]
) -> tuple["optuna.Study", Checked]:
    """The study of a file (a new one where there is none), mended where it is damaged, with digests for all it holds.

    The caller holds it alone. `warn` is told what is damaged, and kept how.

    Raises:
        BenchError: it was made with other settings, or it is not known with which.
    """
    directions = settings.space.objectives.directions
    cut(path)
    found = load(path, name, directions) if path.exists() else None
    study = create(path, name, directions) if found is None else found.study
    checked = Checked() if found is None else found.checked
    if checked.records and checked.id is None and SETTINGS not in study.user_attrs:
        raise BenchError(f"{path} has lost the settings of its study: give this search another `study` name.")
    same_settings(study, name, settings, checked.id)
    notes: dict[str, Any] = {}
    if found is not None and found.faults:
        aside = set_aside(path, found.content)
        warn(
            f"{path} is damaged: {found.told()}. It is kept as {aside.name}, and the study goes on with {kept(checked)}"
        )
        notes[GAPS] = checked.gaps
        if checked.sealed:
            still = {number: digest for number, digest in checked.sealed.items() if int(number) in checked.records}
            notes[SEALED] = still
    if checked.unsealed:
        warn(f"{path} was written without digests: {kept(checked)} are taken as they are, and damage shows from now on")
        notes[SEALED] = seal(study, checked.unsealed)
    study.set_user_attr(SETTINGS, settings.model_dump(mode="json"))
    notes |= {bare: value_of(study.user_attrs[NOTES + bare]) for bare in checked.bare_notes}
    if value_of(study.user_attrs.get(NOTES + FORM)) != FORMAT:
        notes[FORM] = FORMAT
    # what is without a digest counts as damaged once there is an id, which comes last for that
    if NOTES + ID not in study.user_attrs or ID in notes:
        notes.pop(ID, None)
        notes[ID] = checked.id or draw_id(settings.fingerprint())
    for note, value in notes.items():
        study.set_user_attr(NOTES + note, signed_note(note, value))
    _fail_unfinished(study)
    return study, check(study)


def kept(checked: Checked) -> str:
    """How many trials are kept, in words."""
    return f"{counted(len(checked.records), 'trial')} as written"


def same_settings(study: "optuna.Study", name: str, settings: StudySettings, drawn: str | None) -> None:
    """Raise BenchError, which shows the difference, where the study was made with other settings.

    Its id `drawn` holds their fingerprint: what proves them where they are damaged or lost.
    """
    if drawn is not None and drawn.endswith(settings.fingerprint()):
        return
    new = settings.model_dump(mode="json")
    old = study.user_attrs.get(SETTINGS)
    if old is None and drawn is not None:
        raise BenchError(
            f"The study '{name}' has lost its settings, and was not made with these. Use those that it was made with "
            "to go on with it, or another `study` name to begin a new one."
        )
    if old is not None and (changed := differences(completed(old), new)):
        lines = "\n".join(f"  {line}" for line in changed)
        raise BenchError(
            f"The study '{name}' was made with other settings:\n{lines}\n"
            "Use the old settings to go on with it, or another `study` name to begin a new one."
        )


def let_go(study: "optuna.Study", path: Path) -> None:
    """Leave no trial RUNNING behind of a study that is broken off; the next start does so where this cannot.

    The file is read anew for it: an operation that was broken off may stand in it and not be known here.
    """
    from optuna.trial import TrialState

    if study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        with suppress(Exception):
            cut(path)
            if (found := load(path, study.study_name, None)) is not None and not found.faults:
                _fail_unfinished(found.study)


def _fail_unfinished(study: "optuna.Study") -> None:
    """A trial that a kill left RUNNING is told FAIL: no other process works here. It is proposed again as it was.

    With that one whose training diverged has come to its end, where only that was missing.
    """
    from optuna.trial import TrialState

    while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.ask()  # enqueued, but the kill came before it was asked for
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
