"""Candidates scored by a protocol: it says what is asked, the truth says what the outcomes are worth."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from bench.datasets.dataset import Dataset
from bench.evaluation.ask import Ask, Phase, read_by
from bench.evaluation.inputs import Locate
from bench.evaluation.outcome import Outcome
from bench.evaluation.protocol import Protocol
from bench.measures import ACCURACY, DEFAULT, F1, Measure, Objective, Predictions, summaries, summary
from bench.metrics import Scores, Summary
from bench.specs import MLP, AnyCandidate, Candidate, TextCandidate
from bench.tasks import TASKS

if TYPE_CHECKING:
    # scores are read where nothing is trained
    from bench.evaluation.baselines import FittedText
    from bench.evaluation.evaluator import Evaluator
    from bench.heads import FittedHead


@dataclass(frozen=True, eq=False)
class Repetition:
    """One seed's predictions beside the truth. `rows` index the split that was predicted."""

    seed: int
    rows: np.ndarray
    predictions: Predictions

    def completed(self, rest: Predictions) -> Predictions:
        """Of a repetition that lacks folds: with what `rest`, which is of all rows, says of the missing ones."""
        predicted, logs, own = rest.predicted.copy(), None, self.predictions.log_probabilities
        predicted[self.rows] = self.predicted
        if own is not None and rest.log_probabilities is not None:
            logs = rest.log_probabilities.copy()
            logs[self.rows] = own
        return replace(rest, predicted=predicted, log_probabilities=logs)

    @property
    def predicted(self) -> np.ndarray:
        """Predicted classes, int [rows]."""
        return self.predictions.predicted

    @property
    def scores(self) -> Scores:
        """The table of counts and what follows from it."""
        return self.predictions.scores


@dataclass(frozen=True, eq=False)
class Scored:
    """Repetitions of one candidate (or baseline) with their summaries; `begun`: the last one lacks folds."""

    repetitions: tuple[Repetition, ...]
    begun: bool = False

    @property
    def whole(self) -> tuple[Repetition, ...]:
        """Those that lack no fold."""
        return self.repetitions[:-1] if self.begun else self.repetitions

    @property
    def predictions(self) -> tuple[Predictions, ...]:
        """What measures are computed from."""
        return tuple(repetition.predictions for repetition in self.repetitions)

    def summary(self, measure: Measure) -> Summary:
        """Mean, spread and smallest value of a measure over the repetitions."""
        return summary(measure, self.predictions)

    @property
    def f1(self) -> Summary:
        """Macro-F1 over the repetitions."""
        return self.summary(F1)

    @property
    def accuracy(self) -> Summary:
        """Accuracy over the repetitions."""
        return self.summary(ACCURACY)

    @property
    def predicted(self) -> np.ndarray:
        """Predicted classes, int [repetitions, rows]."""
        return np.stack([repetition.predicted for repetition in self.repetitions])

    def metrics(self, measures: Sequence[Measure] = DEFAULT) -> dict[str, float]:
        """Every aggregation of measures under the names used everywhere: f1_mean, f1_std, f1_floor, accuracy_…."""
        return summaries(measures, self.predictions)


@dataclass(frozen=True, eq=False)
class Scorer:
    """Scores candidates and text baselines on one data set under one protocol.

    Attributes:
        dataset: The rows and the truth.
        protocol: The rules and the seeds.
        evaluator: Who answers.
        locate: From a source that a candidate names to the matrix that it means.
    """

    dataset: Dataset
    protocol: Protocol
    evaluator: "Evaluator"
    locate: Locate

    def asks(
        self,
        subject: AnyCandidate | str,
        phase: Phase,
        seeds: Sequence[int] | None = None,
        *,
        only: tuple[int, ...] | None = None,
        side_by_side: bool = False,
    ) -> list[Ask]:
        """What has to be asked of a candidate, or of a text baseline by name.

        Args:
            subject: The candidate or the baseline; a text classifier goes by its name.
            phase: ``"search"`` as the protocol searches: out of fold, and no test row is touched; under the `paper`
                protocol on the test rows. ``"confirm"`` on the test rows after training on all training rows.
            seeds: One ask each; by default the protocol's of that phase, of which those of the confirmation are fresh.
            only: Positions of the folds that are wanted, of a search out of fold.
            side_by_side: Whether it may be trained beside others of which this is said (see `Ask.beside`).
        """
        if seeds is None:
            seeds = self.protocol.search_seeds if phase == "search" else self.protocol.confirm_seeds
        asked = subject.asked if isinstance(subject, TextCandidate) else subject
        dataset, rows = self.dataset, len(self.dataset.train)
        beside: Literal["same", "shared"] | None = None
        if side_by_side and isinstance(subject, Candidate) and isinstance(subject.head, MLP):
            beside = "same" if rows <= subject.head.batch_size else "shared"
        held_out = phase == "search" and self.protocol.name == "cv"
        folded = held_out and not TASKS[dataset.task].ranks
        rule = self.protocol.fold_rule(rows).model_copy(update={"only": only}) if folded else None
        ask = Ask(
            subject=asked,
            train=dataset.train.fingerprint,
            labels=dataset.labels,
            test=None if held_out else dataset.test.fingerprint,
            folds=rule,
            inputs=tuple(map(self.locate, read_by(asked))),
            seed=0,
            task=dataset.task,
            beside=beside,
        )
        return [ask.model_copy(update={"seed": seed}) for seed in seeds]

    def blocks(self, candidate: Candidate) -> list[Ask]:
        """What is asked of a candidate in the search, bit by bit, where it may be given up in between.

        That are its repetitions; where the protocol races, the first of them fold by fold.
        """
        first, *others = self.asks(candidate, "search")
        if not self.protocol.by_folds or first.folds is None or first.folds.split is not None:
            return [first, *others]
        return [*(first.of_folds((place,)) for place in range(first.folds.folds)), *others]

    def gathered(self, answers: Iterable[tuple[Ask, Outcome]]) -> Scored:
        """As `marked`, but answers under one seed, which are of different folds, are one repetition."""
        found: dict[int, list[tuple[Ask, Outcome]]] = {}
        for ask, outcome in answers:
            found.setdefault(ask.seed, []).append((ask, outcome))
        joined = [(each[0][0], Outcome.joined([outcome for _, outcome in each])) for each in found.values()]
        last = list(found.values())[-1] if found else []
        rule = last[0][0].folds if last else None
        begun = rule is not None and rule.only is not None and len(last) < rule.folds
        return Scored(self.marked(joined).repetitions, begun)

    def bound(self, scored: Scored, objective: Objective) -> float:
        """The best that an objective can become of what a search has evaluated so far of a candidate."""
        rest, last = None, scored.repetitions[-1]
        if scored.begun:
            truth, logs = self.dataset.train.labels, last.predictions.log_probabilities
            shape = None if logs is None else np.zeros((len(truth), logs.shape[1]), logs.dtype)
            rest = last.completed(Predictions(truth, truth, self.dataset.labels, shape).perfect)
        return objective.bound([each.predictions for each in scored.whole], len(self.protocol.search_seeds), rest)

    def scored(self, subject: AnyCandidate | str, phase: Phase, seeds: Sequence[int] | None = None) -> Scored:
        """The scores over repetitions of what `asks` asks.

        Raises:
            DivergedError: training ended in values that are not finite.
        """
        return self.score(self.asks(subject, phase, seeds))

    def score(self, asks: Sequence[Ask]) -> Scored:
        """Asks answered and scored."""
        return self.marked(zip(asks, self.evaluator.answers(asks), strict=True))

    def known(self, asks: Sequence[Ask]) -> Scored | None:
        """The scores of asks that were all answered before."""
        found = []
        for ask in asks:
            if (outcome := self.evaluator.known(ask)) is None:
                return None
            found.append((ask, outcome))
        return self.marked(found)

    def marked(self, answers: Iterable[tuple[Ask, Outcome]]) -> Scored:
        """Outcomes held against the truth, one repetition each."""
        return Scored(tuple(self._marked(ask, outcome) for ask, outcome in answers))

    def _marked(self, ask: Ask, outcome: Outcome) -> Repetition:
        split = self.dataset.train if ask.phase == "search" else self.dataset.test
        unseen = () if ask.phase == "search" else self.dataset.test_only_labels
        logs = outcome.scores if outcome.kind == "log-probability" else None
        names = (*self.dataset.labels, *unseen)
        truth, groups = split.labels[outcome.rows], split.groups[outcome.rows]
        judged = TASKS[ask.task].judged
        predicted = outcome.predicted if judged is None else judged(outcome.predicted, truth, groups)
        predictions = Predictions(truth, predicted, names, logs, groups)
        return Repetition(ask.seed, outcome.rows, predictions)

    @overload
    def fitted(self, candidate: Candidate, seed: int) -> "FittedHead": ...
    @overload
    def fitted(self, candidate: TextCandidate, seed: int) -> "FittedText": ...
    @overload
    def fitted(self, candidate: AnyCandidate, seed: int) -> "FittedHead | FittedText": ...
    def fitted(self, candidate: AnyCandidate, seed: int) -> "FittedHead | FittedText":
        """The very head, or classifier of texts, that is confirmed under `seed`."""
        (ask,) = self.asks(candidate, "confirm", (seed,))
        return self.evaluator.fitted(ask) if isinstance(candidate, Candidate) else self.evaluator.fitted_text(ask)
