"""Ridge regression in closed form: what it says is what fitting anew says."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.linear_model import RidgeClassifier

from bench.fusion import FUSIONS
from bench.heads import screening as screening_module
from bench.heads.closed import fitted
from bench.heads.grams import Centred, Grams, products
from bench.heads.regression import LeastSquares
from bench.heads.screening import Screening
from bench.heads.weights import EXPONENTS, class_weights
from bench.specs import Candidate, Source, fingerprint
from bench.threads import torch_threads

ROWS, CLASSES = 80, 3
FOLDS = np.stack([np.random.default_rng(seed).permutation(np.arange(ROWS) % 5) for seed in range(3)])
LABELS = np.random.default_rng(9).choice(CLASSES, ROWS, p=[0.6, 0.3, 0.1])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def source(width: int) -> Source:
    return Source(model=f"m{width}", layer=0, pooling="mean")


def matrix(source: Source) -> torch.Tensor:
    """Features in units of their own, around a centre a class."""
    width = int(source.model.removeprefix("m"))
    rng = np.random.default_rng(width)
    x = rng.normal(size=(CLASSES, width))[LABELS] + 2 * rng.normal(size=(ROWS, width))
    return torch.from_numpy((x * rng.uniform(0.1, 50, width) + 5).astype(np.float32))


def standardised(widths: tuple[int, ...]) -> np.ndarray:
    """As the sources' rows are, which screening rounds to float32."""
    grams = Grams(matrix, torch.ones(ROWS).double(), dtype=torch.float64, columns=None, memory_bytes=0)
    return np.concatenate([grams.standardised(source(width))(torch.arange(ROWS)).double() for width in widths], 1)


def candidate(*widths: int, fusion: str | None = None) -> Candidate:
    return Candidate(sources=tuple(map(source, widths)), fusion=fusion or ("none" if len(widths) == 1 else "concat"))


def refitted(x: np.ndarray, penalty: float, class_weight: str, folds: np.ndarray = FOLDS) -> np.ndarray:
    weights = class_weights(torch.from_numpy(LABELS), class_weight).numpy()
    found = np.full((*folds.shape, CLASSES), np.nan)
    for number, repetition in enumerate(folds):
        for fold in set(repetition) - {-1}:
            inside = repetition != fold
            fitted = SklearnRidge(alpha=penalty).fit(x[inside], np.eye(CLASSES)[LABELS[inside]], weights[inside])
            found[number, ~inside] = fitted.predict(x[~inside])
    return found


def unit(x: np.ndarray, class_weight: str) -> float:
    weights = class_weights(torch.from_numpy(LABELS), class_weight).numpy()
    return float((weights[:, None] * (x - np.average(x, axis=0, weights=weights)) ** 2).sum() / ROWS)


# 120 and 60 + 90 columns: fewer rows; 20 and 12 + 9: fewer columns, and fewer (9) or more (20) than a fold's rows
@pytest.mark.parametrize("widths", [(120,), (60, 90), (20,), (9,), (12, 9)], ids=str)
@pytest.mark.parametrize("class_weight", EXPONENTS)
def test_out_of_fold_scores_are_those_of_fitting_anew(widths: tuple[int, ...], class_weight: str) -> None:
    x = standardised(widths)
    for penalty in (1e-3, 0.1):
        screening = Screening(matrix, LABELS, CLASSES, FOLDS, class_weight=class_weight, penalties=[penalty])
        found = screening.score(candidate(*widths))
        expected = refitted(x, penalty * unit(x, class_weight), class_weight)
        np.testing.assert_allclose(found.scores, expected, atol=1e-8)
        np.testing.assert_allclose(found.scores.sum(-1), 1, atol=1e-8)


def test_decisions_are_those_of_a_ridge_classifier_refitted_per_fold() -> None:
    x = standardised((60, 90))
    found = Screening(matrix, LABELS, CLASSES, FOLDS, class_weight="none", penalties=[0.05]).score(candidate(60, 90))
    for repetition, scores in zip(FOLDS, found.scores, strict=True):
        for fold in range(5):
            inside = repetition != fold
            fitted = RidgeClassifier(alpha=0.05 * unit(x, "none")).fit(x[inside], LABELS[inside])
            np.testing.assert_allclose(2 * scores[~inside] - 1, fitted.decision_function(x[~inside]), atol=1e-8)


@pytest.mark.parametrize("widths", [(120,), (20,)], ids=str)
@pytest.mark.parametrize("class_weight", EXPONENTS)
def test_the_penalty_is_the_best_by_leaving_out_single_rows(widths: tuple[int, ...], class_weight: str) -> None:
    x, penalties = standardised(widths), [1e-2, 1e-1, 1.0, 10.0]
    weights = class_weights(torch.from_numpy(LABELS), class_weight).numpy()
    errors = []
    for penalty in penalties:
        scores = refitted(x, penalty * unit(x, class_weight), class_weight, np.arange(ROWS)[None])[0]
        errors.append(np.average((scores - np.eye(CLASSES)[LABELS]) ** 2, axis=0, weights=weights).mean())
    found = Screening(matrix, LABELS, CLASSES, FOLDS, class_weight=class_weight, penalties=penalties).score(
        candidate(*widths)
    )
    assert found.penalty == penalties[int(np.argmin(errors))]
    assert found.error == pytest.approx(min(errors), abs=1e-10)


def test_left_out_scores_are_those_of_folds_of_one_row() -> None:
    weights = class_weights(torch.from_numpy(LABELS), "sqrt")
    grams = Grams(matrix, weights, dtype=torch.float64, columns=None, memory_bytes=0)
    targets = torch.eye(CLASSES).double()[LABELS]
    problem = LeastSquares.of(grams.rows(source(120)), targets, weights, 1 << 20)
    fit = fitted(problem, 3.0)
    whole = fit.out_of_fold(torch.arange(ROWS)[None])[0]
    np.testing.assert_allclose(fit.left_out(), whole, atol=1e-10)


def test_rows_of_no_fold_are_learnt_from_and_not_predicted() -> None:
    folds = np.where(FOLDS[:1] == 0, 0, -1)
    found = Screening(matrix, LABELS, CLASSES, folds, class_weight="none", penalties=[0.1]).score(candidate(120))
    x = standardised((120,))
    np.testing.assert_allclose(found.scores, refitted(x, 0.1 * unit(x, "none"), "none", folds), atol=1e-8)
    assert np.isnan(found.scores[0, FOLDS[0] != 0]).all()


@pytest.mark.parametrize("class_weight", EXPONENTS)
def test_dual_and_primal_say_the_same(class_weight: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dual = Screening(matrix, LABELS, CLASSES, FOLDS, class_weight=class_weight).score(candidate(60, 90))
    monkeypatch.setattr(screening_module, "LARGEST_DUAL", 10)
    primal = Screening(matrix, LABELS, CLASSES, FOLDS, class_weight=class_weight).score(candidate(60, 90))
    assert primal.penalty == dual.penalty
    np.testing.assert_allclose(primal.scores, dual.scores, atol=1e-8)


@pytest.mark.parametrize("largest", [10, 2000])
def test_what_memory_keeps_changes_nothing(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening_module, "LARGEST_DUAL", largest)
    little = Screening(matrix, LABELS, CLASSES, FOLDS, memory_bytes=60_000)
    much = Screening(matrix, LABELS, CLASSES, FOLDS)
    for each in (candidate(60, 90), candidate(90, 100), candidate(60, 100)):
        for _ in range(2):
            np.testing.assert_allclose(little.score(each).scores, much.score(each).scores, atol=1e-10)
    assert little._grams._room >= 0


@pytest.mark.parametrize("fusion", [name for name, each in FUSIONS.items() if name != "concat"])
def test_every_operator_is_scored_and_one_draw_is_one_draw(fusion: str) -> None:
    alike = FUSIONS[fusion].weighted or FUSIONS[fusion].compared
    several = candidate(90 if alike else 60, 90, fusion=fusion)
    first, again = (Screening(matrix, LABELS, CLASSES, FOLDS).score(several) for _ in range(2))
    assert np.array_equal(first.scores, again.scores)
    assert np.isfinite(first.scores).all()


@pytest.mark.parametrize("fusion", ["sum", "multiplication+residual", "attention"])
def test_fused_features_are_standardised_again_and_fitted_as_one_source(fusion: str) -> None:
    each, operator = candidate(60, 90, fusion=fusion), FUSIONS[fusion]
    found = Screening(matrix, LABELS, CLASSES, FOLDS, penalties=[0.1]).score(each)
    named = each.model_dump(mode="json", include={"sources", "fusion", "width"})
    generator = torch.Generator().manual_seed(int(fingerprint(named, length=8), 16))
    width = operator.fit_width(60)
    parts = []
    for columns in (60, 90):
        weight = torch.nn.init.orthogonal_(torch.empty(operator.parts * width, columns), generator=generator)
        parts.append(torch.from_numpy(standardised((columns,))).float() @ weight.T)
    fused = operator.fuse(parts).double()
    x = ((fused - fused.mean(0)) / fused.std(0, correction=0)).numpy()
    # the features that are fused are rounded to float32
    np.testing.assert_allclose(found.scores, refitted(x, 0.1 * unit(x, "sqrt"), "sqrt"), atol=1e-5)


def test_late_fusion_is_the_mean_of_its_sources() -> None:
    screening = Screening(matrix, LABELS, CLASSES, FOLDS)
    singles = [screening.score(candidate(width)).scores for width in (60, 90)]
    np.testing.assert_allclose(screening.score(candidate(60, 90, fusion="late")).scores, np.mean(singles, axis=0))


def test_late_fusion_factorises_a_source_once(monkeypatch: pytest.MonkeyPatch) -> None:
    screening, solved = Screening(matrix, LABELS, CLASSES, FOLDS), []
    chosen = Screening._chosen
    monkeypatch.setattr(
        Screening, "_chosen", lambda self, products, rows: (solved.append(products), chosen(self, products, rows))[1]
    )
    for widths in ((60, 90), (60, 100), (90, 100), (60, 90, 100)):
        screening.score(candidate(*widths, fusion="late"))
    assert len(solved) == 3


def test_features_that_say_nothing_leave_the_shares_of_the_classes() -> None:
    screening = Screening(lambda _: torch.ones(ROWS, 7), LABELS, CLASSES, FOLDS, class_weight="none")
    scores = screening.score(candidate(7)).scores
    for fold in range(5):
        shares = np.bincount(LABELS[FOLDS[0] != fold], minlength=CLASSES) / (FOLDS[0] != fold).sum()
        np.testing.assert_allclose(scores[0, FOLDS[0] == fold], np.tile(shares, ((FOLDS[0] == fold).sum(), 1)))


def test_a_wide_source_is_projected_beyond_the_dual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening_module, "LARGEST_DUAL", 10)
    monkeypatch.setattr(screening_module, "COLUMNS", 40)
    screening = Screening(matrix, LABELS, CLASSES, FOLDS)
    assert screening._grams.width(source(90)) == 40
    assert (screening.score(candidate(30, 90)).scores.argmax(-1) == LABELS).mean() > 0.6
    assert screening._grams.columns([source(30), source(90)]).shape == (70, 70)


def test_products_of_chunks_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.heads.grams.CHUNK", 7)
    x = matrix(source(20)).double()
    weights = class_weights(torch.from_numpy(LABELS), "balanced")
    rows = Centred.of(x.__getitem__, weights, torch.float64)
    whole = rows(torch.arange(ROWS))
    np.testing.assert_allclose((whole * rows.roots).sum(0), 0, atol=1e-8)
    np.testing.assert_allclose(products(rows, rows), whole.T @ whole)
