"""The pools' contract on Kubernetes: real Prefect server and worker processes, over FakeKubernetes, a simulation."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import get_client
from prefect.client.schemas.actions import WorkPoolCreate

from flows.deployments import load
from infra.kubernetes.template import base_job_template
from infra.outcome import read_outcome
from infra.pools.kubernetes import TYPE, KubernetesPool, NvidiaKubernetesPool
from infra.servers import prefect_command
from infra.settings import ROOT, Settings, child_environment
from tests.fake_kubernetes import FakeKubernetes, kubeconfig, wait_until
from tests.infra.pools.contract import Rig, SchedulerContract, once, program
from tests.outside import http_server
from tests.prefect_elsewhere import prefect_at

pytestmark = pytest.mark.slow

POOL, CLUSTER = "gpu-test", "fake"
IMAGE = "registry.example/nightshift@sha256:" + "0" * 64


class World:
    """Prefect's server and our worker as processes, and a simulated cluster."""

    def __init__(self, home: Path, api: FakeKubernetes) -> None:
        self.home, self.api = home, api
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        settings = Settings.model_validate({"home": home, "prefect_port": port, "prefect_api_url": self.url})
        self.environment = child_environment(settings) | {
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_WORKER_PREFETCH_SECONDS": "5",
        }
        self._server = self._start(prefect_command(settings)[1:], "server.txt")
        self.worker: subprocess.Popen[bytes] | None = None

    def _start(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        with (self.home / log).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )

    def ready(self) -> None:
        def answers() -> bool:
            try:
                return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(answers, 180)

    def deploy(self, kubernetes: str) -> None:
        """Work pool, deployment and the cluster's block, as `nightshift up` makes them of a pool's block."""
        from prefect_kubernetes.credentials import KubernetesClusterConfig

        config = kubeconfig(kubernetes, self.api.token)
        KubernetesClusterConfig(config=config, context_name="fake").save(CLUSTER, overwrite=True)
        flow = load("flows.gpu_steps:gpu_step")
        with get_client(sync_client=True) as client:
            client.create_work_pool(WorkPoolCreate(name=POOL, type=TYPE, base_job_template=base_job_template()))
            client.create_deployment(
                flow_id=client.create_flow(flow),
                name=POOL,
                entrypoint="flows.gpu_steps.gpu_step",
                work_pool_name=POOL,
                parameter_openapi_schema=flow.parameters.model_dump(exclude_unset=True),
            )

    def start_worker(self) -> None:
        self.worker = self._start(["-m", "infra.kubernetes.worker_program", POOL], "worker.txt")

    def stop(self) -> None:
        for process in (self.worker, self._server):
            if process is not None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    api = FakeKubernetes()
    world = World(tmp_path_factory.mktemp("home"), api)
    try:
        world.ready()
        with http_server(api) as kubernetes, prefect_at(world.url):
            world.deploy(kubernetes)
            world.start_worker()
            yield world
    finally:
        world.stop()
        api.close()


class KubernetesRig(Rig):
    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.fields: dict[str, Any] = {
            "work_pool": POOL,
            "cluster": CLUSTER,
            "image": IMAGE,
            "python": sys.executable,
            "root": str(ROOT),
            "host_memory_gb": 8,
            "hours": 0.2,
            "queue_hours": 0.1,
            "restarts": 0,
        }
        self.pool = KubernetesPool(**self.fields)

    def with_(self, **fields: Any) -> KubernetesPool:
        return KubernetesPool(**self.fields | fields)

    def _key(self) -> str:
        return next(iter(self.world.api.jobs))

    def out_of_memory(self) -> None:
        self.world.api.out_of_memory(self._running())

    def lose_node(self) -> None:
        self.world.api.lose_node(self._running())

    def _running(self) -> str:
        """The key of the job whose pod runs."""
        found = [pod for pod in self.world.api.pods.values() if pod["status"]["phase"] == "Running"]
        return found[0]["metadata"]["labels"]["nightshift-key"]

    def fill(self) -> None:
        self.world.api.fate = "unschedulable"

    def jobs(self) -> int:
        pods = self.world.api.pods.values()
        return len([pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running")])


@pytest.fixture
def rig(world: World, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> KubernetesRig:
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(world.home))
    world.api.fate = "run"
    folder = world.home / request.node.name[:60]
    folder.mkdir()
    return KubernetesRig(world, folder)


class TestKubernetes(SchedulerContract):
    """The contract, and what is Kubernetes' own."""

    def test_a_worker_that_is_killed_and_started_anew_follows_its_job_to_the_end(self, rig: KubernetesRig) -> None:
        def restart() -> None:
            assert rig.world.worker is not None
            rig.world.worker.kill()
            rig.world.worker.wait()
            rig.world.start_worker()
            time.sleep(3)
            (rig.folder / "go-on").write_text("")

        once(rig.folder / "running", restart)
        before = len(rig.world.api.jobs)
        (held,) = self.run(rig, rig.pool, "wait")
        assert held.ended is not None
        assert len(rig.world.api.jobs) == before + 1

    def test_a_spot_node_that_is_taken_away_costs_a_start_and_no_progress(self, rig: KubernetesRig) -> None:
        def take() -> None:
            rig.world.api.disrupt(rig._running())
            wait_until((rig.folder / "checkpoint").exists)
            (rig.folder / "go-on").write_text("")

        once(rig.folder / "running", take)
        held = self.run(rig, rig.with_(restarts=1, spot=True), "wait")
        assert len(held) == 2
        assert (rig.folder / "checkpoint").read_text() == "kept"

    def test_what_the_worker_could_not_say_the_pool_asks_the_cluster(self, rig: KubernetesRig) -> None:
        self.run(rig, rig.pool, "succeed")
        pool = rig.with_()
        launch = pool.launch(_program_of(rig.folder), _key_of(rig.folder))
        (rig.folder / "outcome.json").unlink()
        outcome = pool.lost(launch)
        assert outcome is not None
        assert (outcome.kind, len(outcome.allocations)) == ("completed", 1)
        assert read_outcome(rig.folder, launch.key) is None  # asking changes nothing

    def test_a_pool_that_is_set_up_but_for_the_cluster_says_what_is_missing(self, rig: KubernetesRig) -> None:
        problems = rig.pool.check()
        assert "there is no namespace nightshift: apply the pool's manifests" in problems
        assert not any("worker" in problem for problem in problems)
        assert rig.with_(image=None).check()[0].startswith("the image None is not named by digest")
        assert rig.with_(work_pool="other").check()[0].startswith("there is no work pool other")


def _program_of(folder: Path) -> Any:
    return program(folder, "succeed")


def _key_of(folder: Path) -> str:
    return json.loads((folder / "launch.json").read_text())["key"]


def test_an_nvidia_pool_takes_no_accelerator_of_another_maker() -> None:
    with pytest.raises(ValueError, match="is of amd"):
        NvidiaKubernetesPool(work_pool="gpu", gpu="mi300x", gpus_per_node=8)
