"""A lazy search: models earn their extraction on few rows, and what is dropped is neither extracted nor tried."""

import csv
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TEXTS
from costs import made_up
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from transformers import AutoModel

from bench.backends.body import Body
from bench.backends.transformers.backend import TransformersBackend
from bench.cost import ModelCost
from bench.datasets.dataset import Split
from bench.datasets.load import DatasetRequest
from bench.errors import BenchError
from bench.evaluation.protocol import Protocol
from bench.progress import SILENT
from bench.report import write
from bench.screening import reach
from bench.screening.reach import MARGIN, Judged, Judgement, cuts
from bench.space.candidates import Shape
from bench.space.schema import Screen, SearchSpace
from bench.specs import Source
from bench.store import Store
from bench.study import lazy
from bench.study.drops import Rung
from bench.study.journal import read
from bench.study.lazy import Earning, Judge, rungs, sizes
from bench.study.plan import plan, settled
from bench.study.prepared import prepare
from bench.study.reopen import reopen
from bench.study.run import search
from bench.study.settings import Constraints, SearchRequest, StudySettings
from bench.study.study import Study
from bench.tracking import MlflowTracker, NoTracker

ROWS = 300
Go = Callable[..., Study]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three hundred texts, in which one word tells the class."""
    random = np.random.default_rng(0)
    words = sorted({word for text in TEXTS for word in text.split()} - {"oil", "dollar"})
    folder = tmp_path_factory.mktemp("data")
    for name, rows in (("train", ROWS), ("test", 40)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["text", "label"])
            for row in range(rows):
                said = list(random.choice(words, random.integers(4, 9)))
                said[random.integers(len(said))] = ("oil", "dollar")[row % 2]
                table.writerow([" ".join(said), ("commodity", "money")[row % 2]])
    return str(folder / "train.csv")


@pytest.fixture(scope="module")
def models(tiny: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A cheap model, a dear one, and a dear one that sees how long a text is, and nothing else."""
    folders = {
        "cheap": tiny("BertConfig", num_hidden_layers=2),
        "dear": tiny("BertConfig", num_hidden_layers=4),
        "noise": tiny("BertConfig", num_hidden_layers=3, hidden_size=16),
    }
    body = AutoModel.from_pretrained(folders["noise"])
    with torch.no_grad():
        body.get_input_embeddings().weight.zero_()
    body.save_pretrained(folders["noise"])
    return {name: str(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def request_of(data: str, models: dict[str, str]) -> Callable[..., SearchRequest]:
    def made(**changes: Any) -> SearchRequest:
        space = SearchSpace.model_validate(
            {
                "version": 1,
                "sources": {"models": [*models.values()], "at_most": 2, "pooling": ["mean"]},
                "head": {"kinds": ["ridge"]},
                "screen": {"enabled": True, "beam": 2},
                "protocol": {"folds": 3, "repetitions": 2, "confirm": 2},
            }
        )
        return SearchRequest(
            dataset=DatasetRequest(name=data, test_file=data.replace("train", "test")),
            space=space,
            models=tuple(models.values()),
            protocol=Protocol(folds=3, repetitions=2, confirm=2),
            study="s",
            trials=4,
            lazy=True,
        ).model_copy(update=changes)

    return made


@pytest.fixture
def go(store: Store, tmp_path: Path, request_of: Callable[..., SearchRequest], monkeypatch: pytest.MonkeyPatch) -> Go:
    def cost(backend: Any, *_: Any, **__: Any) -> ModelCost:
        """Each layer of the cheap model takes a tenth of another's."""
        each = 1.0 if backend.model.layers == 2 else 10.0
        return made_up(backend.model.name, *(each * (layer + 1) for layer in range(backend.model.layers + 1)))

    monkeypatch.setattr("bench.preparation.measure", cost)

    def run(tracker: Any = None, store: Store = store, **changes: Any) -> Study:
        return search(prepare(request_of(**changes), store, SILENT), tmp_path, tracker or NoTracker(), SILENT)

    return run


def test_noise_is_dropped_with_its_margin_and_what_is_left_is_extracted_whole(
    go: Go, models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: Counter[tuple[str, int]] = Counter()
    beyond: list[int] = []
    states, forward = TransformersBackend.hidden_states, Body.forward

    def counted(self: TransformersBackend, encoded: Any, rows: Any, layers: Any, *more: Any, **named: Any) -> Any:
        texts[self.model.name, max(layers)] += len(rows)
        return states(self, encoded, rows, layers, *more, **named)

    def watched(self: Body, batch: Any, deepest: int, *more: Any, **named: Any) -> None:
        forward(self, batch, deepest, *more, **named)
        beyond.append(self._pass.begun - deepest)

    monkeypatch.setattr(TransformersBackend, "hidden_states", counted)
    monkeypatch.setattr(Body, "forward", watched)
    home = Store(tmp_path / "store")
    tracker = MlflowTracker(tmp_path)
    study = go(tracker, home)
    found = study.lazy
    assert found is not None
    assert [rung.rows for rung in found.rungs] == [128]
    (noise,) = (drop for drop in found.drops if drop.model == models["noise"])
    assert (noise.deepest, noise.before, noise.rows, noise.margin) == (None, 3, 128, MARGIN)
    assert "(margin 0.5%)" in str(noise)
    assert noise.loss <= noise.upper <= MARGIN
    assert noise.saved_ms == 40
    # the space is the reduced one: nothing of it was tried, or is a baseline
    assert models["noise"] not in study.material.models
    assert models["cheap"] in study.material.models
    deepest = found.deepest
    assert deepest is not None
    for record in read(tmp_path, "s").records.values():
        assert all(source.layer <= deepest[source.model] for source in record.candidate.sources)
    for entry in study.baselines:
        sources = () if entry.candidate is None else entry.candidate.sources
        assert all(source.layer <= deepest[source.model] for source in sources)
    # a pass ends where the block would begin that is not needed, and no text is extracted twice
    assert max(beyond) <= 1
    for name, model in models.items():
        last, left = {"cheap": 2, "dear": 4, "noise": 3}[name], deepest.get(model)
        assert texts.pop((model, last)) == (ROWS + 40 if left == last else 128)
        assert left in {None, last} or texts.pop((model, left)) == ROWS + 40 - 128
    assert not texts
    # written down: JSON, tracking, page, terminal
    written = study.to_json()["lazy"]
    assert {drop["model"] for drop in written["drops"]} >= {models["noise"]}
    assert {"loss", "upper", "margin", "rows"} <= set(written["drops"][0])
    parent = tracker.look(study.tracked)
    assert parent is not None
    run = MlflowClient(tracker.store.address).get_run(parent)
    assert run.data.params["lazy"] == "true"
    assert str(noise) in run.data.tags["bench.lazy.drops"]
    assert "What was not extracted" in write(study, tmp_path / "report").page.read_text()
    # opened again it is the same, and extracts nothing
    again = reopen(tmp_path, "s", home)
    assert again.lazy == found
    assert [*again.material.models] == [*study.material.models]
    assert [entry.candidate for entry in again.front] == [entry.candidate for entry in study.front]


def test_a_model_that_is_kept_is_extracted_whole(go: Go, models: dict[str, str]) -> None:
    study = go(keep=(models["noise"],))
    assert study.lazy is not None
    assert models["noise"] not in {drop.model for drop in study.lazy.drops}
    assert study.material.deepest[models["noise"]] == 3


def test_who_is_to_be_kept_must_take_part(go: Go) -> None:
    with pytest.raises(BenchError, match="No model 'x' takes part"):
        go(keep=("x",))


def test_a_killed_lazy_search_goes_on_and_drops_the_same(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy, "FIRST", 64)
    undisturbed = go(study="undisturbed")
    assert undisturbed.lazy is not None
    assert [rung.rows for rung in undisturbed.lazy.rungs] == [64, 128]
    judged = Earning._judged
    for fatal in (0, 1):  # on the way through either rung
        seen: list[int] = []

        def dies(self: Earning, *arguments: Any, fatal: int = fatal, seen: list[int] = seen) -> Any:
            seen.append(1)
            if len(seen) > fatal:
                raise KeyboardInterrupt
            return judged(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Earning, "_judged", dies)
            with pytest.raises(KeyboardInterrupt):
                go(study=f"killed-{fatal}")
        resumed = go(study=f"killed-{fatal}")
        assert resumed.lazy == undisturbed.lazy
        tried = [
            [record.candidate for record in read(tmp_path, name).records.values()]
            for name in ("undisturbed", f"killed-{fatal}")
        ]
        assert tried[0] == tried[1]


def test_a_study_knows_that_it_is_lazy_and_stays_it(
    go: Go, store: Store, tmp_path: Path, request_of: Callable[..., SearchRequest]
) -> None:
    go()

    def open_again(**changes: Any) -> bool:
        prepared = settled(prepare(request_of(**changes), store, SILENT), tmp_path)
        return prepared.settings.lazy

    assert open_again(lazy=None)
    assert not open_again(lazy=None, study="another")
    assert open_again(study="another")
    with pytest.raises(BenchError, match="lazy: True → False"):
        go(lazy=False)


def test_a_lazy_study_stays_lazy_where_its_space_does_not_screen(
    store: Store, tmp_path: Path, request_of: Callable[..., SearchRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = request_of().space.model_copy(update={"screen": Screen(enabled=False)})
    prepared = prepare(request_of(lazy=None, space=space), store, SILENT)
    assert not settled(prepared, tmp_path).settings.lazy
    monkeypatch.setattr("bench.study.plan.made_under", lambda *_: {"lazy": True})
    assert settled(prepared, tmp_path).settings.lazy


def test_without_lazy_a_study_has_the_name_that_it_had(store: Store, request_of: Callable[..., SearchRequest]) -> None:
    settings = prepare(request_of(lazy=None), store, SILENT).settings
    values = settings.model_dump(mode="json")
    for name in ("lazy", "keep"):
        del values[name]
    del values["space"]["sources"]["deepest"]
    assert StudySettings.model_validate(values).fingerprint() == settings.fingerprint()
    assert settings.model_copy(update={"lazy": True}).fingerprint() != settings.fingerprint()


def test_a_long_extraction_is_lazy_by_itself(
    tmp_path: Path, request_of: Callable[..., SearchRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    for machine, expected in ((1e15, False), (100.0, True)):
        monkeypatch.setattr("bench.study.plan.SLOWEST", min(machine, 1e9))
        monkeypatch.setattr("bench.study.plan.matrix_peak", lambda *_, peak=machine: peak)
        prepared = settled(prepare(request_of(lazy=None), store, SILENT), tmp_path)
        assert prepared.settings.lazy is expected
        planned = plan(prepared, tmp_path)
        assert (planned.lazy is not None) is expected
    assert planned.lazy is not None
    assert planned.lazy.rows == (128,)
    whole = sum(model.seconds for model in planned.models)
    assert planned.lazy.first_seconds == pytest.approx(whole * 128 / (ROWS + 40), rel=0.02)


def split(labels: list[int], groups: list[int]) -> Split:
    names = tuple(f"text {row}" for row in range(len(labels)))
    return Split(names, names, np.array(labels), np.array(groups), "")


@given(st.integers(0, 100), st.integers(1, 3))
def test_rungs_are_nested_hold_every_class_and_cut_no_group(seed: int, together: int) -> None:
    labels = [0] * 900 + [1] * 90 + [2] * 10
    groups = [row // together for row in range(1000)]
    found = [set(rows.tolist()) for rows in rungs(split(labels, groups), seed)]
    assert [abs(len(rows) - size) < together for rows, size in zip(found, sizes(split(labels, groups)), strict=True)]
    for smaller, larger in pairwise(found):
        assert smaller < larger
    for rows in found:
        counts = Counter(labels[row] for row in rows)
        assert min(counts.values()) >= lazy.EACH
        taken = Counter(row // together for row in rows)
        whole = Counter(groups)
        assert all(count == whole[group] for group, count in taken.items())


def single(model: str, layer: int, cost: float, right: np.ndarray) -> Judged:
    return Judged((Source(model=model, layer=layer, pooling="mean"),), cost, right - 0.5)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Judged], dict[str, list[float]]]:
    """Three models, one of which alone is cheap and knows something."""
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    rows = draw(st.sampled_from([128, 256, 512]))
    depths = {"cheap": 3, "b": 5, "c": 4}
    each = {"cheap": 1.0, "b": draw(st.floats(8, 20)), "c": draw(st.floats(8, 20))}
    costs = {model: [each[model] * (layer + 1) for layer in range(depth + 1)] for model, depth in depths.items()}
    judged = []
    for model, depth in depths.items():
        best = draw(st.floats(0.7, 0.95)) if model == "cheap" else draw(st.floats(0.5, 0.99))
        judged += [
            single(model, layer, costs[model][layer], (random.random(rows) < best).astype(float))
            for layer in range(depth + 1)
        ]
    return judged, costs


@given(tables())
def test_a_model_that_is_alone_at_the_cheap_end_of_the_front_is_not_dropped(
    table: tuple[list[Judged], dict[str, list[float]]],
) -> None:
    judged, costs = table
    judgement = Judgement(judged, np.arange(len(judged[0].values)))
    start = {model: len(each) - 1 for model, each in costs.items()}
    left = dict(start)
    for cut in cuts(judgement, start, costs):
        assert cut.loss.upper <= MARGIN
        assert cut.saved > 0
        left[cut.model] = -1 if cut.after is None else cut.after
    assert left["cheap"] >= 0
    # all cuts of a rung together stay within the margin
    assert (
        judgement.loss({model: layer for model, layer in left.items() if layer >= 0}).upper <= MARGIN or left == start
    )


def test_a_dear_model_that_adds_nothing_is_dropped_and_one_that_adds_is_not() -> None:
    random = np.random.default_rng(0)
    hard = random.random(512)

    def right(share: float) -> np.ndarray:
        return (hard < share).astype(float)

    costs = {"a": [1.0, 2.0], "b": [10.0, 20.0]}
    for dear, dropped in ((0.8, True), (0.95, False)):
        judged = [single("a", 0, 1, right(0.7)), single("a", 1, 2, right(0.8))]
        judged += [single("b", 0, 10, right(0.6)), single("b", 1, 20, right(dear))]
        found = list(cuts(Judgement(judged, np.arange(512)), {"a": 1, "b": 1}, costs))
        assert (("b", None) in {(cut.model, cut.after) for cut in found}) is dropped
        assert not list(cuts(Judgement(judged, np.arange(512)), {"a": 1, "b": 1}, costs, keep=("a", "b")))


def test_repeated_rows_are_no_evidence() -> None:
    """The bound of rows that stand there eight times is that of the rows that stand there once."""
    random = np.random.default_rng(1)
    once = [single("a", 0, 1, (random.random(64) < 0.7) * 1.0), single("b", 0, 10, (random.random(64) < 0.8) * 1.0)]
    often = [Judged(row.sources, row.cost, np.repeat(row.values, 8)) for row in once]
    losses = [
        Judgement(rows, groups).loss({"a": 0})
        for rows, groups in ((once, np.arange(64)), (often, np.repeat(np.arange(64), 8)))
    ]
    assert losses[0].mean == pytest.approx(losses[1].mean)
    assert losses[0].upper == pytest.approx(losses[1].upper)
    assert reach.PARTS > 1


def rung_of(
    blind: bool = False, at_least: int = 1, limits: Constraints | None = None, **changes: Any
) -> tuple[Rung, dict[str, int]]:
    """A rung of 256 rows, and what went in: "small" tells little, "medium" as much as "big".

    "big" takes a little less time than "medium", and twice the memory.
    """
    random = np.random.default_rng(0)
    truth = np.arange(256) % 2
    each = {"small": 0.5, "big": 2.0, "medium": 2.0}
    states = {
        name: torch.from_numpy(random.normal(size=(256, 4)) + strength * truth[:, None]).float()
        for name, strength in each.items()
    }
    states["medium"] = states["big"]
    space = SearchSpace.model_validate(
        {
            "version": 1,
            "sources": {"models": [*each], "at_least": at_least, "at_most": 2, "pooling": ["mean"]},
            "screen": {"enabled": True, "beam": 2},
        }
    )
    asked = SearchRequest(
        dataset=DatasetRequest(name="d"),
        space=space,
        protocol=Protocol(folds=3, repetitions=2).model_copy(update=changes.pop("protocol", {})),
        constraints=limits or Constraints(),
    ).model_copy(update=changes)
    costs = {
        "small": made_up("small", 1, 2),
        "big": made_up("big", 5, 10, memory=2.0),
        "medium": made_up("medium", 5.1, 10.1),
    }
    start = dict.fromkeys(each, 1)
    judge = Judge(asked, dict.fromkeys(each, Shape(1, 4, ("mean",))), costs, ("x", "y"), SILENT)
    return judge.rung(lambda s: states[s.model] * (np.nan if blind else 1.0), truth, np.arange(256), start), start


def test_a_model_over_a_limit_covers_for_none_within_it() -> None:
    assert "medium" not in rung_of()[0].deepest
    rung, _ = rung_of(limits=Constraints(max_memory_gb=1.5))
    assert "medium" in rung.deepest
    assert "big" not in rung.deepest
    first = rung.drops[0]
    assert (first.model, first.before, first.deepest) == ("big", 1, None)
    assert (first.loss, first.upper, first.saved_ms) == (0, 0, 10)


def test_layers_over_a_limit_are_dropped_and_count_for_no_model_that_must_be_left() -> None:
    rung, _ = rung_of(limits=Constraints(max_latency_ms=9))
    assert [(drop.model, drop.deepest) for drop in rung.drops][:2] == [("big", 0), ("medium", 0)]
    # two models a candidate, of which only these can be had within the limit
    rung, _ = rung_of(at_least=2, limits=Constraints(max_memory_gb=1.5))
    assert set(rung.deepest) == {"small", "medium"}
    rung, start = rung_of(limits=Constraints(max_memory_gb=1.5), keep=("big",))
    assert rung.deepest["big"] == start["big"]


def test_where_nothing_is_known_or_within_the_limits_all_is_left() -> None:
    for rung, start in (rung_of(blind=True), rung_of(limits=Constraints(max_memory_gb=0.5))):
        assert (rung.deepest, rung.drops, rung.representations) == (start, (), 0)


def test_a_rung_is_judged_in_folds_whatever_the_search_does_with_as_many_rows() -> None:
    assert rung_of(protocol={"validation_above": 100}) == rung_of()
