"""The joined path in a real browser: log in to MLflow, read the report, set the tag; the model serves, records say why.

On a real `nightshift up` after a real night of a tiny model. It makes the screenshots in docs/images where
NIGHTSHIFT_SCREENSHOTS names that folder.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from infra.ledger import ledger_path, read_ledger
from infra.registry_guard.journal import journal_path, verify
from infra.store import Blob, Store
from tasks.contracts import Evidence, Model
from tasks.registry.client import model_tags
from tests.ui.browser import seen_by
from tests.up import Up

pytestmark = [pytest.mark.ui, pytest.mark.timeout(1200)]

NAME = "tiny"
SECONDS = 15.0  # what a person waits for after the click


@pytest.fixture
def up(tmp_path: Path, tiny_recipe: Path) -> Iterator[Up]:
    made = Up(tmp_path)
    made.command("init", str(tiny_recipe))
    made.command("run", str(tiny_recipe))
    made.start()
    try:
        yield made
    finally:
        made.stop()


def screenshot(page: Page, folder: Path, name: str) -> None:
    page.screenshot(path=Path(os.environ.get("NIGHTSHIFT_SCREENSHOTS", folder)) / f"{name}.png")


def set_approval(page: Page, up: Up, version: int, value: str) -> None:
    """As a person does it: the pencil beside the tag, the new value, Save."""
    page.goto(f"{up.mlflow}/#/models/{NAME}/versions/{version}")
    row = page.get_by_role("row").filter(has=page.get_by_text("approval", exact=True))
    expect(row).to_be_visible(timeout=60_000)
    row.get_by_role("button").first.click()
    page.get_by_test_id("editable-table-edited-input").fill(value)
    page.get_by_test_id("editable-table-button-save").click()


def wait_for_champion(up: Up, version: int) -> float:
    """Seconds until the alias names this version."""
    begun = time.monotonic()
    while up.aliases(NAME).get("champion") != version:
        assert time.monotonic() - begun < 4 * SECONDS, (up.home / "logs" / "promoter.log").read_text()[-3000:]
        time.sleep(0.2)
    return time.monotonic() - begun


def records_say(up: Up, version: int, who: str) -> None:
    """Manifest, ledger and the guard's journal: which version, and who decided."""
    path = up.home / "serving" / f"{NAME}.json"
    end = time.monotonic() + SECONDS
    while not path.exists() or json.loads(path.read_text())["version"] != version:
        assert time.monotonic() < end
        time.sleep(0.2)
    manifest = json.loads(path.read_text())
    assert (manifest["approved_by"], manifest["verdict"]) == ([who], "PASS")
    last = read_ledger(ledger_path(up.home, NAME))[-1]
    assert (last.kind, last.body["version"], last.body["by"]) == ("promotion", version, who)
    assert manifest["ledger"] == {"seq": last.seq, "digest_": last.digest}
    lines = read_ledger(journal_path(up.home))
    decided = [one for one in lines if one.kind == "done" and one.body["change"].get("value") == "approved"]
    assert [(one.body["user"], one.body["change"]["version"]) for one in decided][-1] == (who, str(version))
    assert verify(journal_path(up.home)) == []


def another_version(up: Up) -> int:
    """A planted candidate: the evidence of the night's version, as if another adapter had been judged against it.

    Registered by the trainer's account through the guarded server. A night would take minutes to make one.
    """
    from infra.mlflow_requests import Login, acting_as
    from infra.tracking import Tracker
    from tasks.registry.client import Registry

    store, tags = Store(up.home / "store"), up.tags(NAME, 2)
    evidence = Evidence.model_validate_json(store.read_bytes(Blob.model_validate_json(tags["nightshift.evidence"])))
    assert evidence.model.adapter is not None
    folder = up.home / "planted"
    store.checkout(evidence.model.adapter, folder)
    (folder / "README.txt").write_text("planted by a test")
    model = Model(base=evidence.model.base, adapter=store.put_tree(folder))
    verdict = evidence.verdict.model_copy(update={"candidate": model.digest, "champion": evidence.model.digest})
    planted = evidence.model_copy(update={"model": model, "verdict": verdict, "champion": evidence.model.digest})
    blob = store.put_bytes(planted.model_dump_json().encode(), "application/json")
    kept = {key: value for key, value in tags.items() if key.startswith("nightshift.") and key != "nightshift.promoted"}
    expires = {"approval": "requested", "approval.expires": tags["approval.expires"]}
    named = {"nightshift.key": planted.key, "nightshift.evidence": blob.model_dump_json()}
    login = Login("trainer", up.passwords["trainer"])
    with acting_as(login):
        registry = Registry(Tracker(up.mlflow, up.home / "mlartifacts").client, NAME, login=login)
        made = {**kept, **named, **model_tags(model, planted.trained_on, store), **expires}
        return registry.create("store:/planted", None, made, "A planted candidate")


def test_an_approver_reads_the_report_sets_the_tag_and_the_model_serves_within_seconds_also_after_a_restart(
    up: Up, chromium: Browser, tmp_path: Path
) -> None:
    assert up.aliases(NAME) == {"anchor": 1, "champion": 1}

    # the trainer may not, and is told why, where they tried
    page = seen_by(chromium, up, "trainer")
    set_approval(page, up, 2, "approved")
    expect(page.get_by_text("trainer (trainer) may not set approval = 'approved'").first).to_be_visible(timeout=30_000)
    page.wait_for_timeout(1000)  # the message slides in
    screenshot(page, tmp_path, "approval-refused")
    assert up.tags(NAME, 2)["approval"] == "requested"

    # the approver reads the report, which lies with the version's run
    page = seen_by(chromium, up, "approver")
    page.goto(f"{up.mlflow}/#/models/{NAME}/versions/2")
    page.get_by_role("link", name=up.tags(NAME, 2)["nightshift.night_name"]).click()
    page.get_by_role("tab", name="Artifacts").or_(page.get_by_role("link", name="Artifacts")).first.click()
    page.get_by_text("report.html").first.click()
    report = page.frame_locator("iframe").first
    expect(report.get_by_text("PASS").first).to_be_visible(timeout=60_000)
    screenshot(page, tmp_path, "approval-report")

    # and approves
    set_approval(page, up, 2, "approved")
    took = wait_for_champion(up, 2)
    assert took <= SECONDS, f"champion moved after {took:.1f} s"
    print(f"champion moved {took:.1f} s after the click")
    records_say(up, 2, "approver")
    page.reload()
    expect(page.get_by_text("champion").first).to_be_visible(timeout=60_000)
    screenshot(page, tmp_path, "approval-promoted")

    # once more, after all servers were started anew
    up.stop()
    up.start()
    third = another_version(up)
    page = seen_by(chromium, up, "trainer")
    set_approval(page, up, third, "approved")
    expect(page.get_by_text("trainer (trainer) may not set approval = 'approved'").first).to_be_visible(timeout=30_000)
    page = seen_by(chromium, up, "approver")
    set_approval(page, up, third, "approved")
    took = wait_for_champion(up, third)
    assert took <= SECONDS, f"champion moved after {took:.1f} s"
    print(f"after a restart, champion moved {took:.1f} s after the click")
    records_say(up, third, "approver")

    # one command back; nothing is left to be promoted again
    told = up.command("rollback", "--name", NAME, "--reason", "a test")
    assert "version 2 of tiny is champion again" in told
    assert up.aliases(NAME)["champion"] == 2
