"""What a study remembers, damaged: it is found by its line, nothing altered is believed, all else is kept."""

import errno
import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli.main import cli
from bench.errors import BenchError
from bench.specs import Candidate
from bench.study.chain import NOTES, signed_note, value_of
from bench.study.journal import Journal, opened, read, studies_folder
from bench.study.mending import FORM, FORMAT, load
from bench.study.record import State, TrialRecord
from bench.study.settings import StudySettings

INPUTS = Path(__file__).with_name("inputs") / "04"
DAMAGES = json.loads((INPUTS / "damages.json").read_text())
CHAINED = (INPUTS / "chained.journal").read_bytes()
"""A study `s` of thirteen trials: scored, pruned, over a limit, failed."""
LINES = CHAINED.splitlines(keepends=True)
OLD = Path(__file__).with_name("formats") / "ae98f55" / "mlruns" / "studies"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = studies_folder(tmp_path) / "s.journal"
    path.parent.mkdir()
    path.write_bytes(CHAINED)
    return path


@pytest.fixture
def settings(file: Path) -> StudySettings:
    return StudySettings.model_validate(read(file.parents[1], "s").settings)


@pytest.fixture
def whole(file: Path, settings: StudySettings) -> dict[int, TrialRecord]:
    assert settings.dataset == "d"
    return read(file.parents[1], "s").records


def gone_on(file: Path, settings: StudySettings) -> tuple[list[str], dict[int, TrialRecord]]:
    """What is said when the study is opened, and its records."""
    said: list[str] = []
    with opened(file.parents[1], file.stem, settings, said.append) as journal:
        return said, dict(journal.records)


def test_what_is_whole_opens_without_a_word(file: Path, settings: StudySettings) -> None:
    said, records = gone_on(file, settings)
    assert (said, len(records)) == ([], 13)
    assert file.read_bytes().startswith(CHAINED)


@pytest.mark.parametrize("case", DAMAGES, ids=lambda case: case["what"])
def test_damage_is_named_by_its_line_and_all_else_is_kept(
    case: dict[str, Any], file: Path, settings: StudySettings, whole: dict[int, TrialRecord]
) -> None:
    lines = list(LINES)
    for number, (old, new) in case["changes"].items():
        line = lines[int(number) - 1]
        assert old.encode() in line
        lines[int(number) - 1] = b"" if new is None else line.replace(old.encode(), new.encode(), 1)
    damaged = b"".join(lines)
    file.write_bytes(damaged)
    with pytest.raises(BenchError) as caught:
        read(file.parents[1], "s")
    assert case["says"] in str(caught.value)
    assert file.read_bytes() == damaged, "reading changes nothing"

    said, records = gone_on(file, settings)
    (line,) = said
    assert case["says"] in line
    assert f"the study goes on with {13 - len(case['lost'])} trials as written" in line
    assert records == {number: record for number, record in whole.items() if number not in case["lost"]}
    assert file.with_name("s.journal.damaged").read_bytes() == damaged
    # and from here as if nothing had been
    assert gone_on(file, settings) == ([], records)
    with opened(file.parents[1], "s", settings) as journal:
        told(journal, 3e-3)
    assert len(read(file.parents[1], "s").records) == len(records) + 1


def told(journal: Journal, rate: float, state: State = "complete") -> None:
    """One more trial, of the candidate that the first scored one was, at another rate."""
    like = journal.of("complete")[0]
    candidate = Candidate.model_validate(
        {**like.candidate.model_dump(), "head": {**like.candidate.head.model_dump(), "learning_rate": rate}}
    )
    trial = journal.ask("random", 0)
    trial.suggest_float("learning_rate", 1e-3, 1e-1)
    record = TrialRecord(number=trial.number, state=state, candidate=candidate, metrics=like.metrics)
    journal.tell(trial, record, [0.5, 10.0] if state == "complete" else None)


def lost(content: bytes, file: Path, whole: dict[int, TrialRecord]) -> tuple[int, bool]:
    """How many records a file has no longer, and whether anything is said of it; none may be another than it was."""
    file.write_bytes(content)
    found = load(file, "s", ["maximize", "minimize"])
    assert found is not None
    clean = load_whole(file)
    assert all(clean[number] == content for number, content in found.checked.records.items())
    return len(whole) - len(found.checked.records), bool(found.faults)


def load_whole(file: Path) -> dict[int, dict[str, Any]]:
    beside = file.with_name("whole")
    beside.write_bytes(CHAINED)
    found = load(beside, "s", None)
    assert found is not None
    return found.checked.records


def test_one_lost_or_damaged_line_costs_one_trial_at_most(file: Path, whole: dict[int, TrialRecord]) -> None:
    end = len(LINES) - 1
    for place, line in enumerate(LINES):
        others = LINES[:place], LINES[place + 1 :]
        count, said = lost(b"".join([*others[0], *others[1]]), file, whole)
        # without its last line the last trial is as a kill leaves one: of that the tracking store knows
        assert count <= 1
        assert said or count == 0 or place == end
        count, said = lost(b"".join([*others[0], b"x" + line[1:], *others[1]]), file, whole)
        assert count <= 1
        assert said
        assert lost(b"".join([*others[0], line, line, *others[1]]), file, whole)[0] == 0


def test_many_damaged_lines_cost_no_more_trials_than_they_are(file: Path, whole: dict[int, TrialRecord]) -> None:
    for seed in range(20):
        chosen = random.Random(seed).sample(range(len(LINES) - 1), 4)
        lines = [b"\x00" * 8 + b"\n" if place in chosen else line for place, line in enumerate(LINES)]
        assert lost(b"".join(lines), file, whole)[0] <= 4


def test_a_torn_last_line_counts_for_nothing(file: Path, settings: StudySettings) -> None:
    for torn in (b'{"op_code":5,"wor', b"\x00" * 512, b'{"op_code":9}'):
        file.write_bytes(CHAINED + torn)
        assert len(read(file.parents[1], "s").records) == 13
        assert file.read_bytes() == CHAINED + torn
        assert gone_on(file, settings)[0] == []
        assert CHAINED + torn not in file.read_bytes()


def test_what_a_newer_optuna_wrote_is_left_as_it_is(tmp_path: Path, settings: StudySettings) -> None:
    file = studies_folder(tmp_path) / "newer.journal"
    shutil.copy(INPUTS / "newer.journal", file)
    for call in (lambda: read(tmp_path, "newer"), lambda: gone_on(file, settings)):
        with pytest.raises(BenchError, match=r"line 3, holds an operation \(42\) that this Optuna does not know"):
            call()
    assert file.read_bytes() == (INPUTS / "newer.journal").read_bytes()
    assert not list(file.parent.glob("*.damaged"))


def test_what_a_newer_bench_wrote_is_left_as_it_is(file: Path, settings: StudySettings) -> None:
    assert gone_on(file, settings)[0] == []
    with opened(file.parents[1], "s", settings) as journal:
        assert value_of(journal.study.user_attrs[NOTES + FORM]) == FORMAT
        journal.study.set_user_attr(NOTES + FORM, signed_note(FORM, FORMAT + 1))
    before = file.read_bytes()
    for call in (lambda: read(file.parents[1], "s"), lambda: gone_on(file, settings)):
        with pytest.raises(BenchError, match=r"is of format 2, and this bench reads 1.*another `study` name"):
            call()
    assert file.read_bytes() == before


def test_a_file_of_another_name_and_one_that_is_no_journal(tmp_path: Path, settings: StudySettings) -> None:
    file = studies_folder(tmp_path) / "renamed.journal"
    file.write_bytes(CHAINED)
    for call in (lambda: read(tmp_path, "renamed"), lambda: gone_on(file, settings)):
        with pytest.raises(BenchError, match="holds the study 's': give the file that name again"):
            call()
    shutil.copy(INPUTS / "no-journal.journal", file)
    with pytest.raises(BenchError, match="line 1: it is no JSON; line 2: it is no operation"):
        read(tmp_path, "renamed")
    said, records = gone_on(file, settings)
    assert not records
    assert "goes on with 0 trials as written" in said[0]
    file.write_bytes(b"")
    with pytest.raises(BenchError, match="was stopped before it began"):
        read(tmp_path, "renamed")
    assert gone_on(file, settings) == ([], {})


def test_a_damaged_study_hides_no_other(file: Path) -> None:
    first = LINES[0].replace(b'"study_name":"s"', b'"study_name":"t"')
    file.with_name("t.journal").write_bytes(b"".join([first, b"{}\n", *LINES[2:]]))
    ran = CliRunner().invoke(cli, ["list", "studies", "--home", str(file.parents[1])])
    assert ran.exit_code == 0
    assert re.search(r"^s +d ", ran.stdout, re.MULTILINE)
    assert "t.journal is damaged: line 2: it is no operation of a study" in ran.stderr
    assert "Search again under that --study name" in ran.stderr


def test_a_file_that_may_not_be_read_is_not_damaged(
    file: Path, settings: StudySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(PermissionError):
            gone_on(file, settings)
    assert file.read_bytes() == CHAINED


def test_lost_settings_are_proven_by_the_id_and_others_are_refused(file: Path, settings: StudySettings) -> None:
    for line in (b"", LINES[1].replace(b'"seed":0', b'"seed":7')):
        file.write_bytes(b"".join([LINES[0], line, *LINES[2:]]))
        with pytest.raises(BenchError, match=r"lost its settings|seed: 7 → 1"):
            gone_on(file, settings.model_copy(update={"protocol": settings.protocol.model_copy(update={"seed": 1})}))
        assert gone_on(file, settings) == ([], read(file.parents[1], "s").records)
        assert read(file.parents[1], "s").settings["protocol"]["seed"] == 0
    file.write_bytes(b"".join([LINES[0], *LINES[3:]]))
    said, records = gone_on(file, settings)
    assert "the study's id is missing" in said[0]
    assert len(records) == 13
    assert read(file.parents[1], "s").id == json.loads(LINES[2])["user_attr"]["bench.notes.id"]["value"]


@pytest.mark.parametrize("state", ["complete", "failed"])
def test_a_kill_between_a_record_and_the_end_of_its_trial_is_no_damage(
    state: State, file: Path, settings: StudySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with opened(file.parents[1], "s", settings) as journal, monkeypatch.context() as patch:
        patch.setattr(journal.study, "tell", killed)
        with pytest.raises(KeyboardInterrupt):
            told(journal, 3e-3, state)
    for count in (14, 15):
        with opened(file.parents[1], "s", settings, pytest.fail) as journal:
            # one that diverged has nothing else to be told, one that was scored is tried again
            assert len(journal.records) == count - (state == "complete")
            told(journal, 1e-3 * count)
    assert len(read(file.parents[1], "s").records) == 16 - (state == "complete")


def test_a_note_that_was_altered_is_left_out(file: Path, settings: StudySettings) -> None:
    with opened(file.parents[1], "s", settings) as journal:
        journal.keep("costs", {"model": 12.5})
        journal.keep("front", [3])
        journal.keep("front", [3, 8])
    content = file.read_bytes()
    file.write_bytes(content.replace(b"12.5", b"2.5").replace(b"[3,8]", b"[3,4]"))
    said, records = gone_on(file, settings)
    assert "the note 'costs' is not as it was written" in said[0]
    assert len(records) == 13
    journal = read(file.parents[1], "s")
    assert (journal.note("costs"), journal.note("front")) == (None, [3])


def test_a_full_disk_leaves_no_half_a_line(
    file: Path, settings: StudySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened(file.parents[1], "s", settings) as journal:
        before = file.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match=r"No space left on device: .*s\.journal"):
                journal.keep("x", 1)
        assert file.read_bytes() == before
        journal.keep("x", 2)
    assert read(file.parents[1], "s").note("x") == 2


@pytest.fixture
def old(tmp_path: Path) -> Path:
    (source,) = OLD.glob("*.journal")
    file = studies_folder(tmp_path) / source.name
    file.parent.mkdir(exist_ok=True)
    shutil.copy(source, file)
    return file


def test_a_journal_without_digests_opens_with_a_note_and_has_them_from_then_on(
    old: Path, alter: Callable[[Path], None]
) -> None:
    before = read(old.parents[1], old.stem)
    settings = StudySettings.model_validate(before.settings)
    said, records = gone_on(old, settings)
    assert records == before.records
    assert "was written without digests: 11 trials as written are taken as they are" in said[0]
    assert gone_on(old, settings) == ([], records)
    assert read(old.parents[1], old.stem).note("costs") == before.note("costs")

    alter(old)
    said, left = gone_on(old, settings)
    assert "trial 0 is not as it was written" in said[0]
    assert left == {number: record for number, record in records.items() if number != 0}
    assert gone_on(old, settings) == ([], left)


@pytest.fixture
def alter() -> Callable[[Path], None]:
    def change(file: Path) -> None:
        """The first trial's score, wherever it stands."""
        content = file.read_bytes()
        assert content.count(b"0.48233158962314504") > 1
        file.write_bytes(content.replace(b"0.48233158962314504", b"0.88233158962314504"))

    return change
