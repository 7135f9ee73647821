"""Reading a study's file as it was meant: what is damaged is found by its line and left out, all else is kept.

Optuna passes over much that it cannot apply. Where the line is lost that begins a trial, those of all later trials
speak of others than they meant, and are passed over too: so what a lost line began is begun in its place.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, in_words
from bench.front import Direction
from bench.study.chain import NOTES, RECORD, Checked, Flaw, check, value_of
from bench.study.journalfile import Entry, Log, storage_of

if TYPE_CHECKING:
    import optuna

MAKE_STUDY, DELETE_STUDY, STUDY_ATTR, STUDY_SYSTEM, MAKE_TRIAL, PARAM, STATE, STEP, ATTR, SYSTEM, DISCARD = range(11)
"""Optuna's operations."""
OF_STUDY, OF_TRIAL = {STUDY_ATTR, STUDY_SYSTEM, MAKE_TRIAL}, {PARAM, STATE, STEP, ATTR, SYSTEM}
DIRECTIONS = {"minimize": 1, "maximize": 2}
MENDED = {"worker_id": "mended"}
FORM, FORMAT = "format", 1
"""Of the file: a note, which files that were begun before notes had formats lack until they go on."""
SHOWN = 5
"""So many faults are told."""


@dataclass(frozen=True)
class Loaded:
    """A study from its file. `faults` say what of the file is damaged, and `content` is the file without that."""

    study: "optuna.Study"
    checked: Checked
    faults: tuple[str, ...]
    content: bytes

    def told(self) -> str:
        """The faults, the first of many."""
        more = len(self.faults) - SHOWN
        return "; ".join(self.faults[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def load(path: Path, name: str, directions: Sequence[Direction] | None) -> Loaded | None:
    """The study `name` of a file, read as it was meant; None of a file without a line. Nothing is written.

    A last line that is torn counts for nothing: its operation was not done.

    Raises:
        BenchError: a newer Optuna or bench wrote in the file, or it holds another study.
    """
    content = path.read_bytes()
    written = content[: content.rfind(b"\n") + 1].split(b"\n")[:-1]
    begins = None if directions is None else [DIRECTIONS[each] for each in directions]
    return _Reader(path, name, begins).load(written) if written else None


class _FaultError(Exception):
    """A line cannot be what was written; says why."""


@dataclass(frozen=True)
class _Line:
    """An operation; `number` is that of its line, 0 where it stands in for one that is lost."""

    entry: Entry
    number: int = 0
    text: bytes = b""

    @property
    def operation(self) -> int:
        return int(self.entry["op_code"])

    @property
    def trial(self) -> int | None:
        """The id of the trial that it changes: how many were begun before that one."""
        return int(self.entry["trial_id"]) if self.operation in OF_TRIAL else None

    def attribute(self, operation: int, name: str) -> bool:
        """Whether it sets that attribute."""
        given = self.entry.get("user_attr")
        return self.operation == operation and isinstance(given, dict) and name in given

    @property
    def written(self) -> bytes:
        return (self.text or json.dumps(self.entry, separators=(",", ":")).encode()) + b"\n"


@dataclass
class _Reader:
    """Reads a file as it was meant: the first fault is mended, then it is read again, since one may lead to others."""

    path: Path
    name: str
    directions: list[int] | None
    faults: list[str] = field(default_factory=list)
    _left_out: set[int] = field(default_factory=set)

    def load(self, written: Sequence[bytes]) -> Loaded:
        import optuna

        lines = list(self._parsed(written))
        while True:
            lines = list(self._aligned(lines))
            log = Log((line.entry for line in lines), self.path)
            try:
                storage = storage_of(log)
            except Exception as error:  # noqa: BLE001 - whatever Optuna meets in an operation that no Optuna wrote
                self._say(lines[log.read - 1].number, f"it cannot be applied ({in_words(error)})")
                del lines[log.read - 1]
                continue
            try:
                study = optuna.load_study(study_name=self.name, storage=storage)
                checked = check(study)
            except Exception as error:
                raise BenchError(f"{self.path} cannot be read as a study: {in_words(error)}") from error
            flaw = next((flaw for flaw in checked.flaws if not flaw.missing), None)
            if flaw is None:
                break
            lines = self._without(flaw, lines)
        if (form := value_of(study.user_attrs.get(NOTES + FORM)) or FORMAT) > FORMAT:
            raise BenchError(
                f"{self.path} is of format {form}, and this bench reads {FORMAT}: a newer one has written it. It is "
                "left as it is: install the newer bench, or search under another `study` name."
            )
        for flaw in checked.flaws:
            if flaw.trial is None or not self._left_out_before(flaw.trial, checked):
                self._say(self._record(flaw.trial, lines), flaw.what)
        return Loaded(study, checked, tuple(self.faults), b"".join(line.written for line in lines))

    def _left_out_before(self, trial: int, checked: Checked) -> bool:
        """Whether what a record should follow is one that was left out, which is said already."""
        last = max((number for number in checked.records if number < trial), default=-1)
        return any(last < number < trial for number in self._left_out)

    def _say(self, number: int, what: str) -> None:
        self.faults.append(f"line {number}: {what}" if number else what)

    def _parsed(self, written: Sequence[bytes]) -> Iterator[_Line]:
        before = b""
        for number, text in enumerate(written, 1):
            try:
                line = _Line(self._entry(text, number), number, text)
                if line.operation == MAKE_TRIAL and text == before:
                    raise _FaultError("it stands there twice")
                yield line
            except _FaultError as fault:
                self._say(number, str(fault))
            before = text

    def _entry(self, text: bytes, number: int) -> Entry:
        try:
            entry = json.loads(text.decode())
        except (ValueError, RecursionError) as error:
            raise _FaultError("it is no JSON") from error
        operation = entry.get("op_code") if isinstance(entry, dict) else None
        if type(operation) is not int or operation < 0 or operation == DELETE_STUDY:
            raise _FaultError("it is no operation of a study")
        if operation > DISCARD:
            raise BenchError(
                f"{self.path}, line {number}, holds an operation ({operation}) that this Optuna does not know: a newer "
                "one wrote it, which has to read it too. If none did, the line is damaged: delete it, and search again."
            )
        if operation == MAKE_STUDY:
            named, directions = entry.get("study_name"), entry.get("directions")
            if not isinstance(named, str) or not isinstance(directions, list):
                raise _FaultError("it does not say which study it begins")
            if named == self.name and self.directions not in (None, directions):
                raise _FaultError("it begins the study with other directions")
        for key, operations in (("study_id", OF_STUDY), ("trial_id", OF_TRIAL)):
            if operation in operations and (type(entry.get(key)) is not int or entry[key] < 0):
                raise _FaultError(f"it does not say whose it is ({key})")
        return dict(entry)

    def _aligned(self, lines: Sequence[_Line]) -> Iterator[_Line]:
        """The lines, and in the place of lost ones that began a study or a trial, others that do."""
        names = _studies(lines)
        if names and self.name not in names:
            raise BenchError(f"{self.path} holds the study '{names[0]}': give the file that name again.")
        if not names:
            self._say(1, "what begins the study is lost")
            names = [self.name]
            yield _Line(
                {"op_code": MAKE_STUDY, **MENDED, "study_name": self.name, "directions": self.directions or [1]}
            )
        begun = 0
        for place, line in enumerate(lines):
            if line.operation in OF_STUDY and line.entry["study_id"] >= len(names):
                self._say(line.number, "it is of another study")
                continue
            begins, ahead = line.operation == MAKE_TRIAL, Counter[int]()
            if begins or (line.trial or 0) >= begun:
                ahead = _trials_ahead(lines, place)
            if line.trial is not None and line.trial >= begun and ahead[line.trial] < 2:
                self._say(line.number, "it is of a trial that was not begun")
                continue
            meant = begun
            if begins and begun not in ahead:
                meant = min((trial for trial, times in ahead.items() if trial > begun and times > 1), default=begun)
            elif line.trial is not None:
                meant = max(begun, line.trial + 1)
            for lost in range(begun, meant):
                self._say(line.number, f"what begins trial {lost} is lost before it")
                yield _Line(self._begins(names.index(self.name)))
            begun = meant + begins
            yield line

    def _begins(self, study: int) -> Entry:
        return {"op_code": MAKE_TRIAL, **MENDED, "study_id": study, "datetime_start": None}

    def _without(self, flaw: Flaw, lines: Sequence[_Line]) -> list[_Line]:
        """The lines without the trial or the note that is not as it was written."""
        if flaw.note is not None:
            places = [
                place
                for place, line in enumerate(lines)
                if line.attribute(STUDY_ATTR, NOTES + flaw.note) and line.entry["study_id"] == self._study(lines)
            ]
            self._say(lines[places[-1]].number, flaw.what)
            return [line for place, line in enumerate(lines) if place != places[-1]]
        number = flaw.trial or 0
        self._say(self._record(number, lines), flaw.what)
        self._left_out.add(number)
        place = self._beginnings(lines)[number]
        meant = sum(line.operation == MAKE_TRIAL for line in lines[:place])
        kept = list(lines)
        kept[place] = _Line(self._begins(int(lines[place].entry["study_id"])))
        return [line for line in kept if line.trial != meant]

    def _study(self, lines: Sequence[_Line]) -> int:
        return _studies(lines).index(self.name)

    def _beginnings(self, lines: Sequence[_Line]) -> list[int]:
        """Where each trial of the study is begun."""
        study = self._study(lines)
        return [
            place
            for place, line in enumerate(lines)
            if line.operation == MAKE_TRIAL and line.entry["study_id"] == study
        ]

    def _record(self, trial: int | None, lines: Sequence[_Line]) -> int:
        """The line of a trial's record, 0 where there is none."""
        if trial is None:
            return 0
        place = self._beginnings(lines)[trial]
        meant = sum(line.operation == MAKE_TRIAL for line in lines[:place])
        return next((line.number for line in lines if line.trial == meant and line.attribute(ATTR, RECORD)), 0)


def _studies(lines: Sequence[_Line]) -> list[str]:
    """The names of the studies of a file, of which there is one unless somebody renamed it, by id."""
    return list(dict.fromkeys(str(line.entry["study_name"]) for line in lines if line.operation == MAKE_STUDY))


def _trials_ahead(lines: Sequence[_Line], place: int) -> Counter[int]:
    """How often trials are spoken of from there (behind it, where it begins one) until another is begun."""
    found: Counter[int] = Counter()
    begins = lines[place].operation == MAKE_TRIAL
    for after in range(place + begins, len(lines)):
        line = lines[after]
        if line.operation == MAKE_TRIAL:
            break
        if line.trial is not None:
            found[line.trial] += 1
    return found
