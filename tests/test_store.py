import contextlib
import json
import multiprocessing
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.errors import BenchError
from bench.evaluation.ask import Ask
from bench.evaluation.cache import EvaluationCache
from bench.evaluation.outcome import Outcome
from bench.store import DamagedError, Shelf, Store, slot, text_key

IDENTITY = {"model": "owner/some model", "dtype": "float32"}
TEXTS = [f"text {index}" for index in range(40)]
KEYS = [text_key(text) for text in TEXTS]


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
    (shelf.folder / ".x.safetensors.abc.tmp").write_bytes(b"12345")
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
