"""The index of a shelf: what a dictionary of every row and slot would say, in a fraction of its memory."""

import tracemalloc
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.errors import BenchError
from bench.store import Shelf, Store, slot, text_key
from bench.store.index import Index, packed
from bench.store.shelf import identity_fingerprint

IDENTITY = {"model": "m", "storage_dtype": "bfloat16"}
WIDTH = 6


def test_it_says_what_a_dictionary_says() -> None:
    """Of keys in several segments the first counts that is still there; keys that end in NULs are told apart."""
    rng, index, known = np.random.default_rng(0), Index(), defaultdict[bytes, list[tuple[int, int]]](list)
    pool = [bytes(rng.integers(0, 3, 16, dtype=np.uint8)) for _ in range(400)] + [b"\0" * 16, b"a" + b"\0" * 15]
    for number in range(40):
        segment = [pool[each] for each in rng.permutation(len(pool))[: rng.integers(1, 30)]]
        index.add([(number, packed(segment))])
        for row, key in enumerate(segment):
            known[key].append((number, row))
        if number == 20:
            index.drop(7)
            known = defaultdict(list, {key: [at for at in places if at[0] != 7] for key, places in known.items()})
    pool.sort()
    found = zip(*(each.tolist() for each in index.find(packed(pool))), strict=True)
    assert list(found) == [(known[key] or [(-1, -1)])[0] for key in pool]
    assert index.keys().tobytes() == b"".join(key for key in pool if known[key])


def test_a_row_takes_bytes_and_not_hundreds() -> None:
    """A dictionary a slot took 150 bytes a row and slot: 9 kB a row of 62 slots."""
    rows, size = 200_000, 2_000
    keys = np.random.default_rng(0).integers(0, 256, (rows, 16), dtype=np.uint8).view("S16").reshape(-1)
    tracemalloc.start()
    index = Index()
    for number in range(rows // size):
        index.add([(number, keys[number * size : (number + 1) * size])])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 30 * rows
    segments, places = index.find(np.sort(keys))
    assert (keys[segments * size + places] == np.sort(keys)).all()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Store(tmp_path).shelf(IDENTITY)


def rows_of(numbers: list[int]) -> torch.Tensor:
    return (torch.tensor(numbers)[:, None] + torch.arange(WIDTH) / 8).bfloat16()


def fill(shelf: Shelf, numbers: list[int], *slots: str, sign: int = 1) -> None:
    keys = [text_key(str(number)) for number in numbers]
    shelf.append(keys, numbers, [False] * len(keys), {name: sign * rows_of(numbers) for name in slots})


def test_rows_of_several_sets_of_slots_are_found_in_any_order(shelf: Shelf) -> None:
    """In runs and scattered, in one segment and over several, as float32 and to the last bit."""
    mean, last = slot(0, "mean"), slot(1, "last")
    fill(shelf, list(range(600)), mean, last)
    fill(shelf, list(range(600, 900)), mean)
    fill(shelf, list(range(550, 900)), last, sign=-1)
    everything = list(range(900))
    orders = [everything, everything[::-1], np.random.default_rng(0).permutation(900).tolist(), [3, 3, 899, 3], []]
    for order in orders:
        keys = [text_key(str(number)) for number in order]
        assert shelf.missing(keys, [mean, last]) == []
        found = shelf.matrix(keys, mean)
        assert found.dtype is torch.float32
        if order:
            assert torch.equal(found, rows_of(order).float())
            assert shelf.counts(keys)[0].tolist() == order
    assert shelf.rows() == 900
    assert shelf.slots() == sorted([mean, last, "tokens", "truncated"])
    assert len(shelf.keys(mean)) == len(shelf.keys(last)) == 900
    low = shelf.matrix([text_key("700")], last)
    assert torch.equal(low, -rows_of([700]).float())


def test_a_segment_that_is_refused_takes_nothing_from_the_others(shelf: Shelf, tmp_path: Path) -> None:
    fill(shelf, [1, 2], slot(0, "mean"))
    other = Store(tmp_path).shelf(IDENTITY | {"dtype": "float16"})
    fill(other, [3], slot(0, "mean"))
    (path,) = other.folder.glob("*.safetensors")
    (shelf.folder / path.name).write_bytes(path.read_bytes())
    for _ in range(2):
        with pytest.raises(BenchError, match="copied or moved"):
            shelf.refresh()
    (shelf.folder / path.name).unlink()
    assert shelf.missing([text_key("1"), text_key("2")], [slot(0, "mean")]) == []


def test_a_segment_that_was_deleted_since_is_missing(shelf: Shelf) -> None:
    fill(shelf, [1, 2], slot(0, "mean"))
    keys = [text_key("1"), text_key("2")]
    assert shelf.missing(keys, [slot(0, "mean")]) == []
    for path in shelf.folder.glob("*.safetensors"):
        path.unlink()
    again = shelf.healed(keys, slot(0, "mean"), lambda: (fill(shelf, [1, 2], slot(0, "mean")), shelf.refresh())[1])
    assert torch.equal(again, rows_of([1, 2]).float())
    assert "is gone" in shelf.damaged[0]
    assert identity_fingerprint(IDENTITY) == shelf.fingerprint
