"""Ask → outcome: heads are trained on stored hidden states alone, and what was answered before is read back."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np

from bench.errors import BenchError
from bench.evaluation.ask import Ask
from bench.evaluation.baselines import TEXT_BASELINES, TEXT_CLASSIFIERS, Classified, FittedText
from bench.evaluation.cache import EvaluationCache
from bench.evaluation.compared import held_together
from bench.evaluation.features import Features
from bench.evaluation.outcome import Outcome, Report, ScoreKind
from bench.evaluation.protocol import Fold, cut, trained_on_all
from bench.evaluation.rows import SplitRows
from bench.evaluation.student import Lesson
from bench.evaluation.teaching import Teaching
from bench.fusion import FUSIONS
from bench.heads import FittedHead, Job, fit, predict_subsets
from bench.heads.pipeline import LINKS
from bench.specs import MLP, Candidate
from bench.tasks import TASKS
from bench.threads import solved


class Texts(NamedTuple):
    """The texts of both sides, which only a text baseline needs."""

    train: Sequence[str]
    test: Sequence[str]


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Answers asks about one data set's rows.

    Attributes:
        train: The training rows.
        test: The test rows; None where no ask is about them.
        features: The matrices of both.
        cache: Where outcomes are kept.
        texts: None where no text baseline is asked for.
        teaching: None where no student is asked for.
    """

    train: SplitRows
    test: SplitRows | None
    features: Features
    cache: EvaluationCache
    texts: Texts | None = None
    teaching: Teaching | None = None
    _folds: dict[tuple[int, int | None, int], tuple[Fold, ...]] = field(default_factory=dict, init=False, repr=False)
    _on_all: dict[str, FittedText] = field(default_factory=dict, init=False, repr=False)

    def answer(self, ask: Ask) -> Outcome:
        """The outcome of one ask, as `answers` has it."""
        return self.answers([ask])[0]

    def answers(self, asks: Sequence[Ask]) -> list[Outcome]:
        """The outcomes of asks, each of which depends on its own ask alone.

        Asks that differ in the seed are trained together, and so are those that are marked to be trained side by side.
        What is computed is kept as soon as it is there.

        Raises:
            DivergedError: training ended in values that are not finite.
            BenchError: an ask is about other rows, or needs texts that are not here.
        """
        found: dict[str, Outcome] = {}
        missing: dict[str, Ask] = {}
        for ask in asks:
            name = ask.fingerprint()
            if name in found or name in missing:
                continue
            if (known := self.known(ask)) is not None:
                found[name] = known
            else:
                missing[name] = ask
        for batch in _batches(missing.values()):
            for ask, outcome in zip(batch, self._compute(batch), strict=True):
                self.cache.put(ask, outcome)
                found[ask.fingerprint()] = outcome
        return [found[ask.fingerprint()] for ask in asks]

    def known(self, ask: Ask) -> Outcome | None:
        """The outcome of an ask that was answered before: as it is, as a part of a whole, or part by part."""
        if (found := self.cache.get(ask)) is not None or ask.folds is None or ask.folds.split is not None:
            return found
        if ask.folds.only is not None and (whole := self.cache.get(ask.of_folds(None))) is not None:
            parts = self._parts(ask)
            rows = np.sort(np.concatenate([part.predict for _, part in parts]))
            return whole.at(rows, tuple(whole.reports[place] for place, _ in parts) if whole.reports else ())
        pieces = []
        places = ask.folds.only or range(ask.folds.folds)
        for place in places if len(places) > 1 else ():
            if (piece := self.cache.get(ask.of_folds((place,)))) is None:
                return None
            pieces.append(piece)
        return Outcome.joined(pieces) if pieces else None

    def fitted(self, ask: Ask) -> FittedHead:
        """The very head that answers an ask with one fold, or about the test rows."""
        ((_, part),) = self._parts(ask)
        matrices = [self.features.train(each) for each in ask.inputs]
        # Training depends on the rows that it sees alone, so that the test rows may be left out.
        job = Job(train=part.train, predict=part.predict, seed=ask.seed * 100)
        outputs = TASKS[ask.task].outputs(ask.labels)
        return fit(
            matrices, self._numbers(ask), outputs, [job], ask.candidate, task=ask.task, groups=self.train.groups
        )[0]

    def _compute(self, batch: Sequence[Ask]) -> list[Outcome]:
        first = batch[0]
        if TASKS[first.task].ranks:
            side = self._trained(first) if first.phase == "search" else self._tested(first)
            return held_together(batch, self.features, side, self._texts)
        if not isinstance(first.subject, Candidate):
            return [self._classify(ask) for ask in batch]
        if first.subject.fusion != "none" and FUSIONS[first.subject.fusion].late:
            return self._fused_late(batch)
        return self._train_side_by_side(batch) if first.beside else self._train(first.subject, batch)

    def _train(self, candidate: Candidate, asks: Sequence[Ask]) -> list[Outcome]:
        """Asks that differ in the seed alone; the heads of all are trained together, and none depends on another."""
        import torch

        first = asks[0]
        task, labels, groups = TASKS[first.task], self._numbers(first), self.train.groups
        if first.phase == "confirm":
            # test labels stand outside: the rows are predicted, never trained on
            unknown = np.full((len(self._tested(first)), *labels.shape[1:]), -1, labels.dtype)
            labels = np.concatenate([labels, unknown])
            groups = np.concatenate([groups, np.full(len(unknown), -1)])
            matrices = [torch.cat([self.features.train(each), self.features.test(each)]) for each in first.inputs]
        else:
            matrices = [self.features.train(each) for each in first.inputs]
        parts = [self._parts(ask) for ask in asks]
        jobs = [
            Job(train=part.train, predict=part.predict, seed=ask.seed * 100 + place)
            for ask, each in zip(asks, parts, strict=True)
            for place, part in each
        ]
        fitted = fit(matrices, labels, task.outputs(first.labels), jobs, candidate, task=first.task, groups=groups)
        heads = iter(zip(fitted, jobs, strict=True))
        kind: ScoreKind = "value" if LINKS[task.link].logs is None else "log-probability"
        outcomes = []
        for each in parts:
            answers, reports = [], []
            for _ in each:
                head, job = next(heads)
                predicted = head.prediction(matrices, job.predict)
                answers.append(Classified(task.decided(predicted.probabilities, first.labels), predicted.logs, kind))
                reports.append(tuple(dict(part) for part in head.report))
            outcomes.append(self._in_order(first, each, answers, reports))
        return outcomes

    def _fused_late(self, asks: Sequence[Ask]) -> list[Outcome]:
        """Late fusion has a head a source, each of which is the one that the source has alone, and known by that."""
        alone = [ask.of_sources() for ask in asks]
        found = iter(self.answers(list(chain.from_iterable(alone))))
        return [self._mean(ask, [next(found) for _ in sources]) for ask, sources in zip(asks, alone, strict=True)]

    def _mean(self, ask: Ask, each: Sequence[Outcome]) -> Outcome:
        import torch

        logs = each[0].kind == "log-probability"
        scores = [torch.from_numpy(outcome.scores) for outcome in each]
        fused = FUSIONS[ask.candidate.fusion].fuse([values.exp() if logs else values for values in scores])
        reports = tuple(tuple(chain.from_iterable(parts)) for parts in zip(*(one.reports for one in each), strict=True))
        decided = TASKS[ask.task].decided(fused.numpy(), ask.labels)
        return Outcome(each[0].rows, decided, (fused.log() if logs else fused).numpy(), each[0].kind, reports)

    def _train_side_by_side(self, asks: Sequence[Ask]) -> list[Outcome]:
        """Concatenations under one MLP and one seed, on the test rows."""
        import torch

        first, head = asks[0], asks[0].candidate.head
        assert isinstance(head, MLP)
        # in canonical order, so that every head draws the numbers that it would draw alone
        inputs = {
            source: matrix for ask in asks for source, matrix in zip(ask.candidate.sources, ask.inputs, strict=True)
        }
        sources = sorted(inputs, key=lambda source: (source.model, source.layer, source.pooling))
        matrices = [
            torch.cat([self.features.train(inputs[source]), self.features.test(inputs[source])]) for source in sources
        ]
        ((_, part),) = self._parts(first)
        predictions = predict_subsets(
            matrices,
            [tuple(sorted(sources.index(source) for source in ask.candidate.sources)) for ask in asks],
            self._numbers(first),
            len(first.labels),
            Job(train=part.train, predict=part.predict, seed=first.seed * 100),
            head,
        )
        task = TASKS[first.task]
        answers = [
            Classified(task.decided(each.probabilities, first.labels), each.logs, "log-probability")
            for each in predictions
        ]
        return [self._in_order(first, [(0, part)], [each]) for each in answers]

    def _classify(self, ask: Ask) -> Outcome:
        """A text classifier or baseline, in the same folds and with the same test rows as the candidates."""
        if ask.named.startswith("outside "):
            _, name, _ = ask.named.split()
            raise BenchError(f"The predictions of '{name}' are not in this store: search with `against` again.")
        train, test = self._texts(ask)
        texts = [*train, *(test if ask.phase == "confirm" else ())]
        parts = self._parts(ask)
        if ask.named in TEXT_CLASSIFIERS:

            def classified(taught: tuple[Fold, Lesson | None]) -> tuple[Classified, Report]:
                part, lesson = taught
                fitted = self._fitted_text(ask, part.train, lesson)
                logs = fitted.logs([texts[row] for row in part.predict])
                decided = TASKS[ask.task].decided(np.exp(logs.astype(np.float64)), ask.labels)
                return Classified(decided, logs, "log-probability"), (fitted.description()["settings"],)

            # heads of teachers are trained one after the other: what they set is the process's
            lessons = [(part, self._lesson(ask, part.train)) for _, part in parts]
            answers, reports = zip(*solved(classified, lessons), strict=True)
            return self._in_order(ask, parts, answers, reports)
        classify, labels = TEXT_BASELINES[ask.named], self._numbers(ask)
        answers = [
            classify(
                [texts[row] for row in part.train],
                labels[part.train],
                [texts[row] for row in part.predict],
                len(ask.labels),
            )
            for _, part in parts
        ]
        return self._in_order(ask, parts, answers)

    def predicted(self, ask: Ask) -> np.ndarray:
        """The rows that an ask is about, ascending, int64 [rows]."""
        return np.sort(np.concatenate([part.predict for _, part in self._parts(ask)]))

    def fitted_text(self, ask: Ask) -> FittedText:
        """The very text classifier that answers an ask with one fold, or about the test rows."""
        ((_, part),) = self._parts(ask)
        return self._fitted_text(ask, part.train, self._lesson(ask, part.train))

    def _fitted_text(self, ask: Ask, rows: np.ndarray, lesson: Lesson | None) -> FittedText:
        """That on all rows is timed, confirmed and shipped: it is fitted once."""
        if (name := ask.fingerprint()) in self._on_all:
            return self._on_all[name]
        train, _ = self._texts(ask)
        kind, labels = TEXT_CLASSIFIERS[ask.named], self._numbers(ask)
        given = [train[row] for row in rows], labels[rows], self.train.groups[rows]
        fitted = kind.fit(*given, len(ask.labels), lesson)
        if ask.phase == "confirm":
            self._on_all[name] = fitted
        return fitted

    def _lesson(self, ask: Ask, rows: np.ndarray) -> Lesson | None:
        """What a student's teacher says after training on some rows; None of what has no teacher, or is fitted."""
        if not ask.inputs or ask.fingerprint() in self._on_all:
            return None
        if self.teaching is None:
            raise BenchError(f"'{ask.named}' has a teacher, and is trained where its study is.")
        train, _ = self._texts(ask)
        return self.teaching.lesson(ask, rows, self._numbers(ask), self.train.groups, self.features, train)

    def _texts(self, ask: Ask) -> Texts:
        if self.texts is None:
            raise BenchError(f"The baseline '{ask.named}' reads texts, and none are kept in the store.")
        return self.texts

    def _numbers(self, ask: Ask) -> np.ndarray:
        """The training rows' labels as the ask's task counts them, [rows, …]."""
        return self.train.labels_in(ask.labels, ask.task)

    def _tested(self, ask: Ask) -> SplitRows:
        if self.test is None or ask.test != self.test.fingerprint:
            raise BenchError(f"An ask is about the test rows {ask.test}, which are not this evaluator's.")
        return self.test

    def _trained(self, ask: Ask) -> SplitRows:
        if ask.train != self.train.fingerprint:
            raise BenchError(f"An ask is about the training rows {ask.train}, which are not this evaluator's.")
        return self.train

    def _parts(self, ask: Ask) -> list[tuple[int, Fold]]:
        """The folds that are asked for, with their positions."""
        train = self._trained(ask)
        if (rule := ask.folds) is None:
            return [(0, trained_on_all(len(train), len(self._tested(ask))))]
        key = rule.folds, rule.split, ask.seed
        if key not in self._folds:
            self._folds[key] = cut(TASKS[ask.task].fold_strata(self._numbers(ask)), self.train.groups, rule, ask.seed)
        found = list(enumerate(self._folds[key]))
        return found if rule.only is None else [found[place] for place in rule.only]

    def _in_order(
        self, ask: Ask, parts: Sequence[tuple[int, Fold]], answers: Sequence[Classified], reports: Sequence[Report] = ()
    ) -> Outcome:
        rows = np.concatenate([part.predict for _, part in parts])
        order = np.argsort(rows)
        return Outcome(
            rows=rows[order] - (len(self.train) if ask.phase == "confirm" else 0),
            predicted=np.concatenate([each.predicted for each in answers])[order],
            scores=np.concatenate([each.scores for each in answers])[order],
            kind=answers[0].kind,
            reports=tuple(reports),
        )


def _batches(asks: Iterable[Ask]) -> list[list[Ask]]:
    """Asks whose heads are trained at one go."""
    found: defaultdict[Hashable, list[Ask]] = defaultdict(list)
    for ask in asks:
        found[company(ask)].append(ask)
    return list(found.values())


def company(ask: Ask) -> Hashable:
    """What is equal of asks whose heads are trained at one go."""
    if not isinstance(ask.subject, Candidate):
        return ask
    if ask.beside is not None:
        return ask.train, ask.test, ask.labels, ask.seed, ask.beside, ask.subject.head
    return ask.model_copy(update={"seed": 0})
