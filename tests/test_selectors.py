"""By which number a search chooses: what was measured, the default, and the draws that it comes from."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from bench.measures import objective
from bench.space.files import load
from bench.space.objectives import Objectives

HERE = Path(__file__).parent
MEASURED = HERE.parent / "docs" / "design" / "selectors.json"


@pytest.fixture
def perf(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    monkeypatch.setattr(sys, "path", [str(HERE / "perf"), *sys.path])
    import redrawn
    import selected

    return redrawn, selected


def better_on_most_sets(apart: dict[str, list[float | None]]) -> bool:
    """Whether the regret is lower beyond its interval; what has no interval shows nothing."""
    lower = [mean for mean, half in apart.values() if mean is not None and half is not None and mean < -half]
    return len(lower) > len(apart) / 2


def test_the_default_stays_until_another_is_better_on_most_sets() -> None:
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    won = {
        name: [head for head, selectors in measured["to_floor"].items() if better_on_most_sets(selectors[name])]
        for name in measured["to_floor"]["ridge"]
    }
    assert not any(won.values()), f"the default has been beaten: {won}"
    assert Objectives().maximize == load("default").objectives.maximize == ("f1_floor",)


def test_all_that_was_compared_can_be_searched_for_by_name() -> None:
    for name in ("f1_floor", "f1_mean", "f1_low", "accuracy_mean", "log_loss_mean", "brier_mean"):
        assert objective(name).name == name


def test_a_draw_trains_as_the_head_does_and_a_selector_pays_for_what_it_takes(
    perf: tuple[ModuleType, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    redrawn, selected = perf
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    features: dict[Any, torch.Tensor] = {}
    for source in redrawn.sources():
        signal = (0.5 + 0.2 * source.layer) * np.eye(3, 8)[labels]
        features[source] = torch.from_numpy((rng.normal(size=(300, 8)) + signal).astype(np.float32))
    pool = redrawn.Pool("toy", features, labels, ("a", "b", "c"))
    draw = redrawn.Draw(pool, 100, 0)
    for candidate in redrawn.candidates(redrawn.HEADS["ridge"])[::9]:
        solved, trained = draw._solved(candidate), draw._trained(candidate)
        assert (solved.unseen == trained.unseen).mean() > 0.99
        assert (solved.out_of_fold.argmax(-1) == trained.out_of_fold.argmax(-1)).mean() > 0.85

    monkeypatch.setattr(selected, "pool", lambda title: pool)
    row = selected.done(selected.Cell("toy", "ridge", 200), 0)
    true = 100 * np.array(row["truths"]["f1"])
    for name, lost in selected.MEASURED["regret"](row, "f1").items():
        assert lost == pytest.approx(true.max() - true[int(np.argmax(row["values"][name]))])
    assert selected.MEASURED["equal"](row, "f1")["F1 floor"] >= selected.MEASURED["regret"](row, "f1")["F1 floor"] - 1
