"""A person starts a night in a real browser: Prefect's form on the servers of a real `nightshift up`."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.ui.browser import seen_by
from tests.up import Up

pytestmark = [pytest.mark.ui, pytest.mark.timeout(600)]


class Place(Up):
    """The servers of one `up`."""

    def nightly(self) -> str:
        return httpx.get(f"{self.prefect}/api/deployments/name/nightly/nightly").raise_for_status().json()["id"]

    def runs(self) -> list[dict[str, Any]]:
        """Runs a person started."""
        found = httpx.post(f"{self.prefect}/api/flow_runs/filter", json={}).raise_for_status().json()
        return [run for run in found if not run["auto_scheduled"]]


@pytest.fixture
def place(tmp_path: Path, tiny_recipe: Path) -> Iterator[Place]:
    up = Place(tmp_path)
    up.command("init", str(tiny_recipe))
    up.start()
    try:
        yield up
    finally:
        up.stop()


def test_a_night_is_started_by_a_form_that_refuses_nonsense_and_its_version_is_seen_in_mlflow(
    place: Place, chromium: Browser, tiny_recipe: Path, tmp_path: Path
) -> None:
    page = seen_by(chromium, place, "approver")
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
