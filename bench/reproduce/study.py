"""What a study is: evaluations that it asks for, and what it makes of their scores."""

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.errors import BenchError, nearest
from bench.evaluation.scoring import Scored
from bench.figures import Figure
from bench.registry import Registry
from bench.reproduce.columns import Column, Row
from bench.reproduce.published import caption, errata, printed
from bench.reproduce.questions import Answers, Question
from bench.reproduce.scores import score_columns
from bench.reproduce.setup import Setup
from bench.tasks import TASKS


@dataclass(frozen=True)
class Findings:
    """What a study found on one data set, or across several.

    Attributes:
        rows: The study's table, one object a row; what is unknown is None.
        beside: More columns of the rows that every study has, of models that are missing and of baselines, by model.
        published: The paper's numbers for the same table and data set.
        caption: What those are.
        errata: Where the paper contradicts itself in what this study shows.
        extras: Further tables by name: what figures are drawn from.
        figures: As a paper would show them.
        notes: Sentences that say what the numbers say, the most important first.
        title: What the table shows, where it is not the study's summary.
        columns: What people are shown of `rows` where it is not the study's columns.
    """

    rows: Sequence[Row]
    beside: Mapping[str, Row] = field(default_factory=dict)
    published: Sequence[Row] = ()
    caption: str = ""
    errata: Sequence[Row] = ()
    extras: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()
    title: str = ""
    columns: Sequence[Column] = ()


Steps = Generator[Iterable[Question], Answers, Findings]
"""Yields what it needs, is sent all scores so far, and returns what it found. A second step may depend on the first."""


@dataclass
class PaperStudy:
    """An entry of `STUDIES`.

    Attributes:
        name: As the command line says it.
        order: Its place among the others.
        paper: Where it is in the paper, or what it asks beyond it.
        summary: One line for people.
        body: From a setup to the steps that are the study's own.
        columns: The columns that people are shown in a terminal.
        table: The paper's numbers of the data set that stand beside it (see `bench.reproduce.published`), by name.
        baselines: Whether it asks for the text baselines on the data set, and shows them, as all do; a study that has
            other rows asks for its own.
        costs: Whether it needs the models' measured cost.
        states: Whether it needs hidden states.
        stages: How often it asks.
        selects: Whether it selects on the training rows.
        others: Whether its numbers depend on the other data sets of the command.
        intervals: What its intervals are.
        aliases: What the paper calls what it shows: ``table2``.
        ranks: Whether it also has a table of tasks that rank representations without a trained head.
        across: From the findings on several data sets, by name, to those across them; None where there are none.
    """

    name: str
    order: int
    paper: str
    summary: str
    body: Callable[[Setup], Steps]
    columns: Sequence[Column]
    table: str | None
    baselines: bool
    costs: bool
    states: bool
    stages: int
    selects: bool
    others: bool
    intervals: str
    aliases: tuple[str, ...] = ()
    ranks: bool = False
    across: Callable[[Mapping[str, Findings]], Findings] | None = None

    def steps(self, setup: Setup) -> Steps:
        """The study's own steps, and what all studies have in common.

        That is the text baselines, a row for each model that is missing, and what the paper printed.
        """
        own = self.body(setup)
        ranked = TASKS[setup.dataset.task].ranks
        baselines = setup.baselines() if self.baselines and not ranked else {}
        answers: dict[Question, Scored] = {}
        asks = [*baselines.values(), *next(own)]
        while True:
            answers |= yield asks
            try:
                asks = [*own.send(answers)]
            except StopIteration as end:
                findings: Findings = end.value
                break
        rows = [
            *findings.rows,
            *_missing_rows(setup, findings.beside),
            *_baseline_rows(setup, {name: answers[ask] for name, ask in baselines.items()}, findings.beside),
        ]
        if ranked:  # a task that the paper does not have
            return replace(findings, rows=rows)
        findings = replace(findings, rows=rows, errata=errata(self.name))
        if self.table is None:
            return findings
        published = printed(self.table, dataset=setup.dataset.name)
        return replace(findings, published=published, caption=caption(self.table))


def _missing_rows(setup: Setup, beside: Mapping[str, Row]) -> list[Row]:
    """A row for every model that was asked for and cannot be had: missing, not zero."""
    return [
        {"kind": "missing", "model": model.name, "head": None, "reason": model.reason, **beside.get(model.name, {})}
        for model in setup.absent
    ]


def _baseline_rows(setup: Setup, scores: Mapping[str, Scored], beside: Mapping[str, Row]) -> list[Row]:
    return [
        {
            "kind": "baseline",
            "model": name,
            "head": None,
            **score_columns(scored, setup.dataset),
            **beside.get(name, {}),
        }
        for name, scored in scores.items()
    ]


STUDIES: Registry[PaperStudy] = Registry("study", order=lambda study: study.order)
ALL = "all"


def words() -> list[str]:
    """Every word that `named` takes: the studies, what the paper calls what they show, and all of them."""
    return [*STUDIES, *(alias for each in STUDIES.values() for alias in each.aliases), ALL]


DRAWING = "figure1"
PLACE = re.compile(r"(table|figure)\d+")


def named(given: Sequence[str]) -> tuple[PaperStudy, ...]:
    """The studies that words name, each once, in the order in which they are shown.

    Raises:
        BenchError: a word names none.
    """
    aliases = {alias: each.name for each in STUDIES.values() for alias in each.aliases}
    for word in given:
        if word not in {*STUDIES, *aliases, ALL}:
            raise BenchError(_none(word, aliases))
    wanted = {aliases.get(word, word) for word in given}
    return tuple(each for each in STUDIES.values() if ALL in given or each.name in wanted)


def check_answers(studies: Iterable[PaperStudy], task: str) -> None:
    """Raise BenchError where a study is of trained heads, and a task trains none."""
    for each in studies:
        if TASKS[task].ranks and not each.ranks:
            able = ", ".join(one.name for one in STUDIES.values() if one.ranks)
            raise BenchError(
                f"The study '{each.name}' is of trained heads, and {task} trains none. Studies that take it: {able}."
            )


def _none(word: str, aliases: Iterable[str]) -> str:
    """Why a word names no study."""
    places = sorted({alias for alias in aliases if PLACE.fullmatch(alias)})
    if word == DRAWING:
        return (
            "Figure 1 of the paper is a drawing of its experiments and holds no number: its three parts are the "
            "studies 'layers' and 'pooling', 'pairs', and 'combinations'."
        )
    if PLACE.fullmatch(word):
        return f"The paper has no {word}: what it has is {', '.join(places)}, and figure1, a drawing."
    return f"There is no study '{word}': {nearest(word, words())}"


def study(
    name: str,
    *,
    order: int,
    paper: str,
    columns: Sequence[Column],
    table: str | None = None,
    baselines: bool = True,
    costs: bool = False,
    states: bool = True,
    stages: int = 1,
    selects: bool = False,
    others: bool = False,
    intervals: str = "95%, bootstrap over test rows, runs averaged",
    aliases: tuple[str, ...] = (),
    ranks: bool = False,
) -> Callable[[Callable[[Setup], Steps]], PaperStudy]:
    """Enter the decorated function in `STUDIES`; its docstring's first line is the summary.

    The other arguments are those of `PaperStudy`.
    """

    def register(body: Callable[[Setup], Steps]) -> PaperStudy:
        summary = (body.__doc__ or name).splitlines()[0].rstrip(".")
        entry = PaperStudy(
            name,
            order,
            paper,
            summary,
            body,
            columns,
            table,
            baselines,
            costs,
            states,
            stages,
            selects,
            others,
            intervals,
            aliases,
            ranks,
        )
        return STUDIES.add(name, entry)

    return register


def across(entry: PaperStudy) -> Callable[[Callable[[Mapping[str, Findings]], Findings]], Callable[..., Findings]]:
    """What a study says of several data sets together."""

    def register(function: Callable[[Mapping[str, Findings]], Findings]) -> Callable[..., Findings]:
        if entry.across is not None:
            raise BenchError(f"The study '{entry.name}' has two ways across data sets.")
        entry.across = function
        return function

    return register
