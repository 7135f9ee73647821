"""MLflow's own UI over our runs, in a real browser: what a user clicks must show our names."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow import MlflowClient
from test_search import Run, run, store  # noqa: F401 - fixtures

from bench.study.study import Study
from bench.tracking import MlflowTracker

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.pictures]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PICTURES = os.environ.get("BENCH_TEST_PICTURES")
"""A folder for screenshots, where a person wants to look."""


@pytest.fixture
def searched(run: Run, tmp_path: Path) -> tuple[Study, MlflowTracker]:  # noqa: F811
    tracker = MlflowTracker(tmp_path)
    return run(tracker), tracker


@pytest.fixture
def address(searched: tuple[Study, MlflowTracker], tmp_path: Path) -> Iterator[str]:
    """`bench ui` on a free port, in a folder whose mlruns/ is the study's."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "mlruns").symlink_to(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bench", "ui", "--port", str(port)]
    server = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait(30)
    # MLflow's server does not outlive the command
    for _ in range(20):
        with socket.socket() as free:
            if free.connect_ex(("127.0.0.1", port)):
                break
        time.sleep(0.5)
    else:
        raise AssertionError(f"something still listens on port {port}")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_front_filter_parallel_coordinates_and_scatter(
    searched: tuple[Study, MlflowTracker], address: str, tmp_path: Path
) -> None:
    from playwright.sync_api import Page, expect, sync_playwright
    from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

    result, tracker = searched
    client = MlflowClient(tracker.store.address)
    experiment = client.get_run(str(result.session.parent_run_id)).info.experiment_id
    front = [str(entry.run_id) for entry in result.front]
    names = [client.get_run(run_id).info.run_name for run_id in front]

    def picture(page: Page, name: str) -> None:
        if PICTURES:
            page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))

    with sync_playwright() as play:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = play.chromium.launch(executable_path=CHROMIUM, args=[*flags, "--disable-sync"])
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        expect.set_options(timeout=120_000)
        page.set_default_timeout(120_000)

        where = quote("tags.`bench.front` = 'true'")
        page.goto(f"{address}/#/experiments/{experiment}/runs?searchFilter={where}")
        # the front's runs are nested under their study; a table that is still filling may lack the button for good
        study = page.get_by_role("link", name=result.name, exact=True)
        expander = study.locator("xpath=ancestor::*[@role='gridcell']").locator("button").first
        for _ in range(4):
            try:
                expander.click(timeout=30_000)
                break
            except PlaywrightTimeoutError:
                page.reload()
        for name in names:
            expect(page.get_by_text(name, exact=True).first).to_be_visible()
        shown = page.get_by_role("link", name=re.compile("^(trial-|tfidf|late-fusion|single:)")).all_inner_texts()
        assert set(shown) == set(names), "the filter shows the front alone"
        picture(page, "front")

        # a list of runs begins without any score; the link that a search prints has them, the best first
        url = tracker.runs_url()
        assert url is not None
        page.goto(url.replace("http://127.0.0.1:5000", address))
        header = page.get_by_role("columnheader")
        for column in ("f1_floor", "accuracy_mean", "confirm_f1_mean"):
            expect(header.filter(has_text=re.compile(f"^{column}$")).first).to_be_visible()
        picture(page, "runs")

        ids = [run.info.run_id for run in client.search_runs([experiment], "tags.`bench.state` = 'complete'")]
        page.goto(
            f"{address}/#/compare-runs?runs={quote(json.dumps(ids))}&experiments={quote(json.dumps([experiment]))}"
        )
        expect(page.get_by_text("Parallel Coordinates Plot").first).to_be_visible()
        expect(page.locator(".js-plotly-plot, svg.main-svg").first).to_be_visible()
        text = page.locator("body").inner_text()
        # scores come first, so that costs are a choice further down
        assert all(name in text for name in ("fusion", "n_sources", "source_1.layer", "f1_mean"))
        picture(page, "parallel")
        page.get_by_text("Scatter Plot").first.click()
        expect(page.locator("svg.main-svg").first).to_be_visible()
        picture(page, "scatter")
        browser.close()
