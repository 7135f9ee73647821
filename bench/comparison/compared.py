"""Two pipelines side by side, with what the rows can and cannot tell."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.comparison.contenders import Contender
from bench.comparison.pairing import Examples, Paired, by_seed, examples, paired, retrained, same_training_rows
from bench.errors import BenchError
from bench.evaluation.by_fold import SeedDifference
from bench.evaluation.scoring import Scored
from bench.measures import MEASURES
from bench.notebook import Shown
from bench.study.roles import RECOMMENDED
from bench.study.verdicts import Claim, Comparison, Verdict, judged
from bench.tasks import TASKS, Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Compared(Shown):
    """A pair of candidates compared: A is better or worse where it is in every measure of the task.

    `by_seed` is empty where the two were not searched on the same rows and folds; `examples` is None where a prediction
    is not simply right or wrong.
    """

    a: Contender
    b: Contender
    verdict: Verdict
    test: tuple[Paired, ...]
    by_seed: tuple[SeedDifference, ...]
    examples: Examples | None
    notes: tuple[str, ...]

    @property
    def shown_words(self) -> str:
        """The two sides, and the verdict."""
        return "\n".join((f"A  {self.a!r}", f"B  {self.b!r}", self.words()))

    def to_frame(self) -> "pd.DataFrame":
        """A row a measure on the test set, A against B."""
        import pandas as pd

        return pd.DataFrame([asdict(each) for each in self.test]).set_index("title")

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
            verdict = f"Neither is shown to be better in every measure: A − B = {differences} {where}."
        else:
            better, worse = ("A", "B") if self.verdict == "better" else ("B", "A")
            verdict = f"{better} is better than {worse}: A − B = {differences} {where}."
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
            "test": [
                asdict(each) | {"resolvable": None if np.isnan(each.resolvable) else each.resolvable}
                for each in self.test
            ],
            "by_seed": [asdict(each) for each in self.by_seed],
            "examples": None if self.examples is None else asdict(self.examples),
            "notes": list(self.notes),
            "words": self.words(),
        }


def _in_words(each: Paired) -> str:
    limit = "" if np.isnan(each.resolvable) else f"; these rows resolve {each.resolvable:.3f}"
    return f"{each.difference:+.4f} {each.title} ({each.low:+.4f} to {each.high:+.4f}, p = {each.p:.3g}{limit})"


def compare(a: Mapping[str, Contender], b: Mapping[str, Contender]) -> list[Compared]:
    """Compare the sides role by role, p values corrected over all of them.

    Two whole studies are compared by their recommended candidates, their knees, their best and their cheapest; where
    one of the two is a single candidate, a study's recommended one stands for it.

    Raises:
        BenchError: the two were tested on different rows or other labels, so that nothing can be paired.
    """
    if len(a) > 1 and len(b) > 1:
        pairs = [(a[role], b[role]) for role in a]
    else:
        pairs = [(a.get("") or a[RECOMMENDED], b.get("") or b[RECOMMENDED])]
    distinct = {(first.record.id, second.record.id): (first, second) for first, second in pairs}
    sides = {f"{first.label} {second.label}": (first, second) for first, second in distinct.values()}
    for first, second in sides.values():
        _check(first, second)
    tested = {name: _tested(*pair) for name, pair in sides.items()}
    found = judged(
        {name: Claim(one.predictions, {"B": other.predictions}) for name, (one, other) in tested.items()},
        [MEASURES[name] for name in _task(pairs[0][0]).measures],
        retrained=lambda name, _, measure, level: retrained(*sides[name], measure, level),
    )
    return [_compared(*pair, found[name], *tested[name]) for name, pair in sides.items()]


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


def _compared(a: Contender, b: Contender, found: Comparison, first: Scored, second: Scored) -> Compared:
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
    test = tuple(paired(each, first, second) for each in found.by_measure)
    task, told_apart = _task(a), None
    if task.by_class:
        told_apart = examples(left.test.labels, [first.predicted, second.predicted], left.test.ids)
    seeds = by_seed(a, b, [MEASURES[name] for name in task.measures])
    return Compared(a, b, found.verdict, test, seeds, told_apart, tuple(notes))
