"""Two pipelines side by side, with what the rows can and cannot tell."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bench.comparison.contenders import Contender
from bench.comparison.pairing import Examples, Paired, SeedDifference, by_seed, examples, paired, same_training_rows
from bench.errors import BenchError
from bench.measures import MEASURES
from bench.metrics import holm
from bench.study.roles import RECOMMENDED
from bench.tasks import TASKS

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Compared:
    """A pair of candidates compared, by the measures of their task, the first of which gives the verdict.

    `by_seed` is empty where the two were not searched on the same rows and folds; `examples` is None where a prediction
    is not simply right or wrong.
    """

    a: Contender
    b: Contender
    test: tuple[Paired, ...]
    by_seed: tuple[SeedDifference, ...]
    examples: Examples | None
    notes: tuple[str, ...]

    def words(self) -> str:
        """The verdict in words."""
        score = self.test[0]
        better, worse = ("A", "B") if score.difference >= 0 else ("B", "A")
        interval = (
            f"{score.difference:+.4f} {score.title} (95 % {score.low:+.4f} to {score.high:+.4f}, p = {score.p:.3g})"
        )
        where = f"on {score.rows} test rows, {score.seeds} seeds"
        if self.a.subject == self.b.subject:
            verdict = "A and B are the same candidate."
        elif score.p < SIGNIFICANT:
            verdict = f"{better} is better than {worse}: A − B = {interval} {where}."
        else:
            known = not np.isnan(score.resolvable)
            limit = f"; these rows resolve differences from about {score.resolvable:.3f}" if known else ""
            verdict = f"No difference that chance would not explain: A − B = {interval} {where}{limit}."
        ms = [side.record.metrics["latency_ms"] for side in (self.a, self.b)]
        cost = f" A costs {ms[0] / ms[1]:.2f} × the extraction time of B." if ms[1] > 0 else ""
        return verdict + cost

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "test": [
                asdict(each) | {"resolvable": None if np.isnan(each.resolvable) else each.resolvable}
                for each in self.test
            ],
            "by_seed": [asdict(each) for each in self.by_seed],
            "examples": None if self.examples is None else asdict(self.examples),
            "notes": list(self.notes),
            "words": self.words(),
        }


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
    found = [_compared(first, second) for first, second in distinct.values()]
    corrected = iter(holm([one.p for each in found for one in each.test]))
    return [replace(each, test=tuple(replace(one, p=next(corrected)) for one in each.test)) for each in found]


def _compared(a: Contender, b: Contender) -> Compared:
    left, right = a.study.material.dataset, b.study.material.dataset
    names = [(*each.labels, *each.test_only_labels) for each in (left, right)]
    if left.test.fingerprint != right.test.fingerprint or names[0] != names[1]:
        raise BenchError(
            f"'{a.label}' was tested on {len(left.test)} rows of {left.name} and '{b.label}' on {len(right.test)} of "
            f"{right.name}, which are not the same rows and labels: nothing can be paired."
        )
    rules = dict.fromkeys(each.rare.words for each in (left, right) if each.rare is not None)
    notes = list(rules)
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
    seeds = min(len(side.confirmed.repetitions) for side in (a, b))
    said = [side.confirmed.predictions[:seeds] for side in (a, b)]
    task = TASKS[left.task]
    test = tuple(paired(MEASURES[name], *said) for name in task.measures)
    told_apart = None
    if task.by_class:
        predicted = [side.confirmed.predicted[:seeds] for side in (a, b)]
        told_apart = examples(left.test.labels, predicted, left.test.ids)
    return Compared(a, b, test, by_seed(a, b), told_apart, tuple(notes))
