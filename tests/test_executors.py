"""Asks answered here and by processes; extraction over several devices, as a machine with several GPUs does it."""

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TEXTS

from bench.backends.settings import ResolvedSettings
from bench.datasets.load import DatasetRequest
from bench.errors import BenchError
from bench.executors.base import EXECUTORS, Failure, Place, WorkerDiedError, open_executor
from bench.extraction import portions
from bench.material import Material, gather
from bench.store import Store, text_key
from bench.wanted import Wanted

Gather = Callable[[str], Material]


@pytest.fixture
def gathered(
    tiny: Callable[..., Path], in_model_store: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Gather:
    """Material over the same 35 texts and the same small model, in a store of the given name."""
    monkeypatch.setattr("bench.extraction.UNIT_ROWS", 5)
    table = tmp_path / "data.csv"
    lines = [f'"{text}{" again" * times}",{times % 2}' for times in range(5) for text in TEXTS]
    table.write_text("\n".join(["text,label", *lines]))
    model = str(tiny("BertConfig"))

    def make(store: str) -> Material:
        settings = ResolvedSettings(device="cpu", backend="transformers", max_length=32)
        return gather(Wanted(DatasetRequest(name=str(table)), (model,), settings), None, Store(tmp_path / store))

    return make


def rows(material: Material) -> torch.Tensor:
    """What is stored of the texts, [slots, texts, width]; all of it must be there."""
    (need,) = material.needs
    keys = [text_key(text) for text in material.texts]
    assert not need.shelf.missing(keys, need.slots)
    return torch.stack([need.shelf.matrix(keys, name) for name in need.slots])


def asked(material: Material) -> list[Any]:
    (need,) = material.needs
    return list(portions(need, material.texts))


def test_what_is_asked_is_the_same_value_in_another_process(gathered: Gather) -> None:
    asks = asked(gathered("store"))
    assert len(asks) > 5
    assert ForkingPickler.loads(ForkingPickler.dumps(asks)) == asks


@pytest.mark.slow
def test_two_devices_store_what_one_does(gathered: Gather, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = gathered("one"), gathered("two")
    one.extract()
    monkeypatch.setattr("bench.material.all_devices", lambda settings: ["cpu", "cpu"])
    two.extract()
    torch.testing.assert_close(rows(two), rows(one), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_failures_are_answers_and_the_other_asks_get_theirs(gathered: Gather) -> None:
    material = gathered("store")
    asks = asked(material)
    wrong = replace(asks[0], layers=(99,))

    def one_dies(executor: Any) -> Iterator[Any]:
        for number, answer in enumerate(executor.run([*asks, wrong])):
            if number == 0:
                multiprocessing.active_children()[0].kill()
            yield answer

    with pytest.raises(KeyboardInterrupt), open_executor("processes", place(material, 2)) as executor:  # noqa: PT012
        answers = list(one_dies(executor))
        assert sorted(map(repr, [ask for ask, _ in answers])) == sorted(map(repr, [*asks, wrong]))
        errors = {type(found.error): found.error for _, found in answers if isinstance(found, Failure)}
        assert str(errors[WorkerDiedError]).startswith("A worker on cpu was killed by SIGKILL;")
        assert "layers 0 (the embeddings) to 3; asked for [99]" in str(errors[BenchError])
        stored = [ask for ask, found in answers if not isinstance(found, Failure)]
        assert len(stored) == len(asks) - 1
        with pytest.raises(RuntimeError, match="TypeError: str is no ask"):
            list(executor.run(["what?"]))
        next(executor.run(asks))
        raise KeyboardInterrupt
    assert not multiprocessing.active_children(), "workers outlive a Ctrl-C"
    material.extract()
    rows(material)


def test_inline_answers_the_same_asks(gathered: Gather) -> None:
    material = gathered("store")
    asks = asked(material)
    wrong = replace(asks[0], layers=(99,))
    with open_executor("inline", place(material, 1)) as executor:
        answers = list(executor.run([wrong, *asks]))
    assert [ask for ask, _ in answers] == [wrong, *asks]
    assert [isinstance(found, Failure) for _, found in answers] == [True] + [False] * len(asks)
    rows(material)


def test_an_executor_is_found_by_name(tmp_path: Path) -> None:
    assert next(iter(EXECUTORS)) == "inline"
    with pytest.raises(BenchError, match="There is no executor 'process': did you mean 'processes'"):
        open_executor("process", Place(tmp_path, ("cpu",)))


def place(material: Material, workers: int) -> Place:
    return Place(material.store.home, ("cpu",) * workers)
