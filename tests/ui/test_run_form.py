"""A person starts a night in a real browser: Prefect's form on the servers of a real `nightshift up`."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from infra.processes import marked
from infra.settings import ROOT, Settings, child_environment

pytestmark = [pytest.mark.ui, pytest.mark.timeout(600)]

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Place:
    """The servers of one `up`, and the folder they keep their state in."""

    def __init__(self, home: Path, prefect: str, mlflow: str) -> None:
        self.home, self.prefect, self.mlflow = home, prefect, mlflow

    def nightly(self) -> str:
        return httpx.get(f"{self.prefect}/api/deployments/name/nightly/nightly").raise_for_status().json()["id"]

    def runs(self) -> list[dict[str, Any]]:
        """Runs a person started."""
        found = httpx.post(f"{self.prefect}/api/flow_runs/filter", json={}).raise_for_status().json()
        return [run for run in found if not run["auto_scheduled"]]


@pytest.fixture
def place(tmp_path: Path, tiny_recipe: Path) -> Iterator[Place]:
    home = tmp_path / "home"
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
    settings = Settings.model_validate({"home": home, "prefect_port": ports[0], "mlflow_port": ports[1]})
    home.mkdir()
    environment = {
        **child_environment(settings),
        "NIGHTSHIFT_PREFECT_PORT": str(ports[0]),
        "NIGHTSHIFT_MLFLOW_PORT": str(ports[1]),
    }
    command = [sys.executable, "-m", "flows.cli"]
    subprocess.run([*command, "init", str(tiny_recipe)], cwd=ROOT, env=environment, check=True, capture_output=True)
    log = tmp_path / "up.txt"
    with log.open("w") as output:
        up = subprocess.Popen([*command, "up"], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 180
        while not settings.up_file.exists():
            assert up.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.3)
        yield Place(home, f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(90) == 0, log.read_text()
        assert marked(home) == {}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    chromium = shutil.which("chromium") or os.environ.get("CHROMIUM")
    assert chromium, "no chromium: install Debian's package, or set CHROMIUM to the program"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser.new_page(viewport={"width": 1300, "height": 1000})
        browser.close()


def test_a_night_is_started_by_a_form_that_refuses_nonsense_and_its_version_is_seen_in_mlflow(
    place: Place, page: Page, tiny_recipe: Path, tmp_path: Path
) -> None:
    page.goto(f"{place.prefect}/deployments/deployment/{place.nightly()}")
    expect(page.get_by_text("At 02:00 AM every day")).to_be_visible(timeout=30_000)
    expect(page.get_by_text("auto-scheduled")).to_be_visible(timeout=60_000)

    # the form: described, with defaults
    page.goto(f"{place.prefect}/deployments/deployment/{place.nightly()}/run")
    recipe = page.locator("textarea").first
    expect(recipe).to_have_value("recipes/demo.toml", timeout=30_000)
    expect(page.get_by_text("what to train, and how it is judged")).to_be_visible()
    expect(page.get_by_text("makes the night not promotable")).to_be_visible()

    # nonsense is refused by name, and nothing starts
    recipe.fill("no recipe")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("Validation failed for field 'recipe'").first).to_be_visible(timeout=30_000)
    assert place.runs() == []

    # a night
    recipe.fill(str(tiny_recipe))
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("1 Flow run")).to_be_visible(timeout=60_000)
    end = time.monotonic() + 300
    while (run := place.runs()[0])["state"]["type"] not in ("COMPLETED", "FAILED", "CRASHED"):
        assert time.monotonic() < end, run["state"]
        time.sleep(1)
    assert run["state"]["type"] == "COMPLETED", run["state"]

    # its summary is an artifact of the run; its version, with the verdict, is in the registry
    page.goto(f"{place.prefect}/artifacts/key/night")
    expect(page.get_by_text("PASS").first).to_be_visible(timeout=30_000)
    page.screenshot(path=tmp_path / "night.png")
    page.goto(f"{place.mlflow}/#/models/tiny/versions/2")
    expect(page.get_by_text("PASS: on all 4 suites").first).to_be_visible(timeout=30_000)
    page.screenshot(path=tmp_path / "version.png")
