"""What a study is: evaluations that it asks for, and what it makes of their scores."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bench.errors import BenchError
from bench.registry import Registry
from bench.reproduce.columns import Column, Row
from bench.specs import Candidate

if TYPE_CHECKING:
    from bench.datasets.dataset import Dataset
    from bench.evaluation.evaluator import Scored
    from bench.figures import Figure
    from bench.reproduce.setting import Setting


@dataclass(frozen=True)
class Ask:
    """An evaluation that a study needs.

    Attributes:
        subject: A candidate, or a text baseline by name.
        phase: ``"confirm"`` trains on all training rows and scores the test rows, ``"search"`` predicts every
            training row out of fold.
        seeds: One training each; a text baseline has none, it is deterministic.
        data: The rows; a study may ask for others than its data set's own.
        together: Whether it is trained side by side with the others of which this is said: concatenations under an
            MLP, scored on the test rows.
    """

    subject: Candidate | str
    phase: Literal["search", "confirm"]
    seeds: tuple[int, ...]
    data: "Dataset"
    together: bool = False


Answers = Mapping[Ask, "Scored"]


@dataclass(frozen=True)
class Findings:
    """What a study found on one data set, or across several.

    Attributes:
        rows: The study's table, one object a row; what is unknown is None.
        published: The paper's numbers for the same table and data set.
        caption: What those are.
        extras: Further tables by name: what figures are drawn from.
        figures: As a paper would show them.
        notes: Sentences that say what the numbers say, the most important first.
        title: What the table shows, where it is not the study's summary.
        columns: What people are shown of `rows` where it is not the study's columns.
    """

    rows: Sequence[Row]
    published: Sequence[Row] = ()
    caption: str = ""
    extras: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    figures: "Sequence[Figure]" = ()
    notes: Sequence[str] = ()
    title: str = ""
    columns: Sequence[Column] = ()


Steps = Generator[Sequence[Ask], Answers, Findings]
"""Yields what it needs, is sent the scores, and returns what it found. A second step may depend on the first."""


@dataclass
class Study:
    """An entry of `STUDIES`.

    Attributes:
        name: As the command line says it.
        paper: Where it is in the paper, or what it asks beyond it.
        summary: One line for people.
        steps: From a setting to its steps.
        costs: Whether it needs the models' measured cost.
        stages: How often it asks.
        selects: Whether it selects on the training rows.
        others: Whether its numbers depend on the other data sets of the command.
        intervals: What its intervals are.
        columns: The columns that people are shown in a terminal.
        across: From the findings on several data sets, by name, to those across them; None where there are none.
    """

    name: str
    paper: str
    summary: str
    steps: "Callable[[Setting], Steps]"
    costs: bool
    stages: int
    selects: bool
    others: bool
    intervals: str
    columns: Sequence[Column]
    across: Callable[[Mapping[str, Findings]], Findings] | None = None


STUDIES: Registry[Study] = Registry("study")


def study(
    name: str,
    *,
    paper: str,
    columns: Sequence[Column],
    costs: bool = False,
    stages: int = 1,
    selects: bool = False,
    others: bool = False,
    intervals: str = "95%, percentile bootstrap over test rows, runs averaged",
) -> "Callable[[Callable[[Setting], Steps]], Study]":
    """Enter the decorated function in `STUDIES`; its docstring's first line is the summary."""

    def register(steps: "Callable[[Setting], Steps]") -> Study:
        summary = (steps.__doc__ or name).splitlines()[0].rstrip(".")
        return STUDIES.add(name, Study(name, paper, summary, steps, costs, stages, selects, others, intervals, columns))

    return register


def across(entry: Study) -> Callable[[Callable[[Mapping[str, Findings]], Findings]], Callable[..., Findings]]:
    """What a study says of several data sets together."""

    def register(function: Callable[[Mapping[str, Findings]], Findings]) -> Callable[..., Findings]:
        if entry.across is not None:
            raise BenchError(f"The study '{entry.name}' has two ways across data sets.")
        entry.across = function
        return function

    return register
