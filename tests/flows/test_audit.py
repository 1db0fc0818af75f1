"""The audit and the drill as flows on a real Prefect server: states, artifacts, and one event an incident."""

import time
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort

from flows.audit import EVENT, audit, drill
from tasks.errors import IncidentFound
from tasks.registry.incidents import read_incidents
from tests.audited import World

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def world(home: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("tasks.registry.auditing._PAUSE", 0.0)
    return World(home).build()


def page(key: str) -> str:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])), sort=ArtifactSort.CREATED_DESC
        )
    return str(found[0].data)


def events() -> list[dict[str, Any]]:
    with get_client(sync_client=True) as client:
        answer = client._client.post("/events/filter", json={"filter": {"event": {"name": [EVENT]}}, "limit": 50})
    answer.raise_for_status()
    return answer.json()["events"]


def test_an_audit_ends_as_incident_tells_once_and_leaves_a_page(world: World) -> None:
    state = audit(return_state=True)
    assert (state.type.value, state.name) == ("COMPLETED", "Completed")
    assert "No difference: 1 model" in page("audit")

    world.client.set_registered_model_alias("shop", "champion", "3")
    state = audit(return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "Incident")
    assert "alias champion of shop points to version 3" in (state.message or "")
    with pytest.raises(IncidentFound, match="points to version 3"):
        state.result()
    shown = page("audit")
    assert "## Serving is held" in shown
    assert "| alias champion of shop points to version 3" in shown

    assert audit(return_state=True).name == "Incident"
    (incident,) = read_incidents(world.home)[0].values()
    assert (incident.seen, incident.told) == (2, True)
    until = time.monotonic() + 30
    while not events() and time.monotonic() < until:  # Prefect stores events a little later
        time.sleep(0.5)
    (event,) = events()
    assert event["resource"]["nightshift.model"] == "shop"
    assert event["payload"]["incident"] == incident.id


def test_a_drill_leaves_a_page_and_is_skipped_where_there_is_nothing_to_go_back_to(world: World) -> None:
    done = drill("shop", return_state=True)
    assert done.name == "Completed"
    assert "| shop | 2 → 1 |" in page("drill")
    world.client.delete_registered_model_alias("shop", "previous")
    assert drill("shop", return_state=True).name == "Skipped"
    assert drill("shop", limit=0.001, return_state=True).name == "Skipped"
