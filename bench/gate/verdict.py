"""What a check found: the outcome of each comparison, and of all."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from bench.gate.rule import LEVEL, MARGIN, Change
from bench.notebook import Shown

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["passed", "failed", "warning", "note", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one comparison. `subject` is a model, a candidate, or the thing that was compared."""

    group: Literal["data", "model", "quality", "reference", "latency", "software", "history"]
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
