import errno
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.files import abandoned, atomic, final, size, temporary, write_json, write_tensors


@pytest.fixture
def umask() -> Iterator[int]:
    """An unusual one, so that a mode that was not taken from it shows."""
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_file_is_as_public_as_any_other_and_the_umask_is_left_alone(
    tmp_path: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The umask is the process's: a thread that set it for a moment would open what others write meanwhile."""

    def touched(*_: Any) -> None:
        raise AssertionError("the umask of all threads was set")

    with monkeypatch.context() as patch:
        patch.setattr(os, "umask", touched)
        write_json(tmp_path / "a" / "value.json", {"a": 1})
        write_tensors(tmp_path / "rows.safetensors", {"a": torch.zeros(2)}, {})
    assert mode(tmp_path / "a" / "value.json") == mode(tmp_path / "rows.safetensors") == 0o640
    (tmp_path / "rows.safetensors").chmod(0o600)
    write_tensors(tmp_path / "rows.safetensors", {"a": torch.zeros(3)}, {})
    assert mode(tmp_path / "rows.safetensors") == 0o600, "what somebody has closed stays closed"


def test_threads_that_write_one_file_leave_a_whole_one(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "value.txt"

    def write(letter: str) -> None:
        with atomic(path) as temporary:
            assert final(temporary) == path
            temporary.write_text(letter * 10_000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, "abcdefghijklmnop" * 4))
    assert len(set(path.read_text())) == 1
    assert mode(path) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_was_there_stays_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "value.txt"
    path.write_text("old")

    def interrupted() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_colleague_left_and_what_is_gone_ends_no_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed writer's folder may be another user's; a living one's disappears while it is looked at."""
    left = tmp_path / ".a.json.00000000-1-00000000.tmp"
    left.mkdir()
    os.utime(left, (0, 0))
    monkeypatch.setattr(shutil, "rmtree", partial(refuse, left, shutil.rmtree))
    write_json(tmp_path / "a.json", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [left.name, "a.json"]
    assert abandoned(tmp_path / ".b.json.00000000-1-00000000.tmp"), "nobody writes what is not there"

    real = os.lstat
    monkeypatch.setattr(Path, "lstat", lambda path: real(f"{path}.gone"))
    assert size(tmp_path) == 0


def refuse(path: Path, otherwise: Callable[..., None], asked: Path, **options: bool) -> None:
    if asked == path:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    otherwise(asked, **options)


def test_a_process_is_known_by_machine_and_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines of one name share a folder, or one was started anew: a process's number says nothing then."""
    start = Path("/proc/sys/kernel/random/boot_id")
    if not start.exists():
        pytest.skip("only Linux says when it was started")
    here, real = temporary._machine(), Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, **options: "another" if path == start else real(path, **options)
    )
    assert temporary._machine.__wrapped__() != here
