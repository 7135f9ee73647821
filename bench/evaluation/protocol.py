"""How a candidate is scored: which rows train, which are predicted, under which seeds."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from bench.specs import Hint, Seed, Spec

if TYPE_CHECKING:
    import numpy as np

CONFIRMATION_OFFSET = 500
"""Seeds of the confirmation start here, so that none was used in the search."""

_FILTERS = threading.Lock()
"""Filters of warnings are the process's: two threads that set some aside would put back each other's."""


class FoldRule(Spec):
    """How training rows are cut into folds, and which of the folds are to be predicted.

    Attributes:
        folds: Their number.
        split: The seed of the one fixed validation split that stands for all folds and seeds, where there is one.
        only: Positions of the folds that are wanted; None means all.
    """

    folds: Annotated[int, Field(ge=2)]
    split: int | None = None
    only: Annotated[tuple[int, ...], Field(min_length=1)] | None = None


class Protocol(Spec):
    """The rules by which every candidate of a study is scored.

    `cv`: each repetition predicts every training row once out of fold (or, above `validation_above` rows, predicts a
    fixed validation split: tests and intervals pair what repetitions say of the same rows); the test set is touched
    only by the confirmation. `paper`: each repetition trains on all training rows and is scored on the test set, which
    selects on test, as the paper does, and is optimistic.

    `race` says when a candidate is given up before its end. None: between repetitions, where the front is out of its
    reach. A rate: also between the folds of the first repetition, and where a paired test that errs at that rate says
    that the candidate is worse than what it has to beat (see `bench.study.race`); 0 leaves out the test.
    """

    name: Annotated[
        Literal["cv", "paper"],
        Field(description="How candidates are scored; `paper` selects on the test set, as the paper did."),
        Hint(keyword="protocol"),
    ] = "cv"
    folds: Annotated[int, Field(ge=2, description="Of the cross-validation on training rows.")] = 5
    repetitions: Annotated[
        int, Field(ge=1, description="Of the cross-validation on training rows, each under a seed of its own.")
    ] = 3
    confirm: Annotated[int, Field(ge=1)] = 5
    seed: Seed = 0
    validation_above: Annotated[
        int, Field(ge=0, description="Training rows beyond which one fixed validation split stands for the folds.")
    ] = 20_000
    race: Annotated[float | None, Field(ge=0, le=0.5)] = None

    @property
    def search_seeds(self) -> tuple[int, ...]:
        """One seed a repetition: for the folds, the initialisation and the order of batches."""
        return tuple(self.seed * 1000 + index for index in range(self.repetitions))

    @property
    def confirm_seeds(self) -> tuple[int, ...]:
        """The seeds of the confirmation, disjoint from the search's."""
        return tuple(self.seed * 1000 + CONFIRMATION_OFFSET + index for index in range(self.confirm))

    def uses_validation_split(self, rows: int) -> bool:
        """Whether a fixed validation split stands for the folds."""
        return self.name == "cv" and rows > self.validation_above

    def fold_rule(self, rows: int) -> FoldRule:
        """How so many training rows are cut."""
        return FoldRule(folds=self.folds, split=self.seed if self.uses_validation_split(rows) else None)

    @property
    def by_folds(self) -> bool:
        """Whether a candidate may be given up between the folds of its first repetition."""
        return self.race is not None and self.name == "cv"

    def describe(self, rows: int) -> str:
        """The rules in a sentence, for people."""
        if self.name == "paper":
            return (
                f"paper: {self.repetitions} seeds, trained on all {rows} training rows, selected on the test set "
                "as in the paper: these scores are optimistic"
            )
        if self.uses_validation_split(rows):
            return (
                f"{self.repetitions} seeds on one fixed validation split (1/{self.folds} of {rows} training rows, "
                f"more than {self.validation_above}), so that they differ by what a seed changes of a head alone; "
                "the test set is untouched by the search"
            )
        return (
            f"{self.repetitions} repetitions of {self.folds}-fold cross-validation on {rows} training rows; "
            "the test set is untouched by the search"
        )


@dataclass(frozen=True, eq=False)
class Fold:
    """Row indices to train on and row indices to predict."""

    train: np.ndarray
    predict: np.ndarray


def folds(strata: np.ndarray, groups: np.ndarray, protocol: Protocol, seed: int) -> tuple[Fold, ...]:
    """The folds of one repetition under a protocol, as `cut` makes them."""
    return cut(strata, groups, protocol.fold_rule(len(strata)), seed)


def cut(strata: np.ndarray, groups: np.ndarray, rule: FoldRule, seed: int) -> tuple[Fold, ...]:
    """All folds of training rows: stratified, each group whole in one fold.

    `strata` (see `Task.fold_strata`) are int [n] or, of several a row, [n, strata], and `groups` int [n]. Under a
    validation split there is one fold, the same for every seed.
    """
    import numpy as np

    if strata.ndim > 1:
        from bench.tasks.iterative import dealt

        place = dealt(strata, groups, rule.folds, seed if rule.split is None else rule.split)
        several = [Fold(np.flatnonzero(place != fold), np.flatnonzero(place == fold)) for fold in range(rule.folds)]
        return tuple(several[:1] if rule.split is not None else several)

    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    single = rule.split is not None
    # StratifiedGroupKFold places groups one by one in Python; where every group is one row it is plain stratification.
    ungrouped = len(np.unique(groups)) == len(groups)
    kind = StratifiedKFold if ungrouped else StratifiedGroupKFold
    splitter = kind(n_splits=rule.folds, shuffle=True, random_state=rule.split if single else seed)
    with _FILTERS, warnings.catch_warnings():
        # classes with fewer rows than folds are recorded once, as a warning of the data set
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        found = [
            Fold(train, predict) for train, predict in splitter.split(strata, strata, None if ungrouped else groups)
        ]
    return tuple(found[:1] if single else found)


def trained_on_all(train_rows: int, test_rows: int) -> Fold:
    """Train on every training row, predict the test rows that are stacked behind them."""
    import numpy as np

    return Fold(np.arange(train_rows), np.arange(train_rows, train_rows + test_rows))


def predicted_rows(parts: Sequence[Fold]) -> np.ndarray:
    """The rows that the folds predict, ascending."""
    import numpy as np

    return np.sort(np.concatenate([part.predict for part in parts]))
