import contextlib
import errno
import json
import multiprocessing
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bench.cli import terminal
from bench.cli.main import cli
from bench.errors import BenchError
from bench.evaluation.ask import Ask
from bench.evaluation.cache import EvaluationCache
from bench.evaluation.outcome import Outcome
from bench.files import atomic
from bench.files.temporary import _machine
from bench.models.digests import digest
from bench.store import DamagedError, Shelf, Store, slot, text_key

IDENTITY = {"model": "owner/some model", "dtype": "float32"}
TEXTS = [f"text {index}" for index in range(40)]
KEYS = [text_key(text) for text in TEXTS]
INPUTS = Path(__file__).with_name("inputs") / "03"


def states(rows: list[int]) -> dict[str, torch.Tensor]:
    """What stands for hidden states of those rows: their numbers, so that any mix-up shows."""
    base = torch.tensor(rows, dtype=torch.float32)[:, None] + torch.linspace(0, 0.5, 8)
    return {slot(0, "mean"): base, slot(1, "mean"): -base, slot(1, "last"): base * 100}


def fill(shelf: Shelf, rows: list[int]) -> None:
    shelf.append([KEYS[row] for row in rows], [row + 1 for row in rows], [row % 2 == 0 for row in rows], states(rows))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Store(tmp_path).shelf(IDENTITY)
    fill(shelf, list(range(20)))
    fill(shelf, list(range(20, 30)))
    return shelf


def test_rows_come_back_in_the_order_asked_for_across_segments(shelf: Shelf) -> None:
    order = [25, 3, 29, 0, 3, 19]
    keys = [KEYS[row] for row in order]
    assert shelf.missing(keys, [slot(0, "mean"), slot(1, "last")]) == []
    torch.testing.assert_close(shelf.matrix(keys, slot(1, "last")), states(order)[slot(1, "last")])
    tokens, truncated = shelf.counts(keys)
    assert tokens.tolist() == [row + 1 for row in order]
    assert truncated.tolist() == [row % 2 == 0 for row in order]


def test_missing_names_each_text_once_and_only_for_the_slots_asked(shelf: Shelf) -> None:
    assert shelf.missing([KEYS[35], KEYS[1], KEYS[35], KEYS[31]], [slot(0, "mean")]) == [0, 3]
    assert shelf.missing([KEYS[1]], [slot(2, "mean")]) == [0]


def test_two_settings_never_share_a_row(tmp_path: Path, shelf: Shelf) -> None:
    other = Store(tmp_path).shelf(IDENTITY | {"dtype": "bfloat16"})
    assert len(other.missing(KEYS[:5], [slot(0, "mean")])) == 5
    assert other.folder != shelf.folder


def test_another_name_of_the_same_identity_finds_the_same_rows(tmp_path: Path, shelf: Shelf) -> None:
    other = Store(tmp_path).shelf(IDENTITY | {"model": "a-folder"})
    assert other.missing(KEYS[:30], list(states([0]))) == []
    torch.testing.assert_close(other.matrix(KEYS[:30], slot(1, "mean")), states(list(range(30)))[slot(1, "mean")])
    assert (other.folder, other.fingerprint, other.model) == (shelf.folder, shelf.fingerprint, "a-folder")
    fill(other, [30])
    assert shelf.missing([KEYS[30]], [slot(0, "mean")]) == []
    assert len(list(Store(tmp_path).shelves())) == 1


def test_storage_dtype_is_kept_on_disk_and_read_as_float32(tmp_path: Path) -> None:
    shelf = Store(tmp_path).shelf(IDENTITY | {"storage_dtype": "bfloat16"})
    huge = torch.tensor([[82_800.0, 1e30, -3e-30]]).bfloat16()  # beyond float16: kept, not infinite
    shelf.append(KEYS[:1], [1], [False], {slot(0, "mean"): huge})
    shelf.refresh()
    read = shelf.matrix(KEYS[:1], slot(0, "mean"))
    assert read.dtype is torch.float32
    torch.testing.assert_close(read, huge.float())


@pytest.mark.parametrize("where", [-3, -2000, 200, 20])
def test_one_altered_bit_is_noticed_and_its_rows_are_missing_again(tmp_path: Path, where: int) -> None:
    written = Store(tmp_path).shelf(IDENTITY)
    fill(written, list(range(30)))
    (path,) = written.folder.glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)

    shelf = Store(tmp_path).shelf(IDENTITY)
    try:
        shelf.missing(KEYS[:30], list(states([0])))
        for name in states([0]):
            shelf.matrix(KEYS[:30], name)
    except (DamagedError, KeyError):
        pass
    shelf.verify()
    assert shelf.damaged
    assert len(shelf.missing(KEYS[:30], list(states([0])))) == 30
    assert not list(shelf.folder.glob("*.safetensors")), "a damaged segment must not be found again"


@pytest.mark.parametrize("keep", [0, 5, 100, 3000])
def test_a_torn_segment_is_set_aside(tmp_path: Path, keep: int) -> None:
    written = Store(tmp_path).shelf(IDENTITY)
    fill(written, list(range(30)))
    (path,) = written.folder.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:keep])
    shelf = Store(tmp_path).shelf(IDENTITY)
    assert len(shelf.missing(KEYS[:30], [slot(0, "mean")])) == 30
    assert len(shelf.damaged) == 1


def test_a_segment_of_another_shelf_under_its_own_name_is_still_whole_but_renamed_ones_are_not(shelf: Shelf) -> None:
    path = min(shelf.folder.glob("*.safetensors"))
    path.rename(path.with_name("0" * 32 + ".safetensors"))
    again = Shelf(shelf.folder, IDENTITY)
    again.refresh()
    assert len(again.damaged) == 1


def test_a_full_disk_is_an_error_with_advice_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    shelf = Store(tmp_path).shelf(IDENTITY)
    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(BenchError, match=r"No space left.*BENCH_STORE"):
        fill(shelf, [1, 2])
    assert not [path for path in shelf.folder.iterdir() if path.name != "identity.json"]


def _write_forever(home: Path) -> None:
    shelf = Store(home).shelf(IDENTITY)
    for start in range(10_000):
        keys = [text_key(f"{start}-{row}") for row in range(64)]
        shelf.append(keys, [1] * 64, [False] * 64, {slot(0, "mean"): torch.full((64, 512), float(start))})


@pytest.mark.slow
def test_kill_at_any_moment_leaves_only_whole_segments(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    for wait in (0.02, 0.05, 0.11):
        process = context.Process(target=_write_forever, args=(tmp_path,))
        process.start()
        shelf = Store(tmp_path).shelf(IDENTITY)
        before = len(list(shelf.folder.glob("*.safetensors"))) if shelf.folder.exists() else 0
        while not shelf.folder.exists() or len(list(shelf.folder.glob("*.safetensors"))) <= before:
            assert process.is_alive()
        process.join(wait)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert shelf.verify() > 0
        assert not shelf.damaged
        for start in (0,):
            read = shelf.matrix([text_key(f"{start}-{row}") for row in range(64)], slot(0, "mean"))
            assert (read == start).all()


def test_prune_offers_leftovers_and_named_shelves_only(tmp_path: Path, shelf: Shelf) -> None:
    store = Store(tmp_path)
    assert store.prunable() == {}
    left = shelf.folder / ".x.safetensors.abc.tmp"  # as an earlier bench called them
    left.write_bytes(b"12345")
    assert store.prunable() == {}, "somebody may still be writing it"
    os.utime(left, (0, 0))
    assert list(store.prunable().values()) == [5]
    with pytest.raises(BenchError, match="did you mean 'owner-some"):
        store.prunable(["ownr-some-model"])
    doomed = store.prunable(["owner-some"])
    assert shelf.folder in doomed
    store.delete(doomed)
    assert not list(store.shelves())


@contextlib.contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Stands for a full disk: no file may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_while_writing_is_an_error_with_advice_or_an_evaluation_less(tmp_path: Path) -> None:
    shelf = Store(tmp_path).shelf(IDENTITY)
    with file_limit(8192), pytest.raises(BenchError, match=r"Cannot write embeddings.*BENCH_STORE"):
        shelf.append(KEYS[:1], [1], [False], {slot(0, "mean"): torch.zeros(1, 10_000)})
    assert [path.name for path in shelf.folder.iterdir()] == ["identity.json"]
    cache, rows = EvaluationCache(tmp_path), np.arange(20_000)
    ask = Ask(subject="majority", train="0" * 16, labels=("a", "b"), test="1" * 16, seed=0)
    with file_limit(8192):
        cache.put(ask, Outcome(rows, rows % 2, np.zeros((20_000, 2), dtype=np.float32)))
    assert cache.get(ask) is None
    assert not [path for path in (tmp_path / "evaluations").rglob("*") if path.is_file()]


def alter(shelf: Shelf) -> None:
    for path in shelf.folder.glob("*.safetensors"):
        content = bytearray(path.read_bytes())
        size = int.from_bytes(content[:8], "little")
        start = json.loads(content[8 : 8 + size])[slot(0, "mean")]["data_offsets"][0]
        content[8 + size + start] ^= 1
        path.write_bytes(content)


def test_several_altered_segments_are_healed_one_after_the_other(tmp_path: Path, shelf: Shelf) -> None:
    alter(shelf)
    shelf = Shelf(shelf.folder, IDENTITY)

    def heal() -> None:
        fill(shelf, shelf.missing(KEYS[:30], list(states([0]))))
        shelf.refresh()

    assert shelf.missing(KEYS[:30], list(states([0]))) == []
    torch.testing.assert_close(shelf.healed(KEYS[:30], slot(0, "mean"), heal), states(list(range(30)))[slot(0, "mean")])
    assert len(shelf.damaged) == 2


def test_two_readers_of_one_damaged_file_both_learn_of_it(shelf: Shelf) -> None:
    readers = [Shelf(shelf.folder, IDENTITY) for _ in range(2)]
    alter(shelf)
    for reader in readers:
        reader.refresh()
    for reader in readers:
        assert reader.verify() == 0
        assert len(reader.damaged) == 2


def newer(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A segment as a bench of the next format would write it."""
    with monkeypatch.context() as patch:
        patch.setattr("bench.store.segment.FORMAT", 2)
        before = set(shelf.folder.iterdir())
        fill(shelf, [35])
    (path,) = set(shelf.folder.iterdir()) - before
    return path


def refused(folder: Path, words: str) -> None:
    """Reading is an error in those words, and nothing in the folder is renamed or changed."""
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(BenchError, match=words):
        Shelf(folder, IDENTITY).missing(KEYS[:30], [slot(0, "mean")])
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@contextlib.contextmanager
def denied(name: str, number: int) -> Iterator[None]:
    """Files of that suffix cannot be opened: root may read what others may not, so that a mode would not do."""
    original = Path.open

    def opened(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name.endswith(name):
            raise OSError(number, os.strerror(number), str(path))
        return original(path, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", opened)
        yield


@pytest.mark.parametrize(("number", "remedy"), [(errno.EACCES, "ask its owner"), (errno.EIO, "check the disk")])
def test_what_cannot_be_read_is_no_damage(shelf: Shelf, tmp_path: Path, number: int, remedy: str) -> None:
    before = sorted(shelf.folder.iterdir())
    with denied(".safetensors", number), pytest.raises(BenchError, match=rf"cannot be read.*left as it is: {remedy}"):
        Shelf(shelf.folder, IDENTITY).missing(KEYS[:30], [slot(0, "mean")])
    with denied("identity.json", number):
        assert list(Store(tmp_path).shelves()) == []
        (reason,) = Store(tmp_path).closed().values()
        assert remedy in reason
    assert sorted(shelf.folder.iterdir()) == before

    cache, rows = EvaluationCache(tmp_path), np.arange(4)
    ask = Ask(subject="majority", train="0" * 16, labels=("a", "b"), test="1" * 16, seed=0)
    cache.put(ask, Outcome(rows, rows % 2, np.zeros((4, 2), dtype=np.float32)))
    with denied(".safetensors", number), pytest.raises(BenchError, match=remedy):
        cache.get(ask)
    assert cache.get(ask) is not None
    (tmp_path / "digests.json").write_text("{}")
    with denied("digests.json", number), pytest.raises(BenchError, match=remedy):
        digest(tmp_path / "digests.json", tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes the rights of another user")
def test_a_file_of_another_user_is_no_damage(shelf: Shelf, tmp_path: Path) -> None:
    """As it comes in a shared store: its owner made it private."""
    cache, rows = EvaluationCache(tmp_path), np.arange(4)
    ask = Ask(subject="majority", train="0" * 16, labels=("a", "b"), test="1" * 16, seed=0)
    cache.put(ask, Outcome(rows, rows % 2, np.zeros((4, 2), dtype=np.float32)))
    for path in tmp_path.rglob("*.safetensors"):
        path.chmod(0o600)
    modes = {}
    for path in (shelf.folder, *(each for each in shelf.folder.parents if each.stat().st_mode & 0o1 == 0)):
        modes[path] = path.stat().st_mode
        path.chmod(0o777)
    os.seteuid(65534)
    try:
        with pytest.raises(BenchError, match="ask its owner"):
            Shelf(shelf.folder, IDENTITY).missing(KEYS, [slot(0, "mean")])
        with pytest.raises(BenchError, match="ask its owner"):
            cache.get(ask)
    finally:
        os.seteuid(0)
        for path, mode in modes.items():
            path.chmod(mode)
    assert not list(tmp_path.rglob("*.damaged"))


def test_a_newer_format_is_no_damage(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer(shelf, monkeypatch)
    refused(shelf.folder, r"is of format 2, and this bench reads 1: a newer one has written it")
    (shelf.folder / "identity.json").write_text(json.dumps({"format": 2}))
    assert "of format 2" in next(iter(Store(tmp_path).closed().values()))
    with pytest.raises(BenchError, match="is of format 2"):
        Store(tmp_path).find(shelf.fingerprint)


def test_a_segment_that_was_copied_from_another_shelf_is_not_used(shelf: Shelf, tmp_path: Path) -> None:
    other = Store(tmp_path).shelf(IDENTITY | {"dtype": "bfloat16"})
    fill(other, [30, 31])
    (path,) = other.folder.glob("*.safetensors")
    shutil.copy(path, shelf.folder)
    refused(shelf.folder, f"holds hidden states of the extraction {other.fingerprint}.*copied or moved")
    (shelf.folder / path.name).unlink()
    shutil.copy(other.folder / "identity.json", shelf.folder)
    with pytest.raises(BenchError, match="not that of its folder"):
        Store(tmp_path).find(shelf.fingerprint)


def test_damage_that_cannot_be_set_aside_is_said(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    alter(shelf)
    opened = Shelf(shelf.folder, IDENTITY)
    opened.refresh()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", no)
        with pytest.raises(BenchError, match="does not match its checksum, and it cannot be set aside"):
            opened.matrix(KEYS[:30], slot(0, "mean"))


def _write_slowly(path: Path, ready: Any, go: Any) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(b"whole")
        ready.set()
        go.wait()


def test_prune_leaves_what_another_process_is_writing(shelf: Shelf, tmp_path: Path) -> None:
    """Whose process is gone is deleted at once, whatever it was making; in the hour of another machine's, not."""
    store, context = Store(tmp_path), multiprocessing.get_context("fork")
    ready, go, path = context.Event(), context.Event(), shelf.folder / "slow.safetensors"
    process = context.Process(target=_write_slowly, args=(path, ready, go))
    process.start()
    ready.wait()
    assert [left.in_use for left in store.leftovers()] == [True]
    assert store.prunable() == {}
    with pytest.raises(BenchError, match=r"may be writing .*slow\.safetensors"):
        store.prunable(["owner-some"])
    go.set()
    process.join()
    assert path.read_bytes() == b"whole"
    assert store.leftovers() == []


def test_what_killed_processes_left_is_listed_and_deleted(tmp_path: Path) -> None:
    """In every room of a store. Of another machine, and of an earlier bench, only what is not touched any more."""
    store = Store(tmp_path)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        gone = pool.apply(os.getpid)
    rooms = ["embeddings/x", "evaluations/v2/00", "rows", "converted", "exports", "checks", "."]
    for room in rooms:
        folder = tmp_path / room / f".name.{_machine()}-{gone}-00000000.tmp"
        folder.mkdir(parents=True)
        (folder / "new").write_bytes(b"12345")
    (tmp_path / "converted" / "0.damaged").mkdir()
    fill(store.shelf(IDENTITY), [1])
    found = store.leftovers()
    assert {str(left.path.parent.relative_to(tmp_path)) for left in found} == {"embeddings", *rooms[1:]}
    assert len(found) == len(rooms) + 1
    busy = [left.path.relative_to(tmp_path) for left in found if left.in_use]
    assert busy == [Path("embeddings/x")], "the first rows may still be computed"
    store.delete(store.prunable())
    assert [left.path.name for left in store.leftovers()] == ["x"]

    others = ["embeddings/x/.name.00000000-1-00000000.tmp", "converted/.0.abc", "checks/tmpabc", "rows/.tmpAbCdEf"]
    for each in others:
        (tmp_path / each).mkdir(parents=True)
    assert store.prunable() == {}
    for path in (tmp_path / "embeddings" / "x").rglob("*"):
        os.utime(path, (0, 0))
    for path in (tmp_path / "embeddings" / "x", *(tmp_path / each for each in others)):
        os.utime(path, (0, 0))
    assert len(store.prunable()) == 4
    store.delete(store.prunable())
    assert store.leftovers() == []
    assert store.shelf(IDENTITY).rows() == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("newer-format", "is of format 2"),
        ("of-another-shelf", "copied or moved there"),
        ("altered-keys", None),
        ("torn", None),
        ("renamed", None),
    ],
)
def test_a_foreign_segment_is_refused_and_a_damaged_one_set_aside(given: str, words: str | None, shelf: Shelf) -> None:
    """Files of `inputs/03`, put into a shelf by hand: none of their rows is used, and only damage is renamed."""
    (path,) = (INPUTS / given).iterdir()
    shutil.copy(path, shelf.folder)
    if words is not None:
        refused(shelf.folder, words)
        return
    opened = Shelf(shelf.folder, IDENTITY)
    assert opened.missing(KEYS[:30], list(states([0]))) == []
    assert len(opened.damaged) == 1
    assert [each.stem for each in shelf.folder.glob("*.damaged")] == [path.stem]
    torch.testing.assert_close(opened.matrix(KEYS[:2], slot(0, "mean")), states([0, 1])[slot(0, "mean")])


def test_the_command_tells_what_is_of_no_use_and_keeps_what_is_written(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_STORE", str(tmp_path))

    def said(*words: str) -> tuple[int, str, str]:
        ran = CliRunner().invoke(cli, ["store", *words])
        assert not isinstance(ran.exception, BenchError), ran.exception
        return ran.exit_code, ran.stdout, ran.stderr

    foreign = newer(shelf, monkeypatch)
    lost = Store(tmp_path).shelf(IDENTITY | {"dtype": "float16"})
    fill(lost, [1])
    (lost.folder / "identity.json").unlink()
    (tmp_path / "converted" / "0.damaged").mkdir(parents=True)
    with atomic(tmp_path / "rows" / "r.safetensors"):
        assert "converted/0.damaged" in said("list")[1]
        found = json.loads(said("list", "--json")[1])
        assert [(each["path"].split("/")[0], each["in_use"]) for each in found["leftovers"]] == [
            ("rows", True),
            ("converted", False),
        ]
        assert found["shelves"][0]["rows"] is None
        assert "of format 2" in found["shelves"][0]["problem"]
        assert [each["shelf"] for each in found["closed"]] == [lost.folder.name]

        status, out, _ = said("verify")
        assert status == 1
        assert out.count("Not verified") == 2

        status, out, err = said("prune", "--yes")
        assert (status, out) == (0, "Deleted 1 items, 0 B.\n")
        assert "kept: a process may be writing it" in err
    assert not (tmp_path / "converted" / "0.damaged").exists()
    assert foreign.exists()
    assert said("prune", "--shelf", lost.folder.name, "--yes")[0] == 0
    assert not lost.folder.exists()


def test_a_shelf_that_fills_while_prune_asks_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was empty for long, and its first rows are written before the question is answered."""
    monkeypatch.setenv("BENCH_STORE", str(tmp_path))
    shelf = Store(tmp_path).shelf(IDENTITY)
    shelf.folder.mkdir(parents=True)
    os.utime(shelf.folder, (0, 0))

    def agreed(_question: str) -> bool:
        fill(shelf, [1])
        return True

    monkeypatch.setattr(terminal, "agreed", agreed)
    assert Store(tmp_path).prunable()
    assert CliRunner().invoke(cli, ["store", "prune"]).exit_code == 0
    assert shelf.rows() == 1
