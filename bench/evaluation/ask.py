"""The one question of the engine: what does this classifier, trained on these rows, say of those?

An ask is a value of names and fingerprints alone. It can be sent to another process or machine, and be answered by
whoever has the store that its rows and matrices lie in.
"""

from typing import Any, Literal, Self

from pydantic import model_validator

from bench.evaluation.baselines import TEXT_BASELINES, revision_of
from bench.evaluation.inputs import Input
from bench.evaluation.protocol import FoldRule
from bench.foreign import foreign_parts_of, with_foreign
from bench.specs import DEFAULT_TASK, MLP, TUNED, Candidate, Source, Spec, TextCandidate, fingerprint
from bench.tasks import TASKS

ALGORITHM = 3
"""To be raised when operators, baselines or all heads compute something else: remembered outcomes are then not used.

Where one kind of head or a text classifier does, its `revision` is raised (see `bench.specs.HeadSettings`)."""

Phase = Literal["search", "confirm"]
"""``"search"``: training rows, predicted out of fold. ``"confirm"``: test rows, after training on all others."""


class Ask(Spec):
    """One training of one subject under one seed, and the rows that it is to predict.

    Attributes:
        subject: A candidate, a student, or a text classifier or text baseline by name.
        train: Fingerprint of the training rows.
        labels: The label list: what a predicted class is an index of.
        test: Fingerprint of the test rows, where they are to be predicted; then all training rows are trained on.
        folds: How the training rows are cut, where they are predicted out of fold. A task that trains nothing has no
            folds: where there is no `test` either, the training rows are held against each other.
        inputs: The matrices of a candidate's sources, or of those of a student's teacher, in their order.
        seed: Of the folds, the initialisation and the order of batches.
        task: What the labels are.
        beside: Set where concatenations under one MLP are to be trained side by side, which is far faster: ``"same"``
            where one batch holds all training rows, so that the head is (up to rounding) the one that it would be
            alone; ``"shared"`` where all see their batches in one order, which is another draw of the same
            distribution, and another answer.
    """

    subject: Candidate | TextCandidate | str
    train: str
    labels: tuple[str, ...]
    test: str | None = None
    folds: FoldRule | None = None
    inputs: tuple[Input, ...] = ()
    seed: int
    task: str = DEFAULT_TASK
    beside: Literal["same", "shared"] | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if TASKS[self.task].ranks and self.folds is not None:
            raise ValueError(f"{self.task} trains nothing, so that it has no folds")
        if not TASKS[self.task].ranks and (self.test is None) == (self.folds is None):
            raise ValueError("an ask predicts either the test rows or folds of the training rows")
        sources = read_by(self.subject)
        if len(self.inputs) != len(sources):
            raise ValueError(f"{self.subject} has {len(sources)} sources, but {len(self.inputs)} matrices are named")
        if self.beside is not None and (self.test is None or not self._joins):
            raise ValueError("side by side: concatenations under an MLP, on the test rows")
        return self

    @property
    def _joins(self) -> bool:
        """Whether the subject is an MLP on sources as they are, at a rate that is given."""
        subject = self.subject
        if not isinstance(subject, Candidate) or not isinstance(subject.head, MLP):
            return False
        return subject.fusion in {"none", "concat"} and subject.head.learning_rate != TUNED

    @property
    def named(self) -> str:
        """The name of what is no candidate on hidden states."""
        return self.subject.classifier if isinstance(self.subject, TextCandidate) else str(self.subject)

    @property
    def phase(self) -> Phase:
        """Which rows are predicted."""
        return "search" if self.test is None else "confirm"

    @property
    def candidate(self) -> Candidate:
        """The subject, where it is known to be one."""
        assert isinstance(self.subject, Candidate)
        return self.subject

    def of_folds(self, only: tuple[int, ...] | None) -> "Ask":
        """The same of some of the folds; None: of all."""
        assert self.folds is not None, "it predicts no folds"
        return self.model_copy(update={"folds": self.folds.model_copy(update={"only": only})})

    def of_sources(self) -> "list[Ask]":
        """The same of each of a candidate's sources alone."""
        subject = self.candidate
        return [
            self.model_copy(
                update={"subject": Candidate(sources=(source,), head=subject.head), "inputs": (each,), "beside": None}
            )
            for source, each in zip(subject.sources, self.inputs, strict=True)
        ]

    def identity(self) -> dict[str, Any]:
        """All that can change the answer, as JSON values.

        A text baseline is deterministic: its seed counts only where it cuts the folds. So is a cosine. What
        comes from a plugin is told by a hash of its source, so that an edited one is asked anew.
        """
        value = {name: each for name, each in self.model_dump(mode="json").items() if each not in (None, [])}
        if self.task == DEFAULT_TASK:
            del value["task"]
        if self.beside == "same":
            del value["beside"]
        if not self._seeded:
            del value["seed"]
        own = self.subject.head.revision if isinstance(self.subject, Candidate) else revision_of(self.subject)
        if own:
            value["revision"] = own
        return with_foreign(value | {"algorithm": ALGORITHM}, self._foreign())

    @property
    def _seeded(self) -> bool:
        if TASKS[self.task].ranks:
            return not isinstance(self.subject, Candidate) or self.subject.drawn
        return isinstance(self.subject, Candidate) or not (self.folds is None or self.folds.split is not None)

    def _foreign(self) -> dict[str, str]:
        if isinstance(self.subject, Candidate):
            return foreign_parts_of(self.subject)
        if isinstance(self.subject, TextCandidate):
            return {} if self.subject.teacher is None else foreign_parts_of(self.subject.teacher)
        source = TEXT_BASELINES.source(self.subject) if self.subject in TEXT_BASELINES else None
        return {} if source is None else {f"{TEXT_BASELINES.kind} {self.subject}": source}

    def fingerprint(self) -> str:
        """32 hex digits by which the answer is kept; asks that have one answer share them."""
        return fingerprint(self.identity(), length=32)


def read_by(subject: Candidate | TextCandidate | str) -> tuple[Source, ...]:
    """The sources whose matrices the training of a subject reads: its own, or its teacher's."""
    if isinstance(subject, TextCandidate):
        return () if subject.teacher is None else subject.teacher.sources
    return subject.sources if isinstance(subject, Candidate) else ()
