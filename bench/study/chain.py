"""Digests that show damage to what a study remembers, in whatever storage: damage, not forgery.

The record of a trial carries a digest over itself, over what Optuna keeps of the trial, and over the digest before it:
one that was altered shows, and so does a gap. A note carries a digest of its own. What was written before there were
digests is taken as it is when the study is next gone on with, and is held to that from then on.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, TrialState

RECORD, NOTES = "bench", "bench.notes."
"""What Optuna calls our record of a trial, and the beginning of what it calls a note of the study."""
ID, SEALED, GAPS = "id", "sealed", "gaps"
"""Notes of the chain itself: what tells the study from others, which is what the first record follows; digests of the
records that carry none, by number; and digests of records before which some are known to be missing."""
DIGEST, PREVIOUS, VALUE = "digest", "previous", "value"


def draw_id(settings: str) -> str:
    """The id of a new study: sixteen random digits, and the fingerprint of its settings."""
    return f"{secrets.token_hex(8)}-{settings}"


def _is_id(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{16}", text) is not None


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]


def _of_trial(
    trial: "FrozenTrial", state: "TrialState", values: Sequence[float] | None, content: Mapping[str, Any], previous: str
) -> str:
    numbers = None if values is None else [float(value) for value in values]
    return _digest([previous, trial.number, state.name, trial.params, numbers, _bare(content)])


def _bare(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in {DIGEST, PREVIOUS}}


def signed(
    trial: "FrozenTrial", state: "TrialState", values: Sequence[float] | None, content: Mapping[str, Any], previous: str
) -> dict[str, Any]:
    """The record of a trial that is about to end in that state with these values, with its digests."""
    return {**content, PREVIOUS: previous, DIGEST: _of_trial(trial, state, values, content, previous)}


def seal(study: "optuna.Study", numbers: Collection[int]) -> dict[str, str]:
    """Digests of records that carry none, as they are now, by number."""
    trials = study.get_trials(deepcopy=False)
    chosen = {number: trials[number] for number in numbers}
    return {
        str(number): _of_trial(trial, trial.state, trial.values, trial.user_attrs[RECORD], "")
        for number, trial in chosen.items()
    }


def signed_note(name: str, value: Any) -> dict[str, Any]:
    """A note with its digest."""
    return {VALUE: value, DIGEST: _digest([name, value])}


def value_of(note: Any) -> Any:
    """What a note holds; those of before digests hold it bare."""
    return note[VALUE] if _is_signed(note) else note


def _is_signed(note: Any) -> bool:
    return isinstance(note, dict) and note.keys() == {VALUE, DIGEST}


@dataclass(frozen=True)
class Flaw:
    """Something that is not as it was written, in words: a trial by number, or a note.

    `missing` is what cannot be pointed at: it is no longer there, before that trial or in that note.
    """

    what: str
    trial: int | None = None
    note: str | None = None
    missing: bool = False


@dataclass
class Checked:
    """What a storage holds of a study: records as they were written, by number, and all that is not.

    Attributes:
        id: The study's; None before there were digests.
        records: Contents by number.
        flaws: In order.
        head: The digest that the next record follows.
        digests: Those of all records that carry one.
        sealed: Digests of records that carry none, by number.
        unsealed: Numbers of records that have no digest anywhere.
        gaps: Digests of the records before which some are missing, known and new.
        bare_notes: Notes without a digest.
    """

    id: str | None = None
    records: dict[int, dict[str, Any]] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)
    head: str = ""
    digests: set[str] = field(default_factory=set)
    sealed: dict[str, str] = field(default_factory=dict)
    unsealed: list[int] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    bare_notes: list[str] = field(default_factory=list)

    def follow(self, content: Mapping[str, Any]) -> None:
        """Go on with a record that was written behind the others."""
        self.head = str(content[DIGEST])
        self.digests.add(self.head)


def check(study: "optuna.Study") -> Checked:
    """Compare everything that is kept of a study with its digests."""
    found = Checked()
    notes = _notes(study, found)
    ended = list(_ended(study))
    found.id = notes.get(ID) if _is_id(notes.get(ID)) else None
    chained = [content for _, content in ended if DIGEST in content]
    if found.id is None and chained:
        found.flaws.append(Flaw("the study's id is missing", note=ID, missing=True))
        found.id = chained[0].get(PREVIOUS) if _is_id(chained[0].get(PREVIOUS)) else None
    if found.id is not None:
        found.flaws += [Flaw(f"the note '{name}' has no digest", note=name) for name in found.bare_notes]
    found.head = found.id or ""
    found.gaps = list(notes.get(GAPS, ()))
    found.sealed = dict(notes.get(SEALED, {}))
    _check_records(ended, dict(found.sealed) if SEALED in notes else None, found)
    return found


def _notes(study: "optuna.Study", found: Checked) -> dict[str, Any]:
    """The notes that are as they were written."""
    notes = {}
    for key, note in study.user_attrs.items():
        if not key.startswith(NOTES):
            continue
        name = key.removeprefix(NOTES)
        if not _is_signed(note):
            found.bare_notes.append(name)
        elif note != signed_note(name, note[VALUE]):
            found.flaws.append(Flaw(f"the note '{name}' is not as it was written", note=name))
            continue
        notes[name] = value_of(note)
    return notes


def _ended(study: "optuna.Study") -> Iterator[tuple["FrozenTrial", Mapping[str, Any]]]:
    """Trials that came to their end, with their records; an empty one where there is none.

    A kill before that leaves a trial that is told FAIL and tried again. Where only the end was lost, the next record
    follows one that is not there.
    """
    for trial in study.get_trials(deepcopy=False):
        content = trial.user_attrs.get(RECORD)
        content = content if isinstance(content, Mapping) else {}
        if trial.state.is_finished() and (trial.state.name != "FAIL" or content.get("state") == "failed"):
            yield trial, content


def _check_records(
    ended: Sequence[tuple["FrozenTrial", Mapping[str, Any]]], sealed: dict[str, str] | None, found: Checked
) -> None:
    certain = True  # that the record before is as it was written, so that this one must follow it
    for trial, content in ended:
        previous, own = content.get(PREVIOUS, ""), content.get(DIGEST)
        if content and DIGEST not in content and sealed is None and not found.digests:
            found.unsealed.append(trial.number)
        elif DIGEST not in content and sealed is not None:
            own = sealed.pop(str(trial.number), None)
        if not content or (trial.number not in found.unsealed and not _holds(trial, content, previous, own)):
            found.flaws.append(Flaw(f"trial {trial.number} is not as it was written", trial.number))
            certain = False
            continue
        found.records[trial.number] = _bare(content)
        if DIGEST not in content:
            continue
        if previous != found.head and own not in found.gaps:
            found.gaps.append(str(own))
            if certain:
                what = f"what was written before trial {trial.number} is missing"
                found.flaws.append(Flaw(what, trial.number, missing=True))
        found.follow(content)
        certain = True
    for number in sealed or ():
        found.flaws.append(Flaw(f"trial {number} is missing", note=SEALED, missing=True))


def _holds(trial: "FrozenTrial", content: Mapping[str, Any], previous: Any, own: Any) -> bool:
    try:
        return bool(own == _of_trial(trial, trial.state, trial.values, content, previous))
    except (TypeError, ValueError):  # damage may leave anything where a number was
        return False
