"""Scores then and now: what became of each candidate, and whether it is still above predictions from outside.

What a fine-tuned or a prompted model said of the training rows (`against` of a search) is kept, and cannot be made
again: held against itself it would say nothing. What it is to a gate is a line. The pipeline was chosen although there
was that; a candidate that was not below the line when it was pinned fails when it is, by the rule of any fall: paired
with the line on the same rows, beyond chance, and by 0.01 or more.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from bench.gate.baseline import Baseline, CandidateScores, describe
from bench.gate.rows import on_stayed, score_by, stayed
from bench.gate.rule import MARGIN, Change, RepeatedF1, changes
from bench.gate.verdict import Finding, Status
from bench.measures import Measure
from bench.tasks import TASKS

Pair = tuple[RepeatedF1, RepeatedF1]


@dataclass(frozen=True)
class Ground:
    """On what scores then and now are compared.

    Attributes:
        measure: By which.
        rows: How many rows.
        where: Which rows these are, in words, where they are not all.
        pair: From a baseline's scores and those of now to both on these rows.
    """

    measure: Measure
    rows: int
    where: str
    pair: Callable[[CandidateScores, CandidateScores], Pair]


def _ground(baseline: Baseline, now: Baseline) -> Ground | None:
    """The rows that both have, if they are half of the baseline's or more; None where nothing can be compared."""
    old, new, protocol, all_rows = baseline.rows, now.rows, now.pinned.protocol, baseline.data.train.rows
    if baseline.pinned.protocol != protocol or baseline.measure != now.measure:
        return None
    if baseline.data.train == now.data.train:
        return Ground(now.measure, all_rows, "", lambda before, after: (_scores(before), _scores(after)))
    if old is None or new is None:
        return None
    rows = len(stayed(old, new)[0])
    if 2 * rows < all_rows:
        return None
    measure, where = now.measure, f" on the {rows} of {all_rows} rows that stayed"
    if measure.counted is None:
        # of each row its class is kept, and no probabilities
        measure = TASKS[now.pinned.dataset.task].measure
        where += f", where {now.measure.title} is not known"
    score = score_by(measure, protocol.classes)
    return Ground(
        measure,
        rows,
        where,
        lambda before, after: on_stayed(old, new, before.predicted, after.predicted, score),
    )


def quality(baseline: Baseline, now: Baseline) -> tuple[Measure, list[Finding]]:
    """What became of the scores of each candidate, and the measure that this is by."""
    then = baseline.by_candidate
    pairs = {each: (then[each], after) for each, after in now.by_candidate.items() if each in then}
    ground = _ground(baseline, now)
    if ground is None:
        words = "not compared: the rows, the folds or the measure are others than the baseline's"
        return now.measure, [Finding("quality", describe(each), "skipped", words) for each in pairs]
    trained = [ground.pair(before, after) for before, after in pairs.values() if after.f1]
    found = iter(changes(trained, ground.rows, ground.measure.sign))
    findings = []
    for candidate, (before, after) in pairs.items():
        if not after.f1:
            findings.append(Finding("quality", describe(candidate), "failed", "its training diverges"))
            continue
        change = next(found)
        # what cannot be compared has not been shown to hold
        status: Status = "passed" if math.isfinite(change.difference) and not change.fell else "failed"
        words = _in_words(change, ground)
        beside = {each.title: (before.means.get(each.name), after.means[each.name]) for each in now.pinned.beside}
        for title, (then_mean, mean) in beside.items():
            words += f"; {title} {'–' if then_mean is None else f'{then_mean:.4f}'} → {mean:.4f}"
        findings.append(Finding("quality", describe(candidate), status, words, change, beside))
    return ground.measure, findings


def lines(baseline: Baseline, now: Baseline) -> list[Finding]:
    """Whether each candidate is still where it was beside predictions from outside."""
    ground, then = _ground(baseline, now), baseline.by_candidate
    if ground is None:
        return []
    both = [
        (line, then[each], after, describe(each))
        for line in baseline.references
        for each, after in now.by_candidate.items()
        if each in then and after.f1
    ]
    sign = ground.measure.sign
    held = changes([(_scores(line), _scores(before)) for line, before, _, _ in both], baseline.data.train.rows, sign)
    found = changes([ground.pair(line, after) for line, _, after, _ in both], ground.rows, sign)
    findings = []
    for (line, _, _, name), was, change in zip(both, held, found, strict=True):
        title = f"{ground.measure.title}{ground.where}"
        words = f"{name}: {title} {change.after.mean:.4f} beside its {change.before.mean:.4f}"
        status: Status = "passed"
        if was.fell:
            status, words = "note", f"{words}: it was worse when it was pinned, and is held to nothing"
        elif change.fell:
            status, words = "failed", f"{words}: now worse by more than chance explains (p = {change.p:.2g}, corrected)"
        else:
            words += f" ({change.difference:+.4f})"
        findings.append(Finding("reference", line.name, status, words))
    return findings


def _scores(scores: CandidateScores) -> RepeatedF1:
    return RepeatedF1(scores.f1, scores.folds)


def _in_words(change: Change, ground: Ground) -> str:
    """What became of a candidate's scores."""
    measure = ground.measure
    where = f"{change.before.mean:.4f} → {change.after.mean:.4f} ({change.difference:+.4f}, {change.after.n} seeds)"
    title, better = measure.title + ground.where, measure.sign * change.difference
    fell, fall = ("fell", "fall") if measure.sign > 0 else ("rose", "rise")
    if not math.isfinite(change.difference):
        return f"{title} {where}: cannot be compared"
    if change.fell:
        return f"{title} {fell} {where}: more than chance explains (p = {change.p:.2g}, corrected)"
    if better >= 0:
        return f"{title} {where}"
    reason = f"less than {MARGIN:g}" if better > -MARGIN else "within chance"
    return f"{title} {where}: {reason} (p = {change.p:.2g}; a {fall} of {change.detectable:.3f} would be found)"
