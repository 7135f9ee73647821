"""A verdict for a pull request (markdown) and for a test dashboard (JUnit XML).

Names and messages may hold text from data sets and from the hub, which is hostile: in markdown it stands in code
elements with every character of meaning written as an entity, in XML through a serialiser.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from bench.errors import BenchError
from bench.files import atomic
from bench.gate.verdict import Verdict

TITLE = "bench check"
_MEANING = re.compile(r"[^\w\s.,:;=+()/–→×-]")
# all that XML 1.0 does not allow
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Reports:
    """The files that were asked for."""

    summary: Path | None
    cases: Path | None
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    @contextmanager
    def to(cls, markdown: Path | str | None, junit: Path | str | None) -> Iterator[Reports]:
        """Files for a check's outcome; where the block cannot run, they say that."""
        files = cls(None if markdown is None else Path(markdown), None if junit is None else Path(junit))
        try:
            yield files
        except BenchError as error:
            files._write(markdown_error(str(error)), junit_error(str(error), files._seconds))
            raise

    def write(self, verdict: Verdict) -> None:
        """A check that ran."""
        self._write(markdown(verdict), junit(verdict, self._seconds))

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self.started

    def _write(self, summary: str, cases: str) -> None:
        if self.summary is not None and str(self.summary) == os.environ.get("GITHUB_STEP_SUMMARY"):
            # other commands of the step write there too
            with self.summary.open("a", encoding="utf-8") as file:
                file.write(summary)
        elif self.summary is not None:
            with atomic(self.summary) as temporary:
                temporary.write_text(summary, encoding="utf-8")
        if self.cases is not None:
            with atomic(self.cases) as temporary:
                temporary.write_text(cases, encoding="utf-8")


def markdown(verdict: Verdict) -> str:
    """A heading, what failed, and a table of everything."""
    lines = [f"## {TITLE}: {'FAILED' if verdict.failed else 'passed'}", ""]
    if verdict.data:
        lines += [f"Data: {_code(verdict.data)}", ""]
    if verdict.failed:
        lines += [*(f"- {_code(finding.subject)}: {_code(finding.detail)}" for finding in verdict.failed), ""]
    lines += ["| | what | outcome | |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {finding.group} | {_code(finding.subject)} | {_outcome(finding.status)} | {_code(finding.detail)} |"
        for finding in verdict.findings
    ]
    return "\n".join(lines) + "\n"


def markdown_error(message: str) -> str:
    """The same where the check could not run."""
    return f"## {TITLE}: could not run\n\n{_code(message)}\n"


def _outcome(status: str) -> str:
    return f"**{status}**" if status in {"failed", "warning"} else status


def _code(text: str) -> str:
    return f"<code>{_MEANING.sub(lambda found: f'&#{ord(found[0])};', ' '.join(text.split()))}</code>"


def junit(verdict: Verdict, seconds: float) -> str:
    """One test case a comparison; a warning or a note is a passed case that says something."""
    suite = _suite(len(verdict.findings), len(verdict.failed), 0, seconds)
    suite.set("skipped", str(sum(finding.status == "skipped" for finding in verdict.findings)))
    for finding in verdict.findings:
        case = ET.SubElement(
            suite, "testcase", classname=f"bench.{finding.group}", name=_xml(finding.subject), time="0"
        )
        detail = _xml(finding.detail)
        if finding.status == "failed":
            ET.SubElement(case, "failure", message=detail, type=finding.group).text = detail
        elif finding.status == "skipped":
            ET.SubElement(case, "skipped", message=detail)
        else:
            ET.SubElement(case, "system-out").text = f"{finding.status}: {detail}"
    return _document(suite)


def junit_error(message: str, seconds: float) -> str:
    """One test case that ended in an error: the check could not run."""
    suite = _suite(1, 0, 1, seconds)
    case = ET.SubElement(suite, "testcase", classname="bench", name="check", time=f"{seconds:.3f}")
    ET.SubElement(case, "error", message=_xml(message), type="BenchError").text = _xml(message)
    return _document(suite)


def _suite(tests: int, failures: int, errors: int, seconds: float) -> ET.Element:
    counts = {"tests": tests, "failures": failures, "errors": errors}
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return ET.Element(
        "testsuite",
        {key: str(value) for key, value in counts.items()},
        name=TITLE,
        skipped="0",
        time=f"{seconds:.3f}",
        timestamp=started,
        hostname="localhost",
    )


def _document(suite: ET.Element) -> str:
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _xml(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
