"""Real services, started from installed programs as docs/scale/services.py does it, and what a search needs of them."""

# ruff: noqa: F811
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from fuzzing import LONG
from test_tracking_failures import folder, hasty, nested, searched, undisturbed, whole  # noqa: F401 - fixtures

from bench.cli.main import cli
from bench.tracking import MlflowTracker
from bench.tracking.mlflow import patience

SCALE = Path(__file__).parents[1] / "docs" / "scale"
sys.path.append(str(SCALE))
import services as local  # noqa: E402

missing = local.lacking()


@pytest.fixture(scope="module")
def running() -> Iterator[local.Services]:
    if missing is not None:
        pytest.skip(missing)
    with local.services() as found:
        yield found


@pytest.mark.slow
@pytest.mark.long
def test_postgresql_and_mlflow_are_restarted_in_mid_study_at_no_cost(
    running: local.Services,
    folder: Path,
    undisturbed: tuple[Path, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "PATIENCE", 120.0)
    address, log, trials = running.mlflow.address, MlflowTracker.log, list[Any]()
    restarting = list[threading.Thread]()
    stopped: dict[int, local.Service] = {2: running.postgres}
    if LONG:  # `tox -e long`: MLflow takes a minute to come back on a busy machine
        stopped[3] = running.mlflow

    def disturbed(self: MlflowTracker, record: Any) -> Any:
        trials.append(record)
        service = stopped.get(len(trials))
        if service is not None:
            service.stop()
            restarting.append(threading.Thread(target=service.start))
            restarting[-1].start()
        return log(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowTracker, "log", disturbed)
        found, words, status = searched("--tracking-uri", address)
    for each in restarting:
        each.join()
    assert (status, found["untracked"], len(restarting)) == (0, None, len(stopped)), words
    expected = f"sqlite:///{undisturbed[0] / 'mlruns' / 'mlflow.db'}"
    assert nested(address, found["parent_run_id"]) == nested(expected, undisturbed[1]["parent_run_id"])
    # files went through the server to the object store
    names = running.objects.names()
    assert sum(name.endswith("/candidate.json") for name in names) >= len(trials) // 2
    assert any(name.endswith(f"{found['parent_run_id']}/artifacts/front.csv") for name in names)
    # the same command tries nothing anew, and a report goes there too
    again, _, status = searched("--tracking-uri", address)
    assert (status, again["trials"], again["parent_run_id"]) == (0, found["trials"], found["parent_run_id"])
    ran = CliRunner().invoke(cli, ["report", found["study"], "--tracking-uri", address])
    assert ran.exception is None, ran.output
    assert any(name.endswith("report.html") for name in running.objects.names())


def test_the_compose_file_has_these_services_and_no_password() -> None:
    compose = yaml.safe_load((SCALE / "compose.yaml").read_text("utf-8"))
    services, volumes = compose["services"], compose["volumes"]
    assert set(services) == {"postgres", "objects", "bucket", "mlflow", "worker-1", "worker-2"}
    for name, service in services.items():
        assert ("image" in service) != ("build" in service), name
        for needed in service.get("depends_on", ()):
            assert needed in services
        for mounted in service.get("volumes", ()):
            assert mounted.partition(":")[0] in volumes
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), "loopback only"
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable or "SECRET" in variable:
                assert value.startswith("${"), f"{name}: {variable} stands in the file"
    for name in ("worker-1", "worker-2"):
        words = services[name]["command"]
        command = cli.commands[words[1]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, name
