"""A baseline against what is measured now: what must be equal, what may differ by rounding, and what by chance."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bench.datasets.dataset import Dataset
from bench.errors import listed
from bench.gate.baseline import Baseline, CandidateScores, Data, ModelFacts, describe
from bench.gate.rows import on_stayed, relabelled, score_by, stayed
from bench.gate.rule import LEVEL, MARGIN, Change, RepeatedF1, changes
from bench.notebook import Shown

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["passed", "failed", "warning", "note", "skipped"]

TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}
"""Root mean square of relative differences that rounding may cause. MiniLM moved by less than 1e-5 in float32 and 1e-2
in bfloat16 between instruction sets (SSE4.1, AVX2, AVX-512), numbers of threads and attention kernels; deeper models
move further. Another pooling, norm, prompt or weights moves values by 0.1 and more."""
SLOWER = 1.5
"""A relative latency that grew by more is worth a warning. A busy machine varies it by a fifth, other threads by a
third, another instruction set by more."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one comparison. `subject` is a model, a candidate, or the thing that was compared."""

    group: Literal["data", "model", "quality", "latency", "software", "history"]
    subject: str
    status: Status
    detail: str
    change: Change | None = None
    beside: Mapping[str, tuple[float | None, float]] = field(default_factory=dict)
    """Means of measures that are only shown, by title: of the baseline (None of earlier versions'), and now."""


@dataclass(frozen=True, repr=False)
class Verdict(Shown):
    """All findings of a check, what its scores are called, and the data set for people."""

    findings: tuple[Finding, ...]
    measure: str = "score"
    data: str = ""

    @property
    def shown_words(self) -> str:
        """The outcome."""
        return f"{self.summary}."

    def to_frame(self) -> "pd.DataFrame":
        """A row a finding."""
        import pandas as pd

        rows = [
            {"status": each.status, "group": each.group, "subject": each.subject, "detail": each.detail}
            for each in self.findings
        ]
        return pd.DataFrame(rows)

    def beside(self, findings: tuple[Finding, ...]) -> "Verdict":
        """The same with more findings."""
        return replace(self, findings=(*self.findings, *findings))

    @property
    def failed(self) -> tuple[Finding, ...]:
        """Those that fail the check."""
        return tuple(finding for finding in self.findings if finding.status == "failed")

    @property
    def summary(self) -> str:
        """The outcome in a sentence."""
        warned = sum(finding.status == "warning" for finding in self.findings)
        beside = f", {warned} with a warning" if warned else ""
        if self.failed:
            return f"FAILED: {len(self.failed)} of {len(self.findings)} comparisons{beside}"
        return f"passed: {len(self.findings)} comparisons{beside}"

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON values; what is unknown (a spread over one seed) is null."""
        return {
            "passed": not self.failed,
            "rule": {"level": LEVEL, "margin": MARGIN},
            "findings": [_known(asdict(finding)) for finding in self.findings],
        }


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _known(each) for key, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def judge(
    baseline: Baseline, now: Baseline, fail_on_latency: float | None = None, moved: Sequence[Finding] = ()
) -> Verdict:
    """Compare; `fail_on_latency` is the growth of a model's relative latency beyond which the check fails.

    `moved` is what is said of rows that came and went.
    """
    findings = [*judge_data(baseline.data, now.data), *moved]
    if baseline.rows is not None and now.rows is not None and (names := relabelled(baseline.rows, now.rows)):
        detail = f"{len(names)}: {listed(names)}"
        findings.append(Finding("data", "rows with another label", "failed", detail))
    rows_went = baseline.data.train != now.data.train
    for name in baseline.models.keys() & now.models.keys():
        identity = now.models[name].identity
        tolerance = max(TOLERANCE[identity[key]] for key in ("dtype", "storage_dtype"))
        of_model = _model(name, baseline.models[name], now.models[name], tolerance, fail_on_latency)
        findings += map(_of_other_rows, of_model) if rows_went else of_model
    findings.sort(key=lambda finding: ("data", "model", "latency").index(finding.group))
    same = [(each.data.train, each.pinned.protocol, each.measure) for each in (baseline, now)]
    same_rows = same[0] == same[1]
    findings += _quality(baseline, now, same_rows=same_rows)
    software = _changed(baseline.software, now.software)
    findings.append(Finding("software", "versions", "note" if software else "passed", software or "equal"))
    return Verdict(tuple(findings), now.measure.title, now.pinned.dataset.title)


def _of_other_rows(finding: Finding) -> Finding:
    """What of a model depends on the rows is no fault of the model where these are others."""
    if finding.status == "failed" and finding.subject.endswith((": counts", ": values")):
        return replace(finding, status="skipped", detail=f"of other rows ({finding.detail})")
    return finding


def judge_rows(dataset: Dataset) -> list[Finding]:
    """The rows that came since they were pinned, which are left out, and those that went."""
    grown, findings = dataset.grown, []
    if grown is None:
        return []
    came = [name for names in dataset.came.values() for name in names]
    if came:
        train, test = grown.rows["train"], grown.rows["test"]
        where = f"{train} to train on and {test} to test on, left out until the baseline is updated"
        findings.append(Finding("data", "rows that came", "warning", f"{len(came)}: {listed(came)} ({where})"))
    if went := [name for names in grown.gone.values() for name in names]:
        findings.append(Finding("data", "rows that went", "failed", f"{len(went)}: {listed(went)}"))
    return findings


def judge_data(then: Data, now: Data) -> list[Finding]:
    """Whether the rows are the same."""
    findings = []
    for side in ("train", "test"):
        before, after = getattr(then, side), getattr(now, side)
        if before == after:
            findings.append(Finding("data", f"{side} rows", "passed", f"{after.rows} rows, {after.contents}"))
        else:
            detail = f"texts, labels, groups or their order changed: {_changed(dict(before), dict(after))}"
            findings.append(Finding("data", f"{side} rows", "failed", detail))
    if then.labels != now.labels:
        findings.append(Finding("data", "labels", "failed", f"{then.labels} → {now.labels} labels"))
    return findings


def _model(
    name: str, then: ModelFacts, now: ModelFacts, tolerance: float, fail_on_latency: float | None
) -> Iterator[Finding]:
    identity = _changed(then.identity, now.identity)
    yield Finding("model", f"{name}: identity", "failed" if identity else "passed", identity or "equal")
    counted = {"texts": 0, "tokens": 0, "truncated": 0}
    counts = [{key: getattr(facts, key) for key in counted} for facts in (then, now)]
    yield Finding(
        "model",
        f"{name}: counts",
        "passed" if counts[0] == counts[1] else "failed",
        _changed(*counts) or f"{now.texts} texts, {now.tokens} tokens, {now.truncated} truncated",
    )
    yield _values(name, then, now, tolerance)
    if environment := _changed(then.environment, now.environment):
        yield Finding("model", f"{name}: environment", "note", environment)
    yield _latency(name, then.latency, now.latency, fail_on_latency)


def _values(name: str, then: ModelFacts, now: ModelFacts, tolerance: float) -> Finding:
    subject = f"{name}: values"
    if then.places != now.places or then.values.keys() != now.values.keys():
        return Finding("model", subject, "skipped", "taken at other texts, layers or dimensions")
    distances = {slot: distance(then.values[slot], now.values[slot]) for slot in then.values}
    worst = max(distances, key=lambda slot: distances[slot])
    detail = f"relative difference {distances[worst]:.1g} at {worst}, {tolerance:g} allowed"
    return Finding("model", subject, "passed" if distances[worst] <= tolerance else "failed", detail)


def distance(then: Any, now: Any) -> float:
    """Root mean square of the relative differences of two [rows, dimensions] of values.

    A difference is relative to its value, or to the median size of all where the value is smaller; the few dimensions
    of massive activations then weigh no more than the others.
    """
    before, after = np.asarray(then, dtype=np.float64), np.asarray(now, dtype=np.float64)
    size = np.maximum(np.abs(before), np.median(np.abs(before)))
    off = np.abs(after - before)
    return float(np.sqrt(np.mean(np.square(np.divide(off, size, out=np.sign(off), where=size > 0)))))


def _latency(name: str, then: float, now: float, fail_on: float | None) -> Finding:
    growth = now / then
    detail = f"{then:.2f} → {now:.2f} times the reference ({growth:.2f} ×)"
    if fail_on is not None and growth > fail_on:
        return Finding("latency", name, "failed", f"{detail}, more than the {fail_on:g} × allowed")
    if growth > SLOWER:
        return Finding("latency", name, "warning", f"{detail}, more than {SLOWER:g} ×")
    return Finding("latency", name, "passed", detail)


def _quality(baseline: Baseline, now: Baseline, *, same_rows: bool) -> list[Finding]:
    then = baseline.by_candidate
    pairs = {each: (then[each], after) for each, after in now.by_candidate.items() if each in then}
    trained = [(_scores(before), _scores(after)) for before, after in pairs.values() if after.f1]
    rows, where = now.data.train.rows, ""
    if not same_rows:
        old, new, protocol = baseline.rows, now.rows, now.pinned.protocol
        rows = 0 if old is None or new is None else len(stayed(old, new)[0])
        if (
            old is None
            or new is None
            or baseline.pinned.protocol != protocol
            or baseline.measure != now.measure
            or 2 * rows < baseline.data.train.rows
        ):
            words = "not compared: the rows, the folds or the measure are others than the baseline's"
            return [Finding("quality", describe(each), "skipped", words) for each in pairs]
        score = score_by(now.measure, protocol.classes)
        both = [(before, after) for before, after in pairs.values() if after.f1]
        trained = [on_stayed(old, new, before.predicted, after.predicted, score) for before, after in both]
        where = f" on the {rows} of {baseline.data.train.rows} rows that stayed"
    found = iter(changes(trained, rows))
    findings = []
    for candidate, (before, after) in pairs.items():
        if not after.f1:
            findings.append(Finding("quality", describe(candidate), "failed", "its training diverges"))
            continue
        change = next(found)
        # what cannot be compared has not been shown to hold
        status: Status = "passed" if math.isfinite(change.difference) and not change.fell else "failed"
        words = in_words(change, now.measure.title + where)
        beside = {each.title: (before.means.get(each.name), after.means[each.name]) for each in now.pinned.beside}
        for title, (then_mean, mean) in beside.items():
            words += f"; {title} {'–' if then_mean is None else f'{then_mean:.4f}'} → {mean:.4f}"
        findings.append(Finding("quality", describe(candidate), status, words, change, beside))
    return findings


def _scores(scores: CandidateScores) -> RepeatedF1:
    return RepeatedF1(scores.f1, scores.folds)


def in_words(change: Change, measure: str) -> str:
    """What became of a candidate's scores by the measure of that title."""
    where = f"{change.before.mean:.4f} → {change.after.mean:.4f} ({change.difference:+.4f}, {change.after.n} seeds)"
    if not math.isfinite(change.difference):
        return f"{measure} {where}: cannot be compared"
    if change.fell:
        return f"{measure} fell {where}: more than chance explains (p = {change.p:.2g}, corrected)"
    if change.difference >= 0:
        return f"{measure} {where}"
    reason = f"less than {MARGIN:g}" if change.difference > -MARGIN else "within chance"
    return f"{measure} {where}: {reason} (p = {change.p:.2g}; a fall of {change.detectable:.3f} would be found)"


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """``key: old → new`` of what differs; empty where nothing does."""
    keys = dict.fromkeys([*then, *now])
    return ", ".join(
        f"{key}: {_short(then.get(key, 'absent'))} → {_short(now.get(key, 'absent'))}"
        for key in keys
        if then.get(key) != now.get(key)
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:16]}…"
