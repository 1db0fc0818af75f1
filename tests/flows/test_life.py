"""A real `nightshift up`: its promotion service shows metrics and readiness, and a worker of it cleans."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.store import Store
from tests.unit.test_metrics import values
from tests.up import Up

pytestmark = pytest.mark.slow


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    made = Up(tmp_path)
    made.start()
    yield made
    made.stop()


def page(up: Up, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{up.settings.promoter_port}{path}", timeout=60)


def ran(up: Up, deployment: str, **parameters: Any) -> dict[str, Any]:
    """The state in which a run of a deployment ended."""
    api = f"{up.prefect}/api"
    id_ = httpx.get(f"{api}/deployments/name/{deployment}", timeout=60).raise_for_status().json()["id"]
    end = time.monotonic() + 200
    while True:  # on a loaded machine SQLite is locked for a moment now and then
        made = httpx.post(f"{api}/deployments/{id_}/create_flow_run", json={"parameters": parameters}, timeout=60)
        if made.status_code == 201:
            break
        assert made.status_code >= 500, made.text
        assert time.monotonic() < end, made.text
        time.sleep(1)
    run = made.json()["id"]
    while True:
        state = httpx.get(f"{api}/flow_runs/{run}", timeout=60).raise_for_status().json()["state"]
        if state["type"] in {"COMPLETED", "FAILED", "CRASHED"}:
            return state
        assert time.monotonic() < end, f"{deployment} has not ended: {state}"
        time.sleep(1)


def test_up_is_ready_shows_metrics_and_cleans_by_its_deployment(up: Up) -> None:
    end = time.monotonic() + 60  # the first look into the registry takes a moment
    while (answer := page(up, "/readyz")).status_code != 200:
        assert time.monotonic() < end, answer.text
        time.sleep(1)
    assert {one["name"] for one in answer.json()["parts"]} == {"state", "mlflow", "prefect", "prices", "promotions"}
    assert page(up, "/healthz").json() == {"status": "ok"}
    assert ran(up, "audit/audit", name="all")["name"] == "Completed"
    junk = Store(up.home / "store").put_bytes(b"nobody's")
    path = Store(up.home / "store").path(junk.digest_)
    os.utime(path, (1e9, 1e9))
    assert ran(up, "clean/clean", dry_run=True)["name"] == "Completed"
    assert path.exists()
    assert ran(up, "clean/clean")["name"] == "Completed"
    assert not path.exists()
    found = {name: value for (name, _), value in values(page(up, "/metrics").content).items()}
    assert found["nightshift_store_objects"] == 0
    assert time.time() - found["nightshift_audit_clean_timestamp_seconds"] < 600
