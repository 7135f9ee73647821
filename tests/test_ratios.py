"""Ratios of speed: one that has fallen ends a check with 1, and what was not measured is not printed."""

import dataclasses
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).with_name("perf")))

import history
import ratios
from history import Ratio, Record, UnusableError

NOW = Record(
    script="heads.py --quick",
    commit="c" * 40,
    changed=False,
    at="2026-11-27T17:00:00+00:00",
    versions={"torch": "2.13.0"},
    machine={"processor": "AMD EPYC, avx2", "cores": 2, "others": 0.02},
    ratios={"MLP: × loop": Ratio(3.2, 3.1, 3.4, 3), "logistic: × grid": Ratio(10.0, 8.0, 12.0, 3)},
)


def times(record: Record, factor: float) -> Record:
    """The same run, all of whose ratios are so many times as high."""
    changed = {
        name: Ratio(each.median * factor, each.min * factor, each.max * factor, each.n)
        for name, each in record.ratios.items()
    }
    return dataclasses.replace(record, ratios=changed)


def checked(tmp_path: Path, now: Record, *kept: Record) -> int:
    (tmp_path / "now.json").write_text(now.line(), encoding="utf-8")
    (tmp_path / "history.jsonl").write_text("".join(each.line() for each in kept), encoding="utf-8")
    return history.main(["check", str(tmp_path / "now.json"), "--history", str(tmp_path / "history.jsonl")])


def test_a_halved_ratio_ends_the_check_with_1_and_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(tmp_path, NOW, NOW) == 0
    assert checked(tmp_path, times(NOW, 0.95), NOW) == 0, "within what runs differ by"
    assert checked(tmp_path, times(NOW, 2), NOW) == 0
    capsys.readouterr()
    assert checked(tmp_path, times(NOW, 0.5), NOW) == 1
    out = capsys.readouterr().out
    assert "2 ratios compared, 2 fallen" in out
    assert "1.60 (1.55–1.70, n = 3)" in out


def test_the_last_record_of_the_same_command_and_processor_counts(tmp_path: Path) -> None:
    slow, other = times(NOW, 0.5), dataclasses.replace(times(NOW, 9), machine=NOW.machine | {"cores": 64})
    assert checked(tmp_path, slow, NOW, slow, other) == 0
    assert checked(tmp_path, NOW, slow, times(NOW, 3), other) == 1


def test_a_ratio_that_is_no_longer_measured_has_fallen(tmp_path: Path) -> None:
    fewer = dataclasses.replace(NOW, ratios=dict(list(NOW.ratios.items())[:1]))
    assert checked(tmp_path, fewer, NOW) == 1
    assert checked(tmp_path, NOW, fewer) == 0


def test_where_nothing_compares_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(tmp_path, NOW, dataclasses.replace(NOW, script="other.py")) == 2
    assert "Nothing was kept that compares" in capsys.readouterr().err
    assert history.main(["check", str(tmp_path / "none.json")]) == 2
    assert "There is no" in capsys.readouterr().err
    for wrong in ("{}", "[]", "x", NOW.line().replace("3.1", "-1")):
        (tmp_path / "now.json").write_text(wrong, encoding="utf-8")
        assert history.main(["check", str(tmp_path / "now.json")]) == 2
        assert "Line 1 of" in capsys.readouterr().err


def test_what_has_changed_since_its_commit_is_not_kept(tmp_path: Path) -> None:
    kept = tmp_path / "history.jsonl"
    with pytest.raises(UnusableError, match="not committed"):
        history.add([dataclasses.replace(NOW, changed=True)], kept)
    assert not kept.exists()
    history.add([NOW, NOW], kept)
    assert history.read(kept) == [NOW, NOW]


def test_what_is_kept_here_can_be_read() -> None:
    assert history.read(history.HISTORY)


@pytest.mark.parametrize("peer", ["no-such-peer", "pip"])
def test_a_peer_that_is_not_as_pinned_is_refused(peer: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, ratios.measured(None, peer):
        pytest.fail("nothing is measured beside it")
    assert ended.value.code == 1
    assert peer in capsys.readouterr().err


def test_a_run_without_a_ratio_fails_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, ratios.measured(tmp_path / "made.json"):
        pass
    assert ended.value.code == 1
    assert "Nothing was measured" in capsys.readouterr().err
    assert not (tmp_path / "made.json").exists()


def test_sides_in_turn_give_ratios_of_each_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter(range(100))
    with ratios.measured(tmp_path / "made.json") as found:
        seconds = ratios.in_turn({"ours": lambda: None, "theirs": lambda: next(clock)}, 3, lambda: next(clock))
        found.faster("twice", seconds["ours"], seconds["theirs"])
    (record,) = history.read(tmp_path / "made.json")
    assert record.ratios == {"twice": Ratio(2, 2, 2, 3)}
    assert record.versions["torch"]
    assert "twice" in capsys.readouterr().out
