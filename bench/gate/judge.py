"""A baseline against what is measured now: what must be equal, what may differ by rounding, and what by chance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.datasets.dataset import Dataset
from bench.errors import listed
from bench.gate.baseline import Baseline, Data, ModelFacts
from bench.gate.quality import lines, quality
from bench.gate.rows import PinnedRows, relabelled, renamed
from bench.gate.verdict import Finding, Verdict

TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}
"""Root mean square of relative differences that rounding may cause. MiniLM moved by less than 1e-5 in float32 and 1e-2
in bfloat16 between instruction sets (SSE4.1, AVX2, AVX-512), numbers of threads and attention kernels; deeper models
move further. Another pooling, norm, prompt or weights moves values by 0.1 and more."""
SLOWER = 1.5
"""A relative latency that grew by more is worth a warning. A busy machine varies it by a fifth, other threads by a
third, another instruction set by more."""


def judge(
    baseline: Baseline, now: Baseline, fail_on_latency: float | None = None, moved: Sequence[Finding] = ()
) -> Verdict:
    """Compare; `fail_on_latency` is the growth of a model's relative latency beyond which the check fails.

    `moved` is what is said of rows that came and went.
    """
    findings = [*judge_data(baseline.data, now.data), *moved]
    if baseline.rows is not None and now.rows is not None:
        findings += _judge_labels(baseline.rows, now.rows)
    rows_went = baseline.data.train != now.data.train
    for name in baseline.models.keys() & now.models.keys():
        identity = now.models[name].identity
        tolerance = max(TOLERANCE[identity[key]] for key in ("dtype", "storage_dtype"))
        of_model = _model(name, baseline.models[name], now.models[name], tolerance, fail_on_latency)
        findings += map(_of_other_rows, of_model) if rows_went else of_model
    findings.sort(key=lambda finding: ("data", "model", "latency").index(finding.group))
    measure, found = quality(baseline, now)
    findings += [*found, *lines(baseline, now)]
    software = _changed(baseline.software, now.software)
    findings.append(Finding("software", "versions", "note" if software else "passed", software or "equal"))
    return Verdict(tuple(findings), measure.title, now.pinned.dataset.title)


def _judge_labels(then: PinnedRows, now: PinnedRows) -> Iterator[Finding]:
    """Classes that are called otherwise, came or went, and rows that are of another class than they were."""
    called = renamed(then, now)
    new = [name for name in now.labels if name not in then.labels and name not in called.values()]
    gone = [name for name in then.labels if name not in now.labels and name not in called]
    if called:
        detail = ", ".join(f"{old!r} is now {name!r}" for old, name in called.items())
        yield Finding("data", "renamed classes", "failed", f"{detail} (the same class to all scores)")
    if new:
        yield Finding("data", "new classes", "failed", f"{listed(new)}, which the baseline's candidates could not say")
    if gone:
        yield Finding("data", "classes that went", "failed", listed(gone))
    if names := relabelled(then, now):
        yield Finding("data", "rows with another label", "failed", f"{len(names)}: {listed(names)}")


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
