"""What is remembered of a trial."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bench.specs import Candidate, Spec

State = Literal["complete", "pruned", "infeasible", "failed", "repeat"]
TRIED: tuple[State, ...] = ("complete", "pruned", "failed")
"""A candidate was trained: to the end, until it was given up, or until its training diverged."""


class GivenUp(Spec):
    """Why a candidate was not evaluated to its end (see `bench.study.race`).

    Attributes:
        by: An exact bound, or a test.
        against: The trial that it cannot reach; None where its score is unknown.
        blocks: How many blocks of its evaluation there were by then.
        p: One-sided, of the test.
    """

    by: Literal["bound", "race"]
    against: int | None
    blocks: int
    p: float | None = None

    def __str__(self) -> str:
        """For people: ``race against trial 12 after block 2 (p = 0.004)``."""
        rival = "" if self.against is None else f" against trial {self.against}"
        return f"{self.by}{rival} after block {self.blocks}" + ("" if self.p is None else f" (p = {self.p:.2g})")


class TrialRecord(Spec):
    """What is remembered of a trial.

    `values` holds for each measure a value a whole repetition, in order; `rung` says who proposed it
    (`bench.study.rungs`).
    """

    number: int
    state: State
    candidate: Candidate
    metrics: Mapping[str, float] = Field(default_factory=dict)
    values: Mapping[str, tuple[float, ...]] = Field(default_factory=dict)
    seconds: float = 0.0
    repeats: int | None = None
    run_id: str | None = None
    rung: str | None = None
    given_up: GivenUp | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_before(cls, content: Any) -> Any:
        """Journals that were written when there were two measures held each in a field of its own."""
        if not isinstance(content, dict) or not {"f1", "accuracy"} & set(content):
            return content
        fields = {name: content[name] for name in ("f1", "accuracy") if content.get(name)}
        return {name: value for name, value in content.items() if name not in {"f1", "accuracy"}} | {"values": fields}

    @property
    def title(self) -> str:
        """How it is called in words."""
        return f"trial {self.number}"

    @property
    def id(self) -> int:
        """How it is called in JSON and by people who choose it."""
        return self.number

    @property
    def key(self) -> str:
        """By which its run is found in the tracking store."""
        return self.candidate.fingerprint()

    @property
    def subject(self) -> Candidate:
        """What was tried."""
        return self.candidate

    @property
    def repetitions(self) -> int:
        """How many were scored as a whole."""
        return max(map(len, self.values.values()), default=0)


class NamedRecord(Spec):
    """What is remembered of what counts for no trial, and goes by a name: a baseline, a cascade.

    Attributes:
        name: By which it is chosen.
        metrics: Costs, and every aggregation of each measure, out of fold.
        values: For each measure a value a repetition.
        run_id: Of its run. It is remembered beside the records of a study, not within each.
    """

    name: str
    metrics: Mapping[str, float]
    values: Mapping[str, tuple[float, ...]] = Field(default_factory=dict)
    run_id: Annotated[str | None, Field(exclude=True)] = None

    @property
    def title(self) -> str:
        """How it is called in words."""
        return self.name

    @property
    def id(self) -> str:
        """How it is called in JSON and by people who choose it."""
        return self.name
