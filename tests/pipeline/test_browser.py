"""A person at the Dagster UI in a real browser: an edit shows, is brought up to date, and a
checkpoint's page leads to its training and back."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.pipeline.test_end_to_end import AFTER_SAGE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE = 600  # seconds for what takes a few on a quiet machine
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium here: `apt-get install chromium` to test the UI")


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def until(true, what):
    """Wait."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() < started + PATIENCE, f"not within {PATIENCE} s: {what}"
        time.sleep(0.3)


class Ui:
    """`rowgraph ui` over a finished home, and its GraphQL."""

    def __init__(self, world):
        self.dagster, self.mlflow = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.log = world.home.parent / "ui.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", "ui", "--profile", str(world.profile),
                 "--port", self.dagster.split(":")[-1],
                 "--mlflow-port", self.mlflow.split(":")[-1]],
                stdout=log, stderr=subprocess.STDOUT, env={
                    **os.environ, "ROWGRAPH_HOME": str(world.home), "ROWGRAPH_PROFILE": "",
                    "ROWGRAPH_DATABASES": str(world.databases)})

    def ask(self, query):
        request = urllib.request.Request(
            f"{self.dagster}/graphql", json.dumps({"query": query}).encode(),
            {"Content-Type": "application/json"})
        return json.loads(urllib.request.urlopen(request, timeout=30).read())["data"]

    def up(self):
        try:
            names = self.ask("{ workspaceOrError { __typename ... on Workspace "
                             "{ locationEntries { name loadStatus } } } }")
            urllib.request.urlopen(self.mlflow, timeout=30)
            return names["workspaceOrError"]["locationEntries"][0]["loadStatus"] == "LOADED"
        except OSError:
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            return False

    def stale(self):
        nodes = self.ask("{ assetNodes { assetKey { path } staleStatus } }")["assetNodes"]
        return sorted("/".join(n["assetKey"]["path"]) for n in nodes if n["staleStatus"] == "STALE")

    def runs(self):
        """Ids of the runs, newest first."""
        found = self.ask("{ runsOrError { ... on Runs { results { runId } } } }")
        return [run["runId"] for run in found["runsOrError"]["results"]]

    def close(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)


@pytest.fixture
def ui(world):
    """The UI, usable."""
    served = Ui(world)
    try:
        until(served.up, "both pages usable")
        yield served
    finally:
        served.close()


@pytest.fixture
def page():
    """A page of a headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1500, "height": 950})
        opened.set_default_timeout(120_000)
        yield opened
        browser.close()


@pytest.mark.timeout(2 * PATIENCE)  # 75 s on two quiet cores; five times that beside other work
def test_an_edit_shows_is_brought_up_to_date_and_its_page_leads_to_the_training(world, ui, page):
    page.goto(f"{ui.dagster}/asset-groups")
    page.get_by_text("sage_weights").first.wait_for()
    assert page.locator("[aria-modal=true]").count() == 0  # nothing lies over the first page
    assert ui.stale() == []

    world.profile.write_text(world.profile.read_text().replace(
        "learning_rate: 0.01}", "learning_rate: 0.02}"))
    until(lambda: ui.stale() == sorted(AFTER_SAGE), "exactly the right assets out of date")

    page.locator("button", has_text="Materialize all").locator("xpath=following::button[1]").click()
    page.get_by_text("Materialize unsynced").click()
    confirm = page.get_by_role("button", name=f"Materialize {len(AFTER_SAGE)} assets")
    confirm.wait_for()
    dialog = page.locator("[aria-modal=true]").inner_text()
    assert all(name.replace("/", " / ") in dialog for name in AFTER_SAGE)
    known = ui.runs()
    confirm.click()
    until(lambda: len(ui.runs()) > len(known), "a run of what is out of date")

    page.goto(f"{ui.dagster}/runs/{ui.runs()[0]}")
    page.get_by_placeholder("Filter…").fill("sage_weights: step")
    step = page.get_by_text(re.compile(r"sage_weights: step \d+ of \d+")).first
    step.wait_for(timeout=PATIENCE * 1000)
    until(lambda: ui.stale() == [], "everything up to date again")

    page.goto(f"{ui.dagster}/assets/sage_weights")
    page.get_by_text("mlflow_run").first.wait_for()
    assert page.get_by_text("Unsynced").count() == 0
    link = page.locator(f"a[href^='{ui.mlflow}']").first.get_attribute("href")
    page.goto(link)
    page.get_by_text("sage_weights").first.wait_for()
    back = page.locator(f"a[href^='{ui.dagster}/assets/sage_weights']").first
    back.wait_for()
    page.goto(back.get_attribute("href"))
    page.get_by_text("Latest materialization").first.wait_for()
