"""One setting of every head: how much training rows count by their class, exactly scikit-learn's where it has it."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from bench.aliases import in_words
from bench.errors import BenchError
from bench.heads import Job, fit, logistic, predict_subsets
from bench.heads.inner import inner_folds
from bench.heads.weights import EXPONENTS, class_weights
from bench.space.candidates import Shape
from bench.space.enumeration import member_of, members
from bench.space.schema import SearchSpace
from bench.specs import HEAD_SETTINGS, MLP, Candidate, ClassWeight, Head, Logistic, Ridge, Source
from bench.study.settings import search_request
from bench.study.writing import candidate_params

ROWS, CLASSES = 150, 3
SOURCE = Source(model="m", layer=0, pooling="mean")
JOB = Job(np.arange(100), np.arange(100, ROWS), 7)


def data(width: int) -> tuple[torch.Tensor, np.ndarray]:
    """Classes of unequal size that overlap, in units of their own."""
    rng = np.random.default_rng(width)
    labels = rng.choice(CLASSES, ROWS, p=[0.75, 0.18, 0.07])
    x = rng.normal(size=(CLASSES, width))[labels] * 1.5 / width**0.5 + rng.normal(size=(ROWS, width))
    return torch.from_numpy((x * rng.uniform(0.1, 50, width) + 3).astype(np.float32)), labels


def standardised(x: torch.Tensor) -> torch.Tensor:
    train = x[JOB.train].double()
    return (x.double() - train.mean(0)) / train.std(0, correction=0)


def predicted(x: torch.Tensor, labels: np.ndarray, head: Head) -> np.ndarray:
    (fitted,) = fit([x], labels, CLASSES, [JOB], Candidate(sources=(SOURCE,), head=head))
    return fitted.predict([x], JOB.predict)


def weights(labels: np.ndarray, class_weight: ClassWeight) -> np.ndarray:
    found: np.ndarray = np.bincount(labels)[labels] ** -EXPONENTS[class_weight]
    return found / found.mean()


def test_balanced_is_scikit_learns() -> None:
    _, labels = data(4)
    found = class_weights(torch.from_numpy(labels), "balanced")
    np.testing.assert_allclose(found, compute_sample_weight("balanced", labels))


@pytest.mark.parametrize("width", [8, 160])
@pytest.mark.parametrize("class_weight", EXPONENTS)
def test_logistic_is_scikit_learns(width: int, class_weight: ClassWeight) -> None:
    x, labels = data(width)
    (fitted,) = fit([x], labels, CLASSES, [JOB], Candidate(sources=(SOURCE,), head=Logistic(class_weight=class_weight)))
    z, known = standardised(x).numpy(), labels[JOB.train]
    # what is given as rows' weights under "sqrt" is its own setting under "balanced"
    own: dict[str, Any] = {"class_weight": "balanced"} if class_weight == "balanced" else {}
    model = LogisticRegression(C=fitted.report[0]["C"], tol=1e-9, max_iter=10_000, **own)
    model.fit(z[JOB.train], known, None if own else weights(known, class_weight))
    expected = model.predict_proba(z[JOB.predict])
    np.testing.assert_allclose(fitted.predict([x], JOB.predict), expected, atol=2e-5)


@pytest.mark.parametrize("class_weight", ["sqrt", "balanced"])
def test_logistics_c_has_the_least_weighted_loss_of_held_out_rows(class_weight: ClassWeight) -> None:
    x, labels = data(60)
    (fitted,) = fit([x], labels, CLASSES, [JOB], Candidate(sources=(SOURCE,), head=Logistic(class_weight=class_weight)))
    z, known = standardised(x)[JOB.train].numpy(), labels[JOB.train]
    given = weights(known, class_weight)
    folds = inner_folds(torch.from_numpy(known), None, logistic.INNER_FOLDS, JOB.seed).numpy()
    losses = {}
    for c in logistic.GRID:
        held = []
        for fold in range(logistic.INNER_FOLDS):
            out = folds == fold
            # its weights have another mean, which is a factor on C
            model = LogisticRegression(C=c, tol=1e-8, max_iter=10_000).fit(z[~out], known[~out], given[~out])
            logs = model.predict_log_proba(z[out])[np.arange(out.sum()), known[out]]
            held.append(-(given[out] * logs).sum())
        losses[c] = sum(held)
    assert fitted.report[0]["C"] == min(losses, key=lambda c: losses[c])


@pytest.mark.parametrize("batch_size", [1000, 25])
def test_an_mlp_is_a_plain_torch_loop(batch_size: int) -> None:
    x, labels = data(12)
    z, known = standardised(x).float(), torch.from_numpy(labels[JOB.train])
    rows = torch.from_numpy(compute_class_weight("balanced", classes=np.arange(CLASSES), y=known.numpy())).float()[
        known
    ]
    torch.manual_seed(JOB.seed)
    net = torch.nn.Sequential(torch.nn.Linear(12, 16), torch.nn.ReLU(), torch.nn.Linear(16, CLASSES))
    adam = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(7):
        batches = [torch.arange(100)] if batch_size > 100 else torch.randperm(100).split(batch_size)
        for batch in batches:
            adam.zero_grad()
            losses = torch.nn.functional.cross_entropy(net(z[JOB.train][batch]), known[batch], reduction="none")
            (losses * rows[batch]).mean().backward()
            adam.step()
    with torch.no_grad():
        expected = net(z[JOB.predict]).softmax(-1).numpy()
    head = MLP(hidden=16, epochs=7, batch_size=batch_size, learning_rate=1e-2, class_weight="balanced")
    np.testing.assert_allclose(predicted(x, labels, head), expected, atol=2e-5)


def test_subsets_side_by_side_weigh_as_one_alone_does() -> None:
    x, labels = data(20)
    head = MLP(hidden=8, epochs=5, learning_rate=1e-2, class_weight="sqrt")
    (beside,) = predict_subsets([x], [(0,)], labels, CLASSES, JOB, head)
    np.testing.assert_allclose(beside.probabilities, predicted(x, labels, head), atol=1e-5)


@pytest.mark.parametrize("kind", ["mlp", "logistic", "ridge"])
def test_rare_classes_are_predicted_more_often(kind: str) -> None:
    x, labels = data(30)
    settings = {"epochs": 20, "learning_rate": 1e-3} if kind == "mlp" else {}
    rare = []
    for class_weight in ("none", "balanced"):
        head = HEAD_SETTINGS[kind].model_validate({**settings, "class_weight": class_weight})
        rare.append(predicted(x, labels, head)[:, 1:].sum())
    assert rare[0] < rare[1]


def test_a_space_gives_it_to_every_head() -> None:
    kinds = {"kinds": ["ridge", "logistic", "mlp"]}
    shapes = {"m": Shape(0, 8, ("mean",))}

    def found(**head: Any) -> set[Any]:
        space = SearchSpace.model_validate({"version": 1, "sources": {"models": ["m"]}, "head": {**kinds, **head}})
        each = [member.candidate for member in members(space, shapes)]
        assert all(member_of(one, space, shapes) is not None for one in each)
        return {(one.head.kind, one.head.class_weight) for one in each}  # type: ignore[attr-defined]

    assert found() == {("ridge", "sqrt"), ("logistic", "none"), ("mlp", "none")}
    assert found(class_weight=["balanced"]) == {(kind, "balanced") for kind in kinds["kinds"]}
    both = found(class_weight=["none", "balanced"])
    assert both == {(kind, each) for kind in kinds["kinds"] for each in ("none", "balanced")}
    # as spaces had it before
    before = found(weighting=["none", "balanced"])
    assert before == {("ridge", "none"), ("ridge", "balanced"), ("logistic", "none"), ("mlp", "none")}
    with pytest.raises(ValidationError, match="give class_weight"):
        found(class_weight=["none"], weighting=["balanced"])
    with pytest.raises(ValidationError, match="'none', 'sqrt' or 'balanced'"):
        found(class_weight=["square root"])


def test_what_is_written_of_a_head_stays_what_it_was() -> None:
    assert Ridge().model_dump() == {"kind": "ridge", "weighting": "sqrt"}
    assert Logistic().model_dump() == {"kind": "logistic"}
    assert set(MLP().model_dump()) == {"kind", "hidden", "learning_rate", "epochs", "batch_size"}
    for head in (Ridge(class_weight="none"), Logistic(class_weight="balanced"), MLP(class_weight="sqrt")):
        one = Candidate(sources=(SOURCE,), head=head)
        assert Candidate.model_validate_json(one.model_dump_json()) == one
        assert candidate_params(one)["class_weight"] == head.class_weight
    with pytest.raises(ValidationError, match="weighting"):
        Logistic.model_validate({"weighting": "sqrt"})


@pytest.mark.parametrize("space", ["quickstart", "default"])
def test_a_call_stands_in_place_of_the_spaces(space: str) -> None:
    asked = search_request(dataset="r8", space=space, class_weight="balanced").space.head
    assert {asked.class_weights(kind) for kind in ("ridge", "logistic", "mlp")} == {("balanced",)}
    plain = search_request(dataset="r8", space=space).space.head
    assert asked.model_copy(update={"class_weight": plain.class_weight, "weighting": plain.weighting}) == plain
    with pytest.raises(BenchError, match=r"'class_weight' cannot be 'balancd'.*'balanced'"):
        search_request(dataset="r8", class_weight="balancd")


def test_a_short_name_says_how_classes_weigh_where_that_is_not_the_heads_own_way() -> None:
    heads = [
        Ridge(),
        Ridge(class_weight="none"),
        Logistic(),
        Logistic(class_weight="balanced"),
        MLP(class_weight="sqrt"),
    ]
    assert [head.short for head in heads] == [
        "ridge",
        "ridge unweighted",
        "logistic",
        "logistic balanced",
        "mlp sqrt-weighted",
    ]
    candidate = Candidate(sources=(Source(model="m", layer=0, pooling="mean"),), head=heads[3])
    assert in_words(candidate) == "m[0].mean, logistic balanced"
