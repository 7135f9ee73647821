"""Two pipelines side by side, with what the rows can and cannot tell."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.comparison.contenders import Contender
from bench.comparison.mistakes import cost_of_mistakes
from bench.comparison.pairing import Examples, Paired, by_seed, examples, paired, retrained, same_training_rows
from bench.errors import BenchError
from bench.evaluation.by_fold import SeedDifference
from bench.evaluation.mistakes import MistakeCosts
from bench.evaluation.scoring import Scored
from bench.measures import MEASURES, Measure, score
from bench.notebook import Shown
from bench.study.roles import RECOMMENDED
from bench.study.verdicts import Claim, Comparison, Difference, Verdict, judged, level_of
from bench.tasks import TASKS, Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Compared(Shown):
    """A pair of candidates compared: A is better or worse where it is in every measure of `test`.

    These are the task's, or one that was asked for; `beside` are then the task's, with intervals and p of their own.
    `by_seed` is empty where the two were not searched on the same rows and folds; `examples` is None where a prediction
    is not simply right or wrong. `cost` is that of mistakes, where what these cost was given; no verdict stands on it.
    """

    a: Contender
    b: Contender
    verdict: Verdict
    test: tuple[Paired, ...]
    by_seed: tuple[SeedDifference, ...]
    examples: Examples | None
    notes: tuple[str, ...]
    beside: tuple[Paired, ...] = ()
    cost: Paired | None = None

    @property
    def shown_words(self) -> str:
        """The two sides, and the verdict."""
        return "\n".join((f"A  {self.a!r}", f"B  {self.b!r}", self.words()))

    def to_frame(self) -> "pd.DataFrame":
        """A row a measure on the test set, A against B."""
        import pandas as pd

        return pd.DataFrame([asdict(each) for each in (*self.test, *self.beside)]).set_index("title")

    def shown_frame(self) -> "pd.DataFrame":
        """The numbers of the verdict."""
        return self.to_frame()[["a", "b", "difference", "low", "high", "p", "resolvable"]]

    def words(self) -> str:
        """The verdict in words."""
        first = self.test[0]
        differences = "; ".join(map(_in_words, self.test))
        where = f"on {first.rows} test rows, {first.seeds} seeds"
        if self.a.subject == self.b.subject:
            verdict = "A and B are the same candidate."
        elif self.verdict == "open":
            all_of = "in every measure" if len(self.test) > 1 else f"in {first.title}"
            verdict = f"Neither is shown to be better {all_of}: A − B = {differences} {where}."
        else:
            better, worse = ("A", "B") if self.verdict == "better" else ("B", "A")
            by = f" in {first.title}" * bool(self.beside)
            verdict = f"{better} is better than {worse}{by}: A − B = {differences} {where}."
        beyond = "; ".join(
            f"{each.title} {each.retrained.low:+.3f} to {each.retrained.high:+.3f}"
            for each in self.test
            if each.retrained is not None and self.a.subject != self.b.subject
        )
        if beyond:
            verdict += f" Trained on other such rows, as far as the search's folds can say: {beyond}."
        ms = [side.record.metrics["latency_ms"] for side in (self.a, self.b)]
        cost = f" A costs {ms[0] / ms[1]:.2f} × the extraction time of B." if ms[1] > 0 else ""
        return verdict + cost

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "verdict": self.verdict,
            "test": list(map(_in_json, self.test)),
            "beside": list(map(_in_json, self.beside)),
            "cost": None if self.cost is None else _in_json(self.cost),
            "by_seed": [asdict(each) for each in self.by_seed],
            "examples": None if self.examples is None else asdict(self.examples),
            "notes": list(self.notes),
            "words": self.words(),
        }


def _in_json(each: Paired) -> dict[str, Any]:
    return asdict(each) | {"resolvable": None if np.isnan(each.resolvable) else each.resolvable}


def _in_words(each: Paired) -> str:
    limit = "" if np.isnan(each.resolvable) else f"; these rows resolve {each.resolvable:.3f}"
    ends = f"{level_of(each.level)} {each.low:+.4f} to {each.high:+.4f}"
    return f"{each.difference:+.4f} {each.title} ({ends}, p = {each.p:.3g}{limit})"


def compare(
    a: Mapping[str, Contender], b: Mapping[str, Contender], measure: str | None = None, costs: Path | None = None
) -> list[Compared]:
    """Compare the sides role by role, p values corrected over all of them.

    A verdict is by the measures of the task, or by the one of that name alone, beside which those of the task stand.

    Two whole studies are compared by their recommended candidates, their knees, their best and their cheapest; where
    one of the two is a single candidate, a study's recommended one stands for it. `costs` is a file with what mistakes
    cost, which is then compared as well.

    Raises:
        BenchError: the two were tested on different rows or other labels, so that nothing can be paired; or there is
            no such measure, or a side has no probabilities for it.
    """
    if len(a) > 1 and len(b) > 1:
        pairs = [(a[role], b[role]) for role in a]
    else:
        pairs = [(a.get("") or a[RECOMMENDED], b.get("") or b[RECOMMENDED])]
    distinct = {(first.record.id, second.record.id): (first, second) for first, second in pairs}
    sides = {f"{first.label} {second.label}": (first, second) for first, second in distinct.values()}
    of_task = [MEASURES[name] for name in _task(pairs[0][0]).measures]
    asked = of_task if measure is None else [score(measure)]
    beside = [each for each in of_task if each not in asked]
    for first, second in sides.values():
        _check(first, second)
    tested = {name: _tested(*pair) for name, pair in sides.items()}
    for name, both in tested.items():
        _check_known(asked, sides[name], both)
    claims = {name: Claim(one.predictions, {"B": other.predictions}) for name, (one, other) in tested.items()}

    def said(measures: Sequence[Measure]) -> dict[str, Comparison]:
        return judged(
            claims, measures, retrained=lambda name, _, measure, level: retrained(*sides[name], measure, level)
        )

    dataset = pairs[0][0].study.material.dataset
    table = None if costs is None else MistakeCosts.read(costs, dataset.labels, dataset.test_only_labels)
    found, others = said(asked), [said([each]) for each in beside]
    return [
        _compared(*pair, found[name], *tested[name], [each[name].by_measure[0] for each in others], table)
        for name, pair in sides.items()
    ]


def _task(side: Contender) -> Task:
    return TASKS[side.study.material.dataset.task]


def _tested(a: Contender, b: Contender) -> tuple[Scored, Scored]:
    """The test scores of both, over as many seeds."""
    seeds = min(len(side.confirmed.repetitions) for side in (a, b))
    return Scored(a.confirmed.repetitions[:seeds]), Scored(b.confirmed.repetitions[:seeds])


def _check(a: Contender, b: Contender) -> None:
    """Refuse what was tested on other rows."""
    left, right = a.study.material.dataset, b.study.material.dataset
    names = [(*each.labels, *each.test_only_labels) for each in (left, right)]
    if left.test.fingerprint != right.test.fingerprint or names[0] != names[1]:
        raise BenchError(
            f"'{a.label}' was tested on {len(left.test)} rows of {left.name} and '{b.label}' on {len(right.test)} of "
            f"{right.name}, which are not the same rows and labels: nothing can be paired."
        )


def _check_known(
    measures: Sequence[Measure], sides: tuple[Contender, Contender], tested: tuple[Scored, Scored]
) -> None:
    """Refuse a measure of probabilities where a side has none."""
    for side, scored in zip(sides, tested, strict=True):
        for each in measures:
            if np.isnan(scored.summary(each).mean):
                raise BenchError(
                    f"'{side.label}' says classes without probabilities, so that it has no {each.title}: compare by "
                    "another `measure`."
                )


def _compared(
    a: Contender,
    b: Contender,
    found: Comparison,
    first: Scored,
    second: Scored,
    beside: Sequence[Difference],
    costs: MistakeCosts | None,
) -> Compared:
    left, right = a.study.material.dataset, b.study.material.dataset
    notes = []
    if not same_training_rows(a, b):
        notes.append("The two were trained on different rows, so only the test set pairs them.")
    notes += [
        f"{side.label} was selected on the test set: its test scores are optimistic."
        for side in (a, b)
        if side.study.request.protocol.name == "paper"
    ]
    backends = {str(identity.get("backend")) for side in (a, b) for identity in side.study.material.identities.values()}
    if len(backends) > 1:
        notes.append(f"The hidden states come from different backends: {', '.join(sorted(backends))}.")
    notes += dict.fromkeys(each.rare.words for each in (left, right) if each.rare is not None)
    if "test" in a.study.limits:
        notes += a.study.limits["test"].words()
    test, others = (tuple(paired(each, first, second) for each in part) for part in (found.by_measure, beside))
    task, told_apart = _task(a), None
    if task.by_class:
        told_apart = examples(left.test.labels, [first.predicted, second.predicted], left.test.ids)
    seeds = by_seed(a, b, [score(each.measure) for each in (*found.by_measure, *beside)])
    cost = None if costs is None else cost_of_mistakes(a, b, len(first.repetitions), costs)
    return Compared(a, b, found.verdict, test, seeds, told_apart, tuple(notes), others, cost)
