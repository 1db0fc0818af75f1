"""A job followed against FakeKubernetes (a simulation): real requests, a real program as the pod's process."""

import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration

from infra.errors import PoolError
from infra.kubernetes import examples, follow
from infra.kubernetes.api import Cluster
from infra.kubernetes.examine import examine
from infra.kubernetes.follow import Follower, Looks
from infra.kubernetes.place import Manifest, Place
from infra.kubernetes.setup import CHECK_RULES, WORKER_RULES
from infra.kubernetes.states import state_of
from infra.kubernetes.trainjob import train_job, training_runtime
from infra.launch import Launch
from infra.outcome import Outcome, read_outcome
from infra.settings import ROOT
from tests.fake_kubernetes import FakeKubernetes, Fate, kubeconfig, wait_until
from tests.outside import http_server

PROGRAM = "tests.pool_program"


class SaidStates:
    """Notes what Prefect would be told. A stand-in for infra.kubernetes.states.States, which the contract tests run."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.ask_to_end = False

    async def cancelled(self) -> bool:
        return self.ask_to_end

    async def waits(self, name: str, why: str) -> None:
        if name not in self.said[-1:]:
            self.said.append(name)

    async def runs(self) -> None:
        if "Running" not in self.said[-1:]:
            self.said.append("Running")

    async def ended(self, outcome: Outcome) -> None:
        self.said.append(state_of(outcome).name or "")


class World:
    """One cluster, one folder, one launch at a time."""

    def __init__(self, api: FakeKubernetes, url: str, folder: Path) -> None:
        self.api, self.url, self.folder = api, url, folder
        self.place = Place.model_validate(
            examples.PLACE.model_dump() | {"home": str(folder), "secrets": (), "mounts": ()}
        )
        self.states = SaidStates()
        # the program alone: the job program around it looks at the machine first, and that takes seconds
        self.bare = True

    def launch(self, how: str, **more: Any) -> Launch:
        spec = self.folder / "spec.json"
        spec.write_text(json.dumps({"how": how}))
        fields = examples.launch().model_dump() | {
            "key": "ns-a-0",
            "module": PROGRAM,
            "spec": str(spec),
            "result": str(self.folder / "result.json"),
            "folder": str(self.folder),
            "checkpoints": None,
            "distributed": False,
            "root": str(ROOT),
            "python": sys.executable,
            "secrets": (),
            "mounts": (),
            "seconds": 600,
            "variables": {"NIGHTSHIFT_HOME": str(self.folder)},
        }
        launch = Launch.model_validate(fields | more)
        (self.folder / "launch.json").write_text(launch.model_dump_json())
        return launch

    def manifest(self, launch: Launch) -> Manifest:
        made = train_job(launch, self.place) if launch.nodes > 1 else examples.job(launch, self.place)
        if self.bare:
            container = (
                made["spec"]["trainer"] if launch.nodes > 1 else made["spec"]["template"]["spec"]["containers"][0]
            )
            container["command"] = [launch.python, "-m", launch.module, launch.spec, launch.result]
        return made

    def follow(self, launch: Launch, queue_seconds: float = 3600, made: bool = False, **clock: Any) -> Outcome:
        """To the job's end, and what Prefect was told by then."""

        async def go() -> Outcome:
            async with client(self.url, self.api.token) as found:
                cluster = Cluster(found, self.place.namespace)
                follower = Follower(launch, self.manifest(launch), cluster, Looks(0.05), self.states, **clock)  # pyright: ignore
                known = await follower.start(made=made)
                with anyio.fail_after(60):
                    return known or await follower.follow(queue_seconds)

        return anyio.run(go)

    def beside(self, act: Any) -> threading.Thread:
        """Do something once the program runs."""

        def wait() -> None:
            wait_until((self.folder / "running").exists)
            act()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        return thread


@asynccontextmanager
async def client(url: str, token: str) -> AsyncIterator[ApiClient]:
    configuration = Configuration()
    await config.load_kube_config_from_dict(kubeconfig(url, token), client_configuration=configuration)
    async with ApiClient(configuration=configuration) as found:
        yield found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    api = FakeKubernetes()
    with http_server(api) as url:
        yield World(api, url, tmp_path)
    api.close()


def test_a_program_that_completes_is_completed_and_billed_by_the_clusters_times(world: World) -> None:
    began = time.time()
    world.bare = False
    launch = world.launch("succeed")
    outcome = world.follow(launch)
    assert outcome.kind == "completed"
    assert world.states.said[-1] == "Completed"
    assert json.loads((world.folder / "result.json").read_text()) == {"done": True}
    (held,) = outcome.allocations
    assert held.ended is not None
    assert began - 1 <= held.started <= held.ended <= time.time() + 1
    assert held.devices == 8
    assert read_outcome(world.folder, launch.key) == outcome


def test_a_program_that_fails_by_itself_says_so_with_its_last_words(world: World) -> None:
    world.bare = False
    outcome = world.follow(world.launch("fail"))
    assert (outcome.kind, outcome.exit_code) == ("failed", 3)
    assert "it broke on purpose" in outcome.what
    assert "output.log" in outcome.do


def test_an_interpreter_that_is_not_there_leaves_the_pods_own_log(world: World) -> None:
    launch = world.launch("succeed", python="/bin/ls")
    outcome = world.follow(launch)
    assert (outcome.kind, "invalid option" in outcome.what or "cannot access" in outcome.what) == ("failed", True), (
        outcome
    )


def test_a_cancelled_program_gets_time_for_its_checkpoint_and_its_job_is_deleted(world: World) -> None:
    world.beside(lambda: setattr(world.states, "ask_to_end", True))
    outcome = world.follow(world.launch("wait"))
    assert outcome.kind == "cancelled"
    assert (world.folder / "checkpoint").read_text() == "kept"
    assert world.api.jobs == {}
    assert world.states.said == ["Running", "Cancelled"]


def test_a_run_that_was_cancelled_before_its_job_was_made_makes_none(world: World) -> None:
    world.states.ask_to_end = True
    outcome = world.follow(world.launch("succeed"))
    assert outcome.kind == "cancelled"
    assert ("create", "batch", "jobs") not in world.api.asked


def test_a_spot_node_that_is_taken_away_is_a_preemption_after_a_checkpoint(world: World) -> None:
    launch = world.launch("wait")
    world.beside(lambda: world.api.disrupt(launch.key))
    outcome = world.follow(launch)
    assert outcome.kind == "preempted"
    assert "spot node taken away" in outcome.what
    assert (world.folder / "checkpoint").read_text() == "kept"


def test_memory_that_ran_out_is_named_with_the_limit(world: World) -> None:
    launch = world.launch("wait")
    world.beside(lambda: world.api.out_of_memory(launch.key))
    outcome = world.follow(launch)
    assert (outcome.kind, "512 GB" in outcome.what) == ("out_of_memory", True)


def test_a_lost_node_ends_the_job_and_bills_it_until_then(world: World) -> None:
    launch = world.launch("wait")
    world.beside(lambda: world.api.lose_node(launch.key))
    outcome = world.follow(launch)
    assert outcome.kind == "node_failure"
    assert outcome.allocations[0].ended is not None


def test_a_pod_or_a_job_that_somebody_deletes_has_vanished(world: World) -> None:
    launch = world.launch("wait")
    world.beside(lambda: world.api.delete_pod(launch.key))
    assert world.follow(launch).kind == "vanished"

    (world.folder / "running").unlink()
    again = world.launch("wait", key="ns-a-1")

    def delete() -> None:
        world.api.jobs.pop(again.key)
        time.sleep(0.5)
        world.api.pods.clear()
        world.api.close()

    world.beside(delete)
    outcome = world.follow(again)
    assert outcome.kind == "vanished"
    assert outcome.allocations[0].state == "Gone"


def test_the_time_limit_asks_for_a_checkpoint_and_is_named(world: World) -> None:
    launch = world.launch("wait", seconds=30, grace_seconds=15)  # it has begun by then, on a busy machine too
    outcome = world.follow(launch)
    assert outcome.kind == "time_limit"
    assert (world.folder / "checkpoint").read_text() == "kept"


class Fast:
    """A clock on which every look is ten minutes after the one before."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 600
        return self.now


@pytest.mark.parametrize(
    ("fate", "kind", "state", "says"),
    [
        ("unschedulable", "held", "Unschedulable", "Insufficient nvidia.com/gpu"),
        ("suspended", "held", "Queued", "Kueue has not admitted it"),
        ("no pull", "refused", "ImagePullBackOff", "not found"),
        ("no secret", "refused", "CreateContainerConfigError", 'secret "object-store" not found'),
        ("no mount", "refused", "Starting", 'persistentvolumeclaim "nightshift-home" not found'),
        ("never starts", "refused", "Starting", "ContainerCreating"),
        ("no pods", "refused", "Refused", "exceeded quota"),
    ],
)
def test_what_can_not_start_is_given_up_with_its_reason_and_holds_nothing_after(
    world: World, fate: Fate, kind: str, state: str, says: str
) -> None:
    world.api.fate = fate
    outcome = world.follow(world.launch("succeed"), clock=Fast())
    assert (outcome.kind, says in outcome.what) == (kind, True), outcome
    assert world.states.said[0] == state
    wait_until(lambda: world.api.jobs == {})


def test_what_waits_for_a_node_is_not_given_up_early_and_shows_why(world: World) -> None:
    world.api.fate = "unschedulable"
    thread = threading.Timer(1.0, lambda: setattr(world.states, "ask_to_end", True))
    thread.start()
    outcome = world.follow(world.launch("succeed"))
    assert (outcome.kind, world.states.said[0]) == ("cancelled", "Unschedulable")


def test_a_job_that_kueue_takes_back_goes_on_later_with_both_allocations(world: World) -> None:
    launch = world.launch("wait")

    def requeue() -> None:
        world.api.suspend(launch.key)
        time.sleep(0.5)
        world.launch("succeed")
        world.api.resume(launch.key)

    world.beside(requeue)
    outcome = world.follow(launch)
    assert (outcome.kind, len(outcome.allocations)) == ("completed", 2)
    assert all(one.ended is not None for one in outcome.allocations)


def test_a_worker_that_is_started_anew_finds_its_job_and_makes_no_second(world: World) -> None:
    launch = world.launch("wait")

    async def begin() -> None:
        async with client(world.url, world.api.token) as found:
            follower = Follower(launch, world.manifest(launch), Cluster(found, "nightshift"), Looks(0.05), world.states)  # pyright: ignore
            await follower.start()
            with anyio.move_on_after(1.5):  # the first worker is killed
                await follower.follow(3600)

    anyio.run(begin)
    world.beside(lambda: (world.folder / "go-on").write_text(""))
    outcome = world.follow(launch)
    assert outcome.kind == "completed"
    assert len(outcome.allocations) == 1
    assert world.api.asked.count(("create", "batch", "jobs")) == 2  # the second was answered: it exists


def test_a_job_that_was_deleted_while_no_worker_ran_is_missed_and_not_made_again(world: World) -> None:
    outcome = world.follow(world.launch("succeed"), made=True)
    assert outcome.kind == "vanished"
    assert ("create", "batch", "jobs") not in world.api.asked


def test_an_outcome_that_prefect_was_not_told_of_is_told_and_nothing_runs_again(world: World) -> None:
    launch = world.launch("succeed")
    first = world.follow(launch)
    world.api.jobs.clear()
    world.states.said.clear()
    assert world.follow(launch) == first
    assert world.states.said == ["Completed"]
    assert world.api.asked.count(("create", "batch", "jobs")) == 1


def test_an_api_that_is_away_for_a_while_is_waited_for(world: World) -> None:
    launch = world.launch("wait")

    def away() -> None:
        world.api.broken = 503
        time.sleep(0.5)
        world.api.broken = None
        (world.folder / "go-on").write_text("")

    world.beside(away)
    assert world.follow(launch).kind == "completed"


def test_an_api_that_stays_away_is_said_and_the_job_is_not_called_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_AWAY_SECONDS", 0.3)
    launch = world.launch("wait")
    world.beside(lambda: setattr(world.api, "broken", 503))
    outcome = world.follow(launch)
    assert (outcome.kind, "away" in outcome.what) == ("refused", True)


def test_a_training_of_several_nodes_is_one_trainjob_whose_first_pod_says_how_it_went(world: World) -> None:
    world.bare = False
    launch = world.launch("together", nodes=2, distributed=True, gpu=None, gpus_per_node=0)
    outcome = world.follow(launch)
    assert outcome.kind == "completed", outcome
    assert json.loads((world.folder / "result.json").read_text()) == {"done": True, "world": 2}
    assert len(outcome.allocations) == 2
    assert world.api.jobs == {}  # a TrainJob is not deleted by Kubernetes in time
    assert ("create", "trainer.kubeflow.org", "trainjobs") in world.api.asked


def test_one_pod_of_a_training_that_is_lost_ends_the_others_too(world: World) -> None:
    launch = world.launch("wait", nodes=2, distributed=True, gpu=None, gpus_per_node=0)
    world.beside(lambda: world.api.disrupt(launch.key))
    outcome = world.follow(launch)
    assert outcome.kind == "preempted"
    assert world.api.pods_of(launch.key) == []  # none of them writes any longer
    assert [one.ended is not None for one in outcome.allocations] == [True, True]


def test_what_the_cluster_refuses_is_said_in_its_own_words(world: World) -> None:
    world.api.rules = [rule for rule in world.api.rules if rule[0] != "batch"]
    with pytest.raises(PoolError, match='cannot create resource "jobs"'):
        world.follow(world.launch("succeed"))


def test_the_worker_uses_every_right_of_its_rendered_role_but_none_beside(world: World) -> None:
    """FakeKubernetes answers 403 to all else, so that the runs above show the second half."""
    launch = world.launch("wait")
    world.beside(lambda: setattr(world.states, "ask_to_end", True))
    world.follow(launch)
    world.states.ask_to_end = False
    world.follow(world.launch("succeed", key="ns-b-0", python="/bin/ls"))
    (world.folder / "outcome.json").unlink()
    world.follow(world.launch("succeed", key="ns-b-0", python="/bin/ls"))  # found, not made
    used = {(group, resource, verb) for verb, group, resource in world.api.asked}
    wanted = {(group, resource, verb) for group, names, verbs in WORKER_RULES for resource in names for verb in verbs}
    several = {one for one in wanted if one[0] == "trainer.kubeflow.org"}
    assert wanted - several <= used
    assert used <= wanted


# --- the check ---


def ready(world: World) -> None:
    """All that the pool's check looks for is there."""
    place, core = world.place, f"/api/v1/namespaces/{world.place.namespace}"
    world.api.exists = {
        f"/api/v1/namespaces/{place.namespace}": {"kind": "Namespace"},
        f"{core}/persistentvolumeclaims/{place.home_claim}": {"spec": {"accessModes": ["ReadWriteMany"]}},
        f"{core}/serviceaccounts/{place.service_account}": {"kind": "ServiceAccount"},
        f"/apis/kueue.x-k8s.io/v1beta2/namespaces/{place.namespace}/localqueues/nightly": {"spec": {}},
        "/apis/node.k8s.io/v1/runtimeclasses/nvidia": {"kind": "RuntimeClass"},
        "/apis/scheduling.k8s.io/v1/priorityclasses/batch-low": {"kind": "PriorityClass"},
        f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{place.namespace}/trainingruntimes/{place.runtime}": (
            training_runtime(place)
        ),
    }


def examined(world: World) -> list[str]:
    async def go() -> list[str]:
        async with client(world.url, world.api.token) as found:
            return await examine(Cluster(found, world.place.namespace), world.place)

    return anyio.run(go)


def test_a_pool_that_is_set_up_has_no_problems(world: World) -> None:
    ready(world)
    assert examined(world) == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/api/v1/namespaces/nightshift", "there is no namespace nightshift"),
        ("persistentvolumeclaims", "there is no claim nightshift-home"),
        ("serviceaccounts", "there is no service account nightshift-job"),
        ("localqueues", "there is no queue nightly"),
        ("runtimeclasses", "there is no runtime class nvidia"),
        ("priorityclasses", "there is no priority class batch-low"),
        ("trainingruntimes", "there is no TrainingRuntime nightshift-gpu-nvidia"),
    ],
)
def test_each_thing_that_is_missing_is_one_sentence(world: World, path: str, says: str) -> None:
    ready(world)
    world.api.exists = {
        one: held for one, held in world.api.exists.items() if not one.endswith(path) and f"/{path}/" not in one
    }
    (problem,) = examined(world)
    assert says in problem


def test_a_claim_that_only_one_node_can_write_is_a_problem(world: World) -> None:
    ready(world)
    (path,) = [one for one in world.api.exists if "persistentvolumeclaims" in one]
    world.api.exists[path] = {"spec": {"accessModes": ["ReadWriteOnce"]}}
    (problem,) = examined(world)
    assert "ReadWriteMany" in problem


def test_a_runtime_of_an_older_block_is_a_problem(world: World) -> None:
    ready(world)
    world.place = world.place.model_copy(update={"shm_gb": 99})
    (problem,) = examined(world)
    assert "apply the manifests again" in problem


def test_missing_rights_are_named(world: World) -> None:
    ready(world)
    world.api.rules = [rule for rule in (*WORKER_RULES, *CHECK_RULES) if rule[0] != "batch"]
    (problem,) = examined(world)
    assert problem == "no right to create, delete, get, list jobs in nightshift"


def test_an_api_that_can_not_be_asked_is_one_sentence(world: World) -> None:
    world.api.token = "another"
    token, world.api.token = world.api.token, "changed meanwhile"

    async def go() -> list[str]:
        async with client(world.url, token) as found:
            return await examine(Cluster(found, "nightshift"), world.place)

    (problem,) = anyio.run(go)
    assert "can't be asked" in problem
    assert token not in problem
