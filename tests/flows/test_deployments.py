"""Deployments against a real server and worker, started once by `nightshift up` in a state folder of its own."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, cast

import httpx
import pytest
from mlflow import MlflowClient
from prefect import flow
from prefect.client.schemas.responses import DeploymentResponse
from pydantic import Field

from flows.automations import APPROVED, AUTOMATION, PROMOTE
from flows.deployments import (
    DEPLOYMENTS,
    SERVED,
    Deployed,
    deploy,
    described_schema,
    entrypoint_of,
    known_zone,
    parameters_for,
    schedules_for,
    zone_of,
)
from infra.errors import ServerError
from infra.mlflow_requests import Login, acting_as
from infra.processes import marked
from infra.registry_guard.roles import credentials_path, read_private
from infra.settings import ROOT, Settings, child_environment
from infra.tracking import Tracker

TINY = """
import os
from pathlib import Path
from prefect import flow

import infra.settings, tasks.contracts, flows  # what a night needs must be importable

@flow
def tiny(word: str = "nothing", times: int = 1) -> None:
    home = Path(os.environ["NIGHTSHIFT_HOME"])
    (home / "said.txt").write_text("|".join([word * times, os.getcwd(), os.environ["MLFLOW_TRACKING_URI"]]))
"""

RUN_UP = """
import sys
from infra.settings import apply_environment, load_settings
settings = load_settings()
apply_environment(settings)
from flows.schedules import deploy_all
from infra.servers import up
sys.exit(up(settings, deploy_all))
"""

EMBEDDED = """
from prefect import flow
@flow(name="before-up")
def before():
    pass
before()
"""


# --- without a server ---


def before_with(**values: Any) -> DeploymentResponse:
    return cast(DeploymentResponse, SimpleNamespace(**{"schedules": [], "parameters": {}, "version": None, **values}))


NIGHT = Deployed("flows.nightly:nightly", "nightly", {"recipe": "recipes/demo.toml"}, "0 2 * * *")


def test_a_new_deployment_gets_its_cron_in_the_given_timezone() -> None:
    (made,) = schedules_for(NIGHT, None, "Europe/Berlin")
    assert made.active
    assert made.schedule.model_dump(include={"cron", "timezone"}) == {"cron": "0 2 * * *", "timezone": "Europe/Berlin"}


def test_a_deployment_without_cron_gets_no_schedule() -> None:
    assert schedules_for(Deployed("flows.promotion:promote", "promote"), None, None) == []


def test_a_schedule_a_person_paused_stays_paused() -> None:
    (made,) = schedules_for(NIGHT, None, "UTC")
    paused = SimpleNamespace(schedule=made.schedule, active=False, parameters={}, slug=None)
    (kept,) = schedules_for(NIGHT, before_with(schedules=[paused]), None)
    assert not kept.active


def test_parameters_a_person_set_are_kept_unless_the_flow_has_them_no_more() -> None:
    before = before_with(parameters={"recipe": "recipes/mine.toml", "old": 1})
    assert parameters_for(NIGHT, before, {"recipe", "fresh"}) == {"recipe": "recipes/mine.toml"}
    assert parameters_for(NIGHT, None, {"recipe", "fresh"}) == {"recipe": "recipes/demo.toml"}


def test_an_unknown_timezone_is_refused_by_name() -> None:
    with pytest.raises(ServerError, match="there is no timezone 'Mars/Base'"):
        known_zone("Mars/Base")


def test_the_machines_zone_is_read_from_where_localtime_links_to(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Europe/Paris")
    assert zone_of(link) == "Europe/Paris"
    assert zone_of(tmp_path / "none") == "UTC"


def test_descriptions_of_annotated_parameters_reach_the_form() -> None:
    @flow
    def described(count: Annotated[int, Field(ge=1, description="How many.")] = 2) -> None: ...

    assert described_schema(described)["properties"]["count"]["description"] == "How many."


def test_every_parameter_of_every_deployment_is_described() -> None:
    from flows.deployments import load

    for row in DEPLOYMENTS:
        for name, entry in described_schema(load(row.entrypoint))["properties"].items():
            assert entry.get("description"), f"{row.entrypoint}: {name}"


def test_deploying_without_a_server_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="nightshift up"):
        deploy(Settings.model_validate({"home": tmp_path}))


# --- with the servers of one `up` ---


class Place:
    def __init__(self, home: Path, code: Path, api: str, settings: Settings, embedded: tuple[str, str]) -> None:
        self.home, self.code, self.api, self.settings, self.embedded = home, code, api, settings, embedded

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.api}/{path}", timeout=20).raise_for_status().json()

    def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        return httpx.post(f"{self.api}/{path}", json=body, timeout=20)

    def run(self, deployment: str, **parameters: Any) -> httpx.Response:
        made = self.get(f"deployments/name/{deployment}")
        return self.post(f"deployments/{made['id']}/create_flow_run", {"parameters": parameters})


def wait_for(asked: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (answer := asked()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
    return answer


def embedded_tracking(home: Path) -> tuple[str, str]:
    """A run with an artifact, as an embedded night makes it."""
    tracker = Tracker(f"sqlite:///{home / 'mlflow.db'}", home / "mlartifacts")
    run = tracker.night_run("n1", "before up")
    (home / "page.html").write_text("made before up")
    tracker.artifact(run, home / "page.html")
    return run, "page.html"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("up")
    home, code = folder / "home", folder / "code"
    home.mkdir()
    code.mkdir()
    (code / "tinyflow.py").write_text(TINY)
    for package in ("flows", "tasks", "infra"):
        (code / package).symlink_to(ROOT / package)
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
        socket.create_server(("127.0.0.1", 0)) as three,
    ):
        ports = [server.getsockname()[1] for server in (one, two, three)]
    values = {"home": home, "prefect_port": ports[0], "mlflow_port": ports[1], "promoter_port": ports[2]}
    settings = Settings.model_validate(values)
    environment = child_environment(settings)
    subprocess.run([sys.executable, "-c", EMBEDDED], cwd=ROOT, env=environment, check=True, capture_output=True)
    embedded = embedded_tracking(home)

    names = ("PREFECT", "MLFLOW", "PROMOTER")
    extra = {f"NIGHTSHIFT_{name}_PORT": str(port) for name, port in zip(names, ports, strict=True)}
    log = folder / "up.txt"
    with log.open("w") as output:
        command = [sys.executable, "-c", RUN_UP]
        up = subprocess.Popen(command, cwd=ROOT, env={**environment, **extra}, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: settings.up_file.exists() or up.poll() is not None, 180)
        assert up.poll() is None, log.read_text()
        sys.path.insert(0, str(code))
        deploy(settings, (Deployed("tinyflow:tiny", "tiny", {"word": "moin"}),), code=code)
        yield Place(home, code, f"http://127.0.0.1:{ports[0]}/api", settings, embedded)
    finally:
        sys.path.remove(str(code)) if str(code) in sys.path else None
        up.send_signal(signal.SIGINT)
        assert up.wait(90) == 0, log.read_text()
        assert marked(home) == {}


@pytest.mark.slow
def test_up_deploys_the_flows_with_module_entrypoints_on_our_work_pools(place: Place) -> None:
    found = {d["entrypoint"]: d for d in place.post("deployments/filter", {}).json()}
    assert {
        "flows.nightly.nightly",
        "flows.promotion.approve",
        "flows.promotion.promote",
        "flows.promotion.reject",
        "flows.promotion.rollback",
    } <= set(found)
    for deployment in found.values():
        served = deployment["entrypoint"] in {entrypoint_of(row) for row in SERVED}
        assert deployment["work_pool_name"] == ("nightshift-service" if served else "nightshift-local")
        assert deployment["enforce_parameter_schema"]
    nightly = found["flows.nightly.nightly"]
    assert nightly["global_concurrency_limit"]["limit"] == 1
    assert nightly["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert nightly["parameters"] == {"recipe": "recipes/demo.toml"}
    assert [s["schedule"]["cron"] for s in nightly["schedules"]] == ["0 2 * * *"]
    assert found["flows.promotion.promote"]["schedules"] == []


@pytest.mark.slow
def test_the_scheduler_really_makes_runs_from_the_cron(place: Place) -> None:
    scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}, "flows": {"name": {"any_": ["nightly"]}}}
    assert wait_for(lambda: place.post("flow_runs/count", scheduled).json(), 60) > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters", [{"fresh": "banana"}, {"recipe": 5}, {"recipe": "no-toml"}, {"overrides": ["x"]}, {"colour": "red"}]
)
def test_an_invalid_parameter_is_refused_when_the_run_is_created(place: Place, parameters: dict[str, Any]) -> None:
    answer = place.run("nightly/nightly", **parameters)
    assert answer.status_code in (409, 422)
    assert next(iter(parameters)) in answer.text


@pytest.mark.slow
def test_a_run_made_through_the_api_is_executed_by_the_worker_in_the_checkout(place: Place) -> None:
    run = place.run("tiny/tiny", times=2).json()["id"]
    state = wait_for(
        lambda: (s := place.get(f"flow_runs/{run}")["state"])["type"] in ("COMPLETED", "FAILED", "CRASHED") and s, 90
    )
    assert state["type"] == "COMPLETED", state["message"]
    said = (place.home / "said.txt").read_text().split("|")
    assert said == ["moinmoin", str(place.code), f"http://127.0.0.1:{place.settings.mlflow_port}"]


@pytest.mark.slow
def test_deploying_again_keeps_ids_and_what_a_person_changed_in_the_ui(place: Place) -> None:
    before = place.get("deployments/name/nightly/nightly")
    schedule = before["schedules"][0]["id"]
    changed = httpx.patch(f"{place.api}/deployments/{before['id']}/schedules/{schedule}", json={"active": False})
    assert changed.is_success
    httpx.patch(f"{place.api}/deployments/{before['id']}", json={"paused": True}).raise_for_status()

    assert deploy(place.settings)[0] == "nightly/nightly"
    after = place.get("deployments/name/nightly/nightly")
    assert after["id"] == before["id"]
    assert after["paused"]
    assert [s["active"] for s in after["schedules"]] == [False]
    pools = [pool["name"] for pool in place.post("work_pools/filter", {}).json()]
    assert sorted(name for name in pools if name.startswith("nightshift")) == ["nightshift-local", "nightshift-service"]

    deploy(place.settings, timezone="Europe/Berlin")
    (new,) = place.get("deployments/name/nightly/nightly")["schedules"]
    assert (new["schedule"]["timezone"], new["active"]) == ("Europe/Berlin", True)


@pytest.mark.slow
def test_the_local_pool_is_a_block_in_the_ui(place: Place) -> None:
    found = place.get("block_types/slug/nightshift-local-pool/block_documents/name/local")
    assert found["data"]["processes"] == 1


@pytest.mark.slow
def test_flow_runs_made_before_up_show_up_in_it(place: Place) -> None:
    runs = place.post("flow_runs/filter", {"flows": {"name": {"any_": ["before-up"]}}}).json()
    assert [run["state"]["type"] for run in runs] == ["COMPLETED"]


@pytest.mark.slow
def test_tracking_runs_and_their_artifacts_are_readable_embedded_and_through_the_server(
    place: Place, tmp_path: Path
) -> None:
    server, file = f"http://127.0.0.1:{place.settings.mlflow_port}", f"sqlite:///{place.home / 'mlflow.db'}"
    run, name = place.embedded
    kept = read_private(credentials_path(place.home))["trainer"]["password"]

    def page(run: str, path: str) -> str:  # what the UI asks
        asked = {"run_id": run, "path": path}
        return httpx.get(f"{server}/get-artifact", params=asked, auth=("trainer", kept), timeout=30).text

    with acting_as(Login("trainer", kept)):
        assert Path(MlflowClient(server).download_artifacts(run, name, str(tmp_path))).read_text() == "made before up"
        assert page(run, name) == "made before up"

        # and the other way round, in an experiment the server made
        client = MlflowClient(server)
        made = client.create_run(client.create_experiment("made by the server")).info.run_id
        client.log_text(made, "made during up", "later.txt")
        # the trainer goes on logging into an experiment that an embedded run made
        client.log_metric(run, "during", 1.0)
    assert Path(MlflowClient(file).download_artifacts(made, "later.txt", str(tmp_path))).read_text() == "made during up"
    assert page(made, "later.txt") == "made during up"


@pytest.mark.slow
def test_one_automation_answers_an_approval_and_stays_paused_where_a_person_paused_it(place: Place) -> None:
    def found() -> dict[str, Any]:
        (one,) = [a for a in place.post("automations/filter", {}).json() if a["name"] == AUTOMATION]
        return one

    before = found()
    assert before["trigger"]["expect"] == [APPROVED]
    assert before["actions"][0]["deployment_id"] == place.get(f"deployments/name/{PROMOTE}")["id"]
    httpx.patch(f"{place.api}/automations/{before['id']}", json={"enabled": False}, timeout=20).raise_for_status()
    deploy(place.settings)
    after = found()
    assert (after["id"], after["enabled"]) == (before["id"], False)


@pytest.mark.slow
def test_whoever_is_not_logged_in_reads_nothing_from_mlflow(place: Place) -> None:
    server = f"http://127.0.0.1:{place.settings.mlflow_port}"
    answer = httpx.get(f"{server}/api/2.0/mlflow/registered-models/search", timeout=30)
    assert answer.status_code == 401
