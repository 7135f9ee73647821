"""Extraction over several devices, as a machine with several GPUs does it."""

from collections.abc import Callable, Sequence
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
import torch

from bench.extraction import extract, survey
from bench.models.resolve import ResolvedModel, resolve
from bench.specs import ExtractionSettings
from bench.store import Store, text_key

SETTINGS = ExtractionSettings(device="cpu", max_length=32)


@pytest.fixture(scope="module")
def bert(tiny: Callable[..., Path], in_model_store: None) -> ResolvedModel:
    return resolve(str(tiny("BertConfig")))


def rows(model: ResolvedModel, store: Store, texts: Sequence[str]) -> torch.Tensor:
    """What is stored of `texts`, [slots, texts, width]; all of it must be there."""
    need = survey(model, SETTINGS, texts, store)
    assert not need.missing
    return torch.stack([need.shelf.matrix([text_key(text) for text in texts], name) for name in need.slots])


def test_a_model_is_the_same_value_in_another_process(bert: ResolvedModel) -> None:
    assert ForkingPickler.loads(ForkingPickler.dumps(bert)) == bert


@pytest.mark.slow
def test_two_devices_store_what_one_does(
    bert: ResolvedModel, texts: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    extract(survey(bert, SETTINGS, texts, one), SETTINGS, texts)
    monkeypatch.setattr("bench.extraction.all_devices", lambda settings: ["cpu", "cpu"])
    extract(survey(bert, SETTINGS, texts, two), SETTINGS, texts)
    torch.testing.assert_close(rows(bert, two, texts), rows(bert, one, texts), atol=1e-5, rtol=1e-5)
