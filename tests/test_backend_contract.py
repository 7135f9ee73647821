"""The contract suite for backends, for each that is registered."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts.backends import BackendContract, figures

from bench.backends.base import BACKENDS

__all__ = ["figures"]
pytest_plugins = ["pytester"]


class TestBackends(BackendContract):
    pass


@pytest.fixture
def toy() -> Iterator[str]:
    """A backend as a plugin would register it, for one test."""
    BACKENDS.add("toy", "contracts.toy")
    yield "toy"
    del BACKENDS._entries["toy"]


def test_a_registered_backend_has_its_suite_collected_and_passes(
    toy: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = pytester.path / "report.json"
    monkeypatch.setenv("BENCH_TEST_REPORT", str(report))
    items, _ = pytester.inline_genitems(Path(__file__))
    suite = [item for item in items if f"[{toy}-" in item.name]
    assert len(suite) == sum("[transformers-" in item.name for item in items) >= 30
    run = pytester.inline_run("-k", f"{toy}-encoder", "-p", "no:cacheprovider", str(Path(__file__)))
    run.assertoutcome(passed=len(suite) // 3)
    found = json.loads(report.read_text())
    assert {each["check"] for each in found["figures"]} == {"beside transformers", "alone", "speed"}
    assert found["versions"]["torch"]
