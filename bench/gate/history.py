"""What checks found, one after the other, in a file of JSON lines: by it a slow fall is seen.

A check holds scores against the baseline's. A fall that is within the chance of these rows passes it, today and in
every check to come, however steadily it grows. So each check is written down, and the order of what was found is tested
(see `bench.metrics.sequence`): if it means nothing, this calls a change point in at most `LEVEL` of the histories of a
baseline, however long they become and however often they are looked at. Checks that compute what the one before them
did add nothing, and count once with it.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from bench.errors import BenchError, counted
from bench.files import atomic
from bench.gate.baseline import Baseline, describe
from bench.gate.rule import LEVEL, MARGIN
from bench.gate.verdict import Finding, Verdict
from bench.metrics import capital, change_point, ranks
from bench.specs import Spec, fingerprint

DIGITS = 6


class PastCheck(Spec):
    """A check that ran: `differences` of each candidate's mean score to the baseline's, by its fingerprint."""

    time: str
    baseline: str
    passed: bool
    differences: dict[str, float]
    software: dict[str, str]


def noted(path: Path, baseline: Baseline, verdict: Verdict, software: dict[str, str]) -> Verdict:
    """Append a check to the history, and say with its verdict whether scores have begun to fall.

    Raises:
        BenchError: the file is no history, or cannot be read; it is left as it is.
    """
    found = [finding for finding in verdict.findings if finding.group == "quality"]
    scored = zip(baseline.pinned.candidates, found, strict=True) if len(found) == len(baseline.scores) else ()
    check = PastCheck(
        time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        baseline=fingerprint([each.model_dump(mode="json") for each in baseline.scores]),
        passed=not verdict.failed,
        differences={
            candidate.fingerprint(): round(finding.change.difference, DIGITS)
            for candidate, finding in scored
            if finding.change is not None and finding.change.difference == finding.change.difference
        },
        software=software,
    )
    past = [*read(path), check]
    with atomic(path) as temporary:
        lines = (json.dumps(each.model_dump(mode="json"), ensure_ascii=False, allow_nan=False) for each in past)
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    checks = [each for each in past if each.baseline == check.baseline]
    return verdict.beside(tuple(_findings(baseline, checks)))


def read(path: Path) -> list[PastCheck]:
    """The checks of a history, the oldest first; none where there is no file yet.

    Raises:
        BenchError: it cannot be read, or a line is no check.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise BenchError(f"The history {path} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(PastCheck.model_validate_json(line))
        except ValidationError as error:
            raise BenchError(
                f"The history {path} is not valid: line {number} is no check. Remove that line, or give another file."
            ) from error
    return found


def _findings(baseline: Baseline, checks: Sequence[PastCheck]) -> Iterator[Finding]:
    measure, fallen = baseline.measure, 0
    for candidate in baseline.pinned.candidates:
        series = different(checks, candidate.fingerprint())
        # a fall is what is worse
        values = [0.0, *(measure.sign * value for _, value in series)]
        # a candidate a gambler: with as many, one of them is as rarely lucky as a single one
        if capital(ranks(values, seed=len(baseline.scores))).max() < len(baseline.scores) / LEVEL:
            continue
        place = change_point(values)
        before, after = sum(values[:place]) / place, sum(values[place:]) / (len(values) - place)
        if after - before > -MARGIN:
            continue
        fallen += 1
        detail = (
            f"{measure.title} is {before - after:.4f} {'lower' if measure.sign > 0 else 'higher'} since the check of "
            f"{series[place - 1][0]}, in the mean of "
            f"{len(values) - place} results after {place}: within chance in each, and not in their order"
        )
        yield Finding("history", describe(candidate), "failed", detail)
    if not fallen:
        results = max((len(different(checks, each.fingerprint())) for each in baseline.pinned.candidates), default=0)
        told = f"{counted(len(checks), 'check')} of this baseline, {results} different in turn: no change point"
        yield Finding("history", "scores of past checks", "passed", told)


def different(checks: Sequence[PastCheck], candidate: str) -> list[tuple[str, float]]:
    """Time and difference of a candidate's results that are not those of the check before."""
    found: list[tuple[str, float]] = []
    for check in checks:
        value = check.differences.get(candidate)
        if value is not None and value != (found[-1][1] if found else 0.0):
            found.append((check.time, value))
    return found
