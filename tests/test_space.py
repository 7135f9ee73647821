import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.errors import BenchError
from bench.fusion import FUSIONS
from bench.space.candidates import Shape, canonical, suggest
from bench.space.enumeration import count, is_finite, member_of, members, singles, surely_more
from bench.space.files import load, schema, spaces_folder
from bench.space.schema import Range, SearchSpace
from bench.specs import MLP, Candidate, Logistic, Ridge, Source

SHAPES = {
    "a": Shape(6, 384, ("mean", "last", "first")),
    "b": Shape(30, 576, ("mean", "last")),
    "c": Shape(2, 64, ("mean", "last")),
}
SMALL = SearchSpace.model_validate(
    {
        "version": 1,
        "sources": {"models": ["a", "b", "c"], "at_most": 3, "depth": {"low": 0.9}, "pooling": ["mean", "last"]},
        "fusion": {"operators": ["concat", "hadamard", "quaternion"]},
    }
)


def sources() -> st.SearchStrategy[Source]:
    return st.sampled_from(sorted(SHAPES)).flatmap(
        lambda model: st.builds(
            Source,
            model=st.just(model),
            layer=st.integers(0, SHAPES[model].layers),
            pooling=st.sampled_from(SHAPES[model].poolings),
        )
    )


def candidates() -> st.SearchStrategy[Candidate]:
    return st.builds(
        Candidate,
        sources=st.lists(sources(), min_size=2, max_size=4).map(tuple),
        fusion=st.sampled_from(
            sorted(name for name, each in FUSIONS.items() if not each.weighted and not each.compared)
        ),
        width=st.none() | st.integers(4, 600),
        head=st.just(MLP()) | st.just(Logistic()) | st.just(Ridge()),
    )


PAIRS = {"m:a": SHAPES["a"], "m:b": SHAPES["a"], "n:a": SHAPES["a"]}
COMPARING = SearchSpace.model_validate(
    {
        "version": 1,
        "sources": {"models": [*PAIRS], "at_most": 2, "depth": {"low": 0.8}, "pooling": ["mean"]},
        "fusion": {"operators": ["concat", "difference"]},
    }
)


def test_fields_are_compared_under_one_model_and_at_one_layer() -> None:
    compared = {each.candidate for each in members(COMPARING, PAIRS) if each.candidate.fusion == "difference"}
    assert {tuple((s.model, s.layer) for s in each.sources) for each in compared} == {
        (("m:a", 5), ("m:b", 5)),
        (("m:a", 6), ("m:b", 6)),
    }
    assert all(canonical(each, PAIRS) == each for each in compared)
    two = [Source(model=model, layer=6, pooling="mean") for model in ("m:a", "n:a")]
    with pytest.raises(BenchError, match="compares two fields under one model"):
        canonical(Candidate(sources=tuple(two), fusion="difference"), PAIRS)


@given(candidates(), st.randoms())
def test_canonical_form_is_stable_and_blind_to_order_where_the_operator_commutes(candidate, random) -> None:
    once = canonical(candidate, SHAPES)
    assert canonical(once, SHAPES) == once
    shuffled = list(candidate.sources)
    random.shuffle(shuffled)
    other = canonical(candidate.model_copy(update={"sources": tuple(shuffled)}), SHAPES)
    if FUSIONS[candidate.fusion].commutative:
        assert other.fingerprint() == once.fingerprint()
    assert sorted(map(str, other.sources)) == sorted(map(str, candidate.sources))


def test_a_scalar_mix_is_only_searched_within_a_model() -> None:
    space = {"version": 1, "sources": {"models": ["a"], "layers_per_model": 2}, "fusion": {"operators": ["scalar-mix"]}}
    with pytest.raises(ValidationError, match="mixes layers of one model"):
        SearchSpace.model_validate(space)
    space["sources"] = {"models": ["a"], "layers_per_model": 2, "at_most": 1}
    assert SearchSpace.model_validate(space).fusion.operators == ("scalar-mix",)


def test_order_matters_for_operators_that_do_not_commute() -> None:
    first, second = Source(model="a", layer=1, pooling="mean"), Source(model="b", layer=1, pooling="mean")
    forms = {
        canonical(Candidate(sources=order, fusion="quaternion"), SHAPES).fingerprint()
        for order in ((first, second), (second, first))
    }
    assert len(forms) == 2


def test_what_cannot_differ_is_one_candidate() -> None:
    one = (Source(model="a", layer=1, pooling="mean"),)
    assert canonical(Candidate(sources=one, fusion="sum", width=16), SHAPES) == Candidate(sources=one)
    two = (*one, Source(model="b", layer=1, pooling="mean"))
    assert canonical(Candidate(sources=two, fusion="concat", width=16), SHAPES).width is None
    assert canonical(Candidate(sources=two, fusion="multiplication"), SHAPES).width == 361
    assert canonical(Candidate(sources=two, fusion="quaternion", width=99), SHAPES).width == 96
    for head in (Logistic(), Ridge()):
        plain = canonical(Candidate(sources=two, fusion="sum", head=head), SHAPES)
        assert canonical(Candidate(sources=two, fusion="sum+residual", head=head), SHAPES) == plain
    mlp = canonical(Candidate(sources=two, fusion="sum+residual"), SHAPES)
    assert mlp.fusion == "sum+residual", "under a fixed number of Adam steps a rescaling is not nothing"


def test_a_weighting_of_ridge_is_searched_where_several_are_listed() -> None:
    def heads(**more: Any) -> set[Any]:
        space = SearchSpace.model_validate(
            {"version": 1, "sources": {"models": ["a"]}, "head": {"kinds": ["ridge", "logistic"], **more}}
        )
        return {member.candidate.head for member in members(space, {"a": SHAPES["a"]})}

    assert heads() == {Logistic(), Ridge(class_weight="sqrt")}
    assert heads(weighting=["balanced"]) == {Logistic(), Ridge(class_weight="balanced")}
    assert heads(weighting=["none", "sqrt"]) == {Logistic(), Ridge(class_weight="none"), Ridge(class_weight="sqrt")}
    with pytest.raises(ValidationError, match="'none', 'sqrt' or 'balanced'"):
        heads(weighting=["square root"])


def test_what_a_space_can_say_of_ridge_renames_no_study_that_does_not_say_it() -> None:
    sources = {"models": ["a"]}
    plain = SearchSpace.model_validate({"version": 1, "sources": sources})
    assert "weighting" not in plain.model_dump(mode="json")["head"]
    other = SearchSpace.model_validate({"version": 1, "sources": sources, "head": {"weighting": ["none", "sqrt"]}})
    assert SearchSpace.model_validate(other.model_dump(mode="json")) == other != plain


def test_fingerprints_do_not_change_between_versions() -> None:
    """Stored evaluations are found by these: a change here throws them all away, so make it on purpose."""
    candidate = Candidate(sources=(Source(model="a", layer=1, pooling="mean"),))
    assert candidate.fingerprint() == "d9daa821c87281a9"


def test_enumeration_finds_exactly_what_sampling_can_find() -> None:
    listed = {member.candidate.fingerprint() for member in members(SMALL, SHAPES)}
    assert count(SMALL, SHAPES, 10_000) == len(listed)
    assert count(SMALL, SHAPES, len(listed) - 1) is None
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    sampled = {suggest(study.ask(), SMALL, SHAPES).fingerprint() for _ in range(600)}
    assert sampled <= listed
    assert len(sampled) > len(listed) // 3


def test_a_large_space_is_known_to_be_one_without_a_walk_through_it() -> None:
    for update in ({}, {"layers_per_model": 2}, {"at_least": 2}, {"at_most": 2, "total": 2}):
        space = SMALL.model_copy(update={"sources": SMALL.sources.model_copy(update=update)})
        found = sum(1 for _ in members(space, SHAPES))
        assert not surely_more(space, SHAPES, found)
        if update != {"layers_per_model": 2}:
            assert surely_more(space, SHAPES, found // 2)
    assert surely_more(load("default"), SHAPES, 20_000)
    assert count(load("default"), SHAPES) is None


def test_enumerated_params_lead_back_to_their_candidate() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for member in islice(members(SMALL, SHAPES), 0, 400, 7):
        study.enqueue_trial(member.params)
        assert suggest(study.ask(), SMALL, SHAPES) == member.candidate


def test_two_layers_of_a_model_are_two_different_layers() -> None:
    space = SMALL.model_copy(update={"sources": SMALL.sources.model_copy(update={"layers_per_model": 2, "at_most": 1})})
    found = [member.candidate for member in members(space, {"a": SHAPES["a"]})]
    for candidate in found:
        assert len(set(candidate.sources)) == len(candidate.sources) <= 2
    assert any(len(candidate.sources) == 2 for candidate in found)


def test_first_token_pooling_is_left_out_where_it_means_nothing() -> None:
    space = SMALL.model_copy(update={"sources": SMALL.sources.model_copy(update={"pooling": ("mean", "first")})})
    found = {source for member in members(space, SHAPES) for source in member.candidate.sources}
    assert any(source.pooling == "first" for source in found if source.model == "a")
    assert not any(source.pooling == "first" for source in found if source.model == "b")


def test_a_model_is_tried_first_as_its_authors_use_it() -> None:
    space = SMALL.model_copy(update={"sources": SMALL.sources.model_copy(update={"pooling": ("mean", "first")})})
    shapes = {"a": Shape(6, 384, ("mean", "last", "first"), own_pooling="first"), "b": Shape(3, 64, ("mean",), "last")}
    found = [member.candidate.sources[0] for member in singles(space, shapes)]
    assert [(each.model, each.layer, each.pooling) for each in found] == [("a", 6, "first"), ("b", 3, "mean")]


@pytest.mark.parametrize("path", sorted(spaces_folder().glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_spaces_are_valid_and_suggest(path: Path) -> None:
    space = load(path.stem)
    shapes = {name: Shape(12, 384, ("mean", "last")) for name in space.sources.models}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(20):
        candidate = suggest(study.ask(), space, shapes)
        assert space.sources.at_least <= len(candidate.models) <= space.sources.at_most
    assert is_finite(space)


def test_schema_beside_the_spaces_is_the_current_one() -> None:
    written = (spaces_folder() / "schema.json").read_text(encoding="utf-8")
    assert json.loads(written) == json.loads(schema()), "run: bench space schema > search_spaces/schema.json"


BASE = 'version = 1\n[sources]\nmodels = ["a"]\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BASE + "poling = ['mean']\n", r"unknown key 'sources.poling': did you mean 'pooling'"),
        (BASE + "pooling = ['men']\n", r"'sources.pooling.0': there is no pooling 'men': did you mean 'mean'"),
        (BASE + "[fusion]\noperators = ['hadamrd']\n", r"no fusion operator 'hadamrd': did you mean 'hadamard'"),
        (BASE + "[objectives]\nmaximize = ['f1_flor']\n", r"there is no 'f1_flor': did you mean 'f1_floor'"),
        (BASE + "[head]\nlearning_rate = { lo = 1e-4, high = 1 }\n", r"'head.learning_rate.lo': did you mean 'low'"),
        (BASE + "[head]\nlearning_rate = { low = 0, high = 1, log = true }\n", r"'head.learning_rate': .*above 0"),
        (BASE + "[head]\nhidden = 'x'\n", r"'head.hidden': .*integer"),
        (BASE + "at_least = 4\n", r"'sources': at_least must not be above at_most"),
        (BASE + "[protocol]\nrepetitions = 1\n[objectives]\nminimize = ['f1_std']\n", r"spread needs .*repetitions"),
        (BASE + "[head]\nhidden = { choices = [0] }\n", r"'head.hidden': .*whole numbers from 1"),
        (BASE + "[head]\nhidden = { choices = [8.9] }\n", r"'head.hidden': .*whole numbers"),
        (BASE + "[head]\nlearning_rate = { low = 0, high = 1 }\n", r"'head.learning_rate': .*above 0"),
        (BASE + "[objectives]\nminimize = ['f1_mean']\n", r"f1_mean is to be maximized"),
        ("[sources]\nmodels = ['a']\n", r"the key 'version' is missing"),
        ("version = 2\n[sources]\nmodels = ['a']\n", r"'version': "),
        ("version =\n", r"is not valid TOML: .*line 1"),
    ],
)
def test_a_wrong_space_file_names_file_key_and_nearest_name(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BenchError, match=message) as caught:
        load(str(path))
    assert "mine.toml" in str(caught.value)


def test_a_model_without_any_of_the_space_s_poolings_is_named() -> None:
    space = SMALL.model_copy(update={"sources": SMALL.sources.model_copy(update={"pooling": ("first",)})})
    with pytest.raises(BenchError, match="b has none of the space's poolings"):
        list(members(space, {"b": SHAPES["b"]}))


def test_a_range_of_one_number_is_no_endless_space() -> None:
    head = SMALL.head.model_copy(update={"learning_rate": Range(low=1e-3, high=1e-3)})
    space = SMALL.model_copy(update={"head": head})
    assert is_finite(space)
    assert count(space, SHAPES, 10_000) == count(SMALL, SHAPES, 10_000)


def test_a_mistyped_space_name_gets_the_nearest() -> None:
    with pytest.raises(BenchError, match="did you mean 'quickstart'"):
        load("quikstart")


def test_what_tells_no_texts_apart_is_never_proposed_and_all_else_is() -> None:
    poolings = ("mean", "last", "first")
    space = SearchSpace.model_validate(
        {
            "version": 1,
            "sources": {"models": ["a", "b"], "at_most": 2, "pooling": list(poolings)},
            "head": {"kinds": ["logistic"]},
        }
    )
    plain = {"a": Shape(2, 64, poolings), "b": Shape(1, 64, ("mean",))}
    same = frozenset({(0, "first"), (0, "mean"), (1, "first")})
    shapes = plain | {"a": replace(plain["a"], same=same)}

    def proposed(candidate: Candidate) -> bool:
        return not any(source.model == "a" and (source.layer, source.pooling) in same for source in candidate.sources)

    every = [member.candidate for member in members(space, plain)]
    found = list(members(space, shapes))
    assert {member.candidate for member in found} == set(filter(proposed, every)) != set(every)
    for member in found:
        again = member_of(member.candidate, space, shapes)
        assert again is not None
        assert again.params == member.params
    assert member_of(next(each for each in every if not proposed(each)), space, shapes) is None
    # one name stands for one list of choices, as samplers want it
    lists: dict[str, set[object]] = {}
    for member in found:
        for name, value in member.params.items():
            lists.setdefault(name, set()).add(value)
    assert lists["pooling.a"] == set(poolings)
    assert lists["pooling.a.but-first"] == {"mean", "last"}
    assert "pooling.a.but-mean+first" not in lists, "one is left, which is no choice"


def test_a_layer_that_tells_nothing_is_left_out_as_a_whole() -> None:
    space = SearchSpace.model_validate(
        {"version": 1, "sources": {"models": ["a"], "pooling": ["first"]}, "head": {"kinds": ["logistic"]}}
    )
    shape = Shape(3, 64, ("first",), same=frozenset({(0, "first"), (1, "first")}))
    layers = [member.candidate.sources[0].layer for member in members(space, {"a": shape})]
    assert layers == [3, 2]


def test_a_space_is_written_without_what_is_none() -> None:
    """As the study's run has it, in space.json."""
    space = load("quickstart")
    assert SearchSpace.model_validate(space.model_dump(mode="json", exclude_none=True)) == space
