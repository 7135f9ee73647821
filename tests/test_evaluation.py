import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.datasets.dataset import Dataset
from bench.datasets.load import DatasetRequest, load
from bench.evaluation.cache import EvaluationCache
from bench.evaluation.evaluator import Evaluator, Texts
from bench.evaluation.features import Features
from bench.evaluation.inputs import stored
from bench.evaluation.protocol import Protocol, folds, predicted_rows
from bench.evaluation.rows import sides
from bench.evaluation.scoring import Scorer
from bench.specs import MLP, Candidate, Head, Logistic, Ridge, Source
from bench.store import Shelf, Store, slot, text_key

SOURCE = Source(model="m", layer=0, pooling="mean")
QUICK = MLP(hidden=16, learning_rate=1e-2, epochs=10)


@pytest.fixture(scope="module")
def r8() -> Dataset:
    return load(DatasetRequest(name="r8", max_train=160, max_test=80))


def vectors(texts: tuple[str, ...]) -> torch.Tensor:
    """Features that carry some of the class: counts of a few words."""
    words = ("oil", "shares", "net", "rate", "trade", "dlrs", "ship", "grain")
    return torch.tensor([[float(text.split().count(word)) for word in words] for text in texts])


def shelf_for(home: Path, dataset: Dataset) -> Shelf:
    shelf = Store(home).shelf({"model": "m"})
    texts = (*dataset.train.texts, *dataset.test.texts)
    keys = list(dict.fromkeys(text_key(text) for text in texts))
    by_key = {text_key(text): text for text in texts}
    rows = vectors(tuple(by_key[key] for key in keys))
    shelf.append(keys, [1] * len(keys), [False] * len(keys), {slot(0, "mean"): rows})
    shelf.refresh()
    return shelf


def scorer(home: Path, dataset: Dataset, protocol: Protocol, cache: Path | None = None) -> Scorer:
    shelf = shelf_for(home, dataset)
    train, test = sides(dataset)
    features = Features(train.by_view, test.by_view, {shelf.fingerprint: shelf}.__getitem__)
    texts = Texts(dataset.train.texts, dataset.test.texts)
    answers = Evaluator(train, test, features, EvaluationCache(cache), texts)
    return Scorer(dataset, protocol, answers, stored({"m": shelf.fingerprint}))


@given(st.integers(0, 10_000), st.integers(2, 6), st.lists(st.integers(0, 3), min_size=40, max_size=80))
@settings(deadline=None, max_examples=40)
def test_each_row_is_predicted_once_out_of_fold_and_groups_stay_whole(seed: int, k: int, classes: list[int]) -> None:
    labels = np.array(classes)
    groups = np.arange(len(labels)) // 2
    parts = folds(labels, groups, Protocol(folds=k), seed)
    assert predicted_rows(parts).tolist() == list(range(len(labels)))
    for part in parts:
        assert not set(groups[part.train]) & set(groups[part.predict])


def test_folds_are_stratified_differ_by_seed_and_repeat_for_one_seed() -> None:
    labels = np.repeat([0, 1], [80, 20])
    groups = np.arange(100)
    first = folds(labels, groups, Protocol(), 1)
    for part in first:
        assert labels[part.predict].sum() == 4
    again, other = folds(labels, groups, Protocol(), 1), folds(labels, groups, Protocol(), 2)
    assert all((a.predict == b.predict).all() for a, b in zip(first, again, strict=True))
    assert any((a.predict.tolist() != b.predict.tolist()) for a, b in zip(first, other, strict=True))


def test_a_class_with_fewer_rows_than_folds_is_no_warning_here() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folds(np.array([0] * 30 + [1]), np.arange(31), Protocol(), 0)


def test_large_data_gets_one_fixed_validation_split_and_says_so() -> None:
    protocol = Protocol(validation_above=50)
    labels, groups = np.arange(100) % 4, np.arange(100)
    (first,), (second,) = folds(labels, groups, protocol, 1), folds(labels, groups, protocol, 2)
    assert (first.predict == second.predict).all()
    assert len(first.predict) == 20
    assert "one fixed validation split" in protocol.describe(100)
    assert "they differ by what a seed changes of a head alone" in protocol.describe(100)
    assert "5-fold" in protocol.describe(50)


def test_the_search_cannot_see_the_test_set(tmp_path: Path, r8: Dataset) -> None:
    """Poison every test label and every test feature: no score of the search may move by a hair."""
    candidate = Candidate(sources=(SOURCE,), head=QUICK)
    protocol = Protocol(folds=3, repetitions=2)
    honest = scorer(tmp_path / "a", r8, protocol).scored(candidate, "search")

    rng = np.random.default_rng(0)
    poisoned = replace(r8, test=replace(r8.test, labels=rng.permutation(r8.test.labels), texts=r8.test.texts[::-1]))
    other = scorer(tmp_path / "b", poisoned, protocol)
    other.evaluator.features.test = None  # type: ignore[assignment,method-assign] - any use would raise
    again = other.scored(candidate, "search")
    assert (again.predicted == honest.predicted).all()
    assert again.metrics() == honest.metrics()


def test_the_paper_protocol_does_see_it_and_says_so(tmp_path: Path, r8: Dataset) -> None:
    protocol = Protocol(name="paper", repetitions=2)
    scored = scorer(tmp_path, r8, protocol).scored(Candidate(sources=(SOURCE,), head=QUICK), "search")
    assert scored.predicted.shape == (2, len(r8.test))
    assert "optimistic" in protocol.describe(160)


def test_seeds_of_search_and_confirmation_never_meet() -> None:
    protocols = [Protocol(seed=seed, repetitions=5, confirm=10) for seed in range(4)]
    seeds = [seed for each in protocols for seed in (*each.search_seeds, *each.confirm_seeds)]
    assert len(set(seeds)) == len(seeds)


def test_a_repetition_once_computed_is_read_back_and_a_torn_one_is_not(tmp_path: Path, r8: Dataset) -> None:
    candidate = Candidate(sources=(SOURCE,), head=QUICK)
    first = scorer(tmp_path, r8, Protocol(folds=3), tmp_path).scored(candidate, "search", (0,))
    second = scorer(tmp_path, r8, Protocol(folds=3), tmp_path)
    second.evaluator.features.train = None  # type: ignore[assignment,method-assign] - nothing may be trained
    assert (second.scored(candidate, "search", (0,)).predicted == first.predicted).all()

    (path,) = (tmp_path / "evaluations").rglob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    third = scorer(tmp_path, r8, Protocol(folds=3), tmp_path)
    assert (third.scored(candidate, "search", (0,)).predicted == first.predicted).all()
    with pytest.raises(TypeError):
        second.scored(candidate, "search", (1,))  # another seed is another evaluation


@pytest.mark.parametrize("head", [QUICK, Logistic(), Ridge()], ids=["mlp", "logistic", "ridge"])
def test_folds_answered_one_by_one_are_the_repetition(tmp_path: Path, r8: Dataset, head: Head) -> None:
    raced = Protocol(folds=3, repetitions=2, race=0.05)
    candidate = Candidate(sources=(SOURCE,), head=head)
    bit_by_bit, at_once = (scorer(tmp_path / name, r8, raced, tmp_path / name) for name in ("a", "b"))
    whole, *_ = at_once.asks(candidate, "search")
    blocks = bit_by_bit.blocks(candidate)
    assert [ask.folds.only for ask in blocks if ask.folds] == [(0,), (1,), (2,), None]
    answers = [(ask, bit_by_bit.evaluator.answer(ask)) for ask in blocks[:3]]
    assert bit_by_bit.gathered(answers[:2]).begun
    assert not bit_by_bit.gathered(answers).begun
    expected = at_once.evaluator.answer(whole)
    for found in (bit_by_bit.evaluator.known(whole), bit_by_bit.gathered(answers).repetitions[0]):
        assert found is not None
        assert np.array_equal(found.rows, expected.rows)
        assert np.array_equal(found.predicted, expected.predicted)
    joined = bit_by_bit.evaluator.known(whole)
    assert joined is not None
    np.testing.assert_allclose(joined.scores, expected.scores, atol=1e-5)
    assert len(joined.reports) == len(expected.reports)
    for place, (ask, outcome) in enumerate(answers):
        part = at_once.evaluator.known(ask)
        assert part is not None
        assert np.array_equal(part.rows, outcome.rows)
        assert part.reports == expected.reports[place : place + 1]
    assert bit_by_bit.evaluator.known(whole.of_folds((0, 2))) is not None
    assert bit_by_bit.evaluator.known(blocks[3]) is None


@pytest.mark.parametrize("head", [QUICK, Logistic(), Ridge()], ids=["mlp", "logistic", "ridge"])
def test_features_that_carry_the_class_beat_the_majority(tmp_path: Path, r8: Dataset, head: Head) -> None:
    found = scorer(tmp_path, r8, Protocol(folds=3, repetitions=2))
    scored = found.scored(Candidate(sources=(SOURCE,), head=head), "search")
    assert scored.f1.mean > found.scored("majority", "search").f1.mean + 0.1
    assert scored.f1.floor == min(each.scores.macro_f1 for each in scored.repetitions)


def test_a_label_that_only_the_test_set_has_counts_as_missed(tmp_path: Path, r8: Dataset) -> None:
    labels = r8.test.labels.copy()
    labels[:5] = len(r8.labels)
    odd = replace(r8, test=replace(r8.test, labels=labels), test_only_labels=("odd",))
    scores = scorer(tmp_path, odd, Protocol(confirm=1)).scored(Candidate(sources=(SOURCE,), head=QUICK), "confirm")
    only = scores.repetitions[0].scores
    assert len(only.f1) == len(r8.labels) + 1
    assert only.f1[-1] == 0
    assert only.support[-1] == 5


def test_text_baselines_are_deterministic_and_share_the_folds(tmp_path: Path, r8: Dataset) -> None:
    found = scorer(tmp_path, r8, Protocol(folds=3, repetitions=2, confirm=2))
    tfidf = found.scored("tfidf-logistic", "confirm")
    assert tfidf.f1.std == 0
    assert tfidf.accuracy.mean > found.scored("majority", "confirm").accuracy.mean
    assert found.scored("tfidf-logistic", "search").f1.std > 0, "folds differ between repetitions"
