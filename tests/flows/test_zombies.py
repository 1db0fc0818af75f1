"""Runs that nobody ends, on a real Prefect server with a real worker: killed with all that would have noticed, stuck,
late, taken and never begun. Heartbeats are as short as Prefect allows, so this takes some minutes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Pending, Running

from flows import automations
from flows.automations import late_name
from flows.deployments import Deployed, deploy
from infra.servers import PREFECT_EXTRA, prefect_command, worker_command
from infra.settings import ROOT, Settings, child_environment
from tasks.schedule import ScheduleSpec

pytestmark = pytest.mark.slow

SLEEPER = """
import os, time
from pathlib import Path
from prefect import flow

@flow
def sleeper(name: str, seconds: float) -> None:
    (Path(os.environ["NIGHTSHIFT_HOME"]) / f"{name}.pid").write_text(str(os.getpid()))
    time.sleep(seconds)
"""


class Place:
    """A server, and workers to start and to kill."""

    def __init__(self, home: Path, settings: Settings) -> None:
        self.home, self.settings, self.workers = home, settings, list[subprocess.Popen[bytes]]()
        self.environment = {**child_environment(settings), "PREFECT_WORKER_QUERY_SECONDS": "2"}

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        answer = httpx.request(method, f"{self.settings.prefect_api_url}{path}", json=body, timeout=60)
        return answer.raise_for_status().json()

    def worker(self) -> subprocess.Popen[bytes]:
        log = (self.home / f"worker-{len(self.workers)}.txt").open("wb")
        made = subprocess.Popen(worker_command(), cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        self.workers.append(made)
        return made

    def run(self, name: str, seconds: float) -> UUID:
        deployment = self.ask("GET", "/deployments/name/sleeper/night")["id"]
        body = {"parameters": {"name": name, "seconds": seconds}}
        return UUID(self.ask("POST", f"/deployments/{deployment}/create_flow_run", body)["id"])

    def state(self, run: UUID) -> dict[str, Any]:
        return self.ask("GET", f"/flow_runs/{run}")["state"]

    def events(self, event: str, resource: str) -> int:
        wanted = {"event": {"name": [event]}, "any_resource": {"id": [resource]}}
        return self.ask("POST", "/events/filter", {"filter": wanted})["total"]

    def pid(self, name: str) -> int:
        file = self.home / f"{name}.pid"
        return wait_for(lambda: file.exists() and file.read_text() and int(file.read_text()), 180)


def wait_for(asked: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (answer := asked()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.5)
    return answer


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home, code = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("code")
    (code / "sleeperflow.py").write_text(SLEEPER)
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    settings = Settings.model_validate({"home": home, "prefect_port": port, "prefect_api_url": api})
    place = Place(home, settings)
    log = (home / "server.txt").open("wb")
    server = subprocess.Popen(
        prefect_command(settings), cwd=ROOT, env={**place.environment, **PREFECT_EXTRA}, stdout=log, stderr=log
    )
    sys.path.insert(0, str(code))
    try:
        wait_for(lambda: answers(f"{api}/health"), 240)
        row = Deployed("sleeperflow:sleeper", "night", one_at_a_time=True, schedule=ScheduleSpec(cron="0 2 1 1 *"))
        deploy(settings, (row,), code=code)
        yield place
    finally:
        sys.path.remove(str(code))
        for process in [*place.workers, server]:
            process.terminate()
        for process in [*place.workers, server]:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False


def ensure(place: Place, *wanted: Any) -> None:
    with temporary_settings({PREFECT_API_URL: place.settings.prefect_api_url}):
        for one in wanted:
            automations.ensure(one)


def test_a_night_killed_with_its_worker_does_not_stay_running_and_the_next_one_starts(place: Place) -> None:
    deployment = UUID(place.ask("GET", "/deployments/name/sleeper/night")["id"])
    ensure(
        place,
        automations.watches(["sleeper"], silent=timedelta(seconds=45))[0],
        automations.night_watches("sleeper", deployment, hours=2.0, late=timedelta(seconds=10))[1],
    )
    first = place.worker()
    killed = place.run("killed", 3600)
    pid = place.pid("killed")
    wait_for(lambda: place.events("prefect.flow-run.heartbeat", f"prefect.flow-run.{killed}"), 60)

    first.kill()  # before the run: else the worker notices
    first.wait()
    os.kill(pid, signal.SIGKILL)
    died = time.monotonic()
    place.worker()
    after = place.run("after", 0)
    waiting = wait_for(lambda: (s := place.state(after))["name"] == "AwaitingConcurrencySlot" and s, 60)
    assert waiting["type"] == "SCHEDULED"
    assert place.state(killed)["type"] == "RUNNING", "nobody noticed yet, and it holds the only slot"

    ended = wait_for(lambda: (s := place.state(killed))["type"] == "CRASHED" and s, 180)
    assert "no heartbeat for 45 s" in ended["message"]
    assert "run it again" in ended["message"]
    assert wait_for(lambda: place.state(after)["type"] == "COMPLETED", 120)
    assert time.monotonic() - died < 290, "a slot's lease is given back after 300 s anyway"

    (late,) = [one for one in place.ask("POST", "/automations/filter", {}) if one["name"] == late_name("sleeper")]
    assert place.events("prefect.automation.triggered", f"prefect.automation.{late['id']}") >= 1


def test_a_live_run_is_no_zombie_and_a_stuck_one_is_cancelled_with_its_process(place: Place) -> None:
    ensure(place, automations.watches(["sleeper"], silent=timedelta(seconds=45))[0])
    deployment = UUID(place.ask("GET", "/deployments/name/sleeper/night")["id"])
    ensure(place, automations.night_watches("sleeper", deployment, hours=75 / 3600)[0])
    if not [one for one in place.workers if one.poll() is None]:
        place.worker()
    stuck = place.run("stuck", 3600)
    pid = place.pid("stuck")
    ended = wait_for(lambda: (s := place.state(stuck))["type"] not in ("SCHEDULED", "PENDING", "RUNNING") and s, 180)
    assert ended["type"] in ("CANCELLING", "CANCELLED"), "it was alive for longer than 45 s: no zombie"
    assert wait_for(lambda: place.state(stuck)["type"] == "CANCELLED", 90)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_run_that_was_taken_and_never_begun_or_cancelled_and_never_ended_is_ended(place: Place) -> None:
    _, never_began, never_ended = automations.watches(
        ["sleeper"], to_begin=timedelta(seconds=10), to_end=timedelta(seconds=10)
    )
    ensure(place, never_began, never_ended)
    with temporary_settings({PREFECT_API_URL: place.settings.prefect_api_url}), get_client(sync_client=True) as client:
        flow = client.create_flow_from_name("sleeper")
        made = client.request("POST", "/flow_runs/", json={"flow_id": str(flow), "state": {"type": "SCHEDULED"}})
        taken = UUID(made.json()["id"])
        client.set_flow_run_state(taken, Pending())
        asked = UUID(client.request("POST", "/flow_runs/", json={"flow_id": str(flow)}).json()["id"])
        client.set_flow_run_state(asked, Running(), force=True)
        client.set_flow_run_state(asked, Cancelling(), force=True)
    ended = wait_for(lambda: (s := place.state(taken))["type"] == "CRASHED" and s, 90)
    assert "a worker took it and did not start it" in ended["message"]
    ended = wait_for(lambda: (s := place.state(asked))["type"] == "CANCELLED" and s, 90)
    assert "it was cancelled and has not ended" in ended["message"]
