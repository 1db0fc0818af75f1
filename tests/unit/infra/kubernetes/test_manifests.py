"""What is rendered for Kubernetes: strict schemas, least rights, and nothing that a pod could not do."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import PoolError
from infra.kubernetes import examples, pods
from infra.kubernetes.place import Manifest, Place, Toleration, secrets_of
from infra.kubernetes.setup import manifests, queue_manifests
from infra.kubernetes.template import base_job_template, job_manifest, variables
from infra.kubernetes.trainjob import DIGEST, train_job, training_runtime
from infra.kubernetes.validate import problems
from infra.launch import Launch

PLACE, SETUP = examples.PLACE, examples.SETUP
JOB = examples.job(examples.launch(), PLACE)
ALL = [
    JOB,
    train_job(examples.launch(2), PLACE),
    *manifests(PLACE, SETUP),
    *queue_manifests(PLACE, examples.QUOTA),
]


def named(kind: str, name: str | None = None) -> Manifest:
    (found,) = [one for one in ALL if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    return found


def pod_specs() -> list[Manifest]:
    runtime = named("TrainingRuntime")["spec"]["template"]["spec"]["replicatedJobs"][0]
    return [
        JOB["spec"]["template"]["spec"],
        runtime["template"]["spec"]["template"]["spec"],
        named("Deployment")["spec"]["template"]["spec"],
    ]


@pytest.mark.parametrize("manifest", ALL, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
@pytest.mark.parametrize("cluster", ["v1.30.0", ""])
def test_every_rendered_manifest_passes_its_strict_schema(manifest: Manifest, cluster: str) -> None:
    assert problems(manifest, cluster) == []


def planted(manifest: Manifest, path: str, value: Any) -> Manifest:
    """A copy with one field set: keys and indices, by dots."""
    keys: list[Any] = [int(key) if key.isdigit() else key for key in path.split(".")]

    def put(part: Any, rest: list[Any]) -> Any:
        if not rest:
            return value
        copied = list(part) if isinstance(part, list) else dict(part)
        copied[rest[0]] = put(copied[rest[0]] if isinstance(part, list) or rest[0] in part else {}, rest[1:])
        return copied

    return put(manifest, keys)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Job", "spec.template.spec.parallelism", 1),
        ("Job", "spec.template.spec.containers.0.enviroment", []),
        ("TrainJob", "spec.podTemplateOverrides", []),
        ("TrainJob", "spec.trainer.numProcPerNode", "auto"),
        ("TrainJob", "spec.trainer.env.0.val", "x"),
        ("TrainJob", "spec.trainer.resourcesPerNode.limit", {}),
        ("TrainJob", "metadata.name", "0-begins-with-a-digit"),
        ("TrainingRuntime", "spec.mlPolicy.torch.numProcPerNode", "auto"),
        (
            "TrainingRuntime",
            "spec.template.spec.replicatedJobs.0.template.spec.template.spec.containers.0.volumeMount",
            [],
        ),
        ("ResourceFlavor", "spec.nodeLabel", {}),
        ("ClusterQueue", "spec.cohort", "all"),
        ("ClusterQueue", "spec.namespaceSelector.matchLabel", {}),
        ("ClusterQueue", "spec.resourceGroups.0.flavors.0.resources.0.nominalQuota", "many"),
        ("LocalQueue", "spec.queue", "x"),
    ],
)
def test_a_field_that_does_not_exist_is_refused_wherever_it_lies(kind: str, path: str, value: Any) -> None:
    assert problems(planted(named(kind), path, value)) != []


def test_no_pod_runs_as_root_gains_rights_or_writes_its_own_files() -> None:
    for spec in pod_specs():
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
        assert "hostPath" not in str(spec)


def test_a_job_gets_no_token_of_the_api_and_no_login_of_prefect() -> None:
    for spec in pod_specs()[:2]:
        assert spec["automountServiceAccountToken"] is False
        assert "PREFECT" not in str(spec)


def test_images_are_by_digest_and_secrets_by_name_only() -> None:
    assert all("@sha256:" in spec["containers"][0]["image"] for spec in pod_specs())
    container = JOB["spec"]["template"]["spec"]["containers"][0]
    assert container["envFrom"] == [{"secretRef": {"name": "object-store"}}]
    reference = {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert {"name": "HF_TOKEN", "valueFrom": reference} in container["env"]
    assert not any(one["kind"] == "Secret" for one in ALL)


def test_the_grace_of_a_pod_lets_a_checkpoint_be_written_within_the_time_limit() -> None:
    launch = examples.launch()
    spec = JOB["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > launch.grace_seconds
    assert spec["activeDeadlineSeconds"] + launch.grace_seconds == launch.seconds


def test_shared_memory_the_claim_and_the_queue_are_the_pools() -> None:
    spec = JOB["spec"]["template"]["spec"]
    volumes = {one["name"]: one for one in spec["volumes"]}
    assert volumes["home"]["persistentVolumeClaim"] == {"claimName": "nightshift-home"}
    assert volumes["shm"]["emptyDir"]["medium"] == "Memory"
    assert volumes["mount-0"]["persistentVolumeClaim"]["readOnly"] is True
    mounts = {one["name"]: one["mountPath"] for one in spec["containers"][0]["volumeMounts"]}
    assert (mounts["home"], mounts["shm"]) == (examples.HOME, "/dev/shm")
    for manifest in (JOB, named("TrainJob")):
        assert manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "nightly"


def test_spot_nodes_are_tolerated_only_where_the_pool_says_so() -> None:
    taint = {"key": "cloud.example/spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
    assert taint in PLACE.all_tolerations()
    assert taint not in PLACE.model_copy(update={"spot": False}).all_tolerations()


def test_a_pod_asks_for_as_much_as_it_is_limited_to() -> None:
    held = JOB["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert held["requests"] == held["limits"]
    assert held["limits"]["nvidia.com/gpu"] == "8"
    assert named("TrainJob")["spec"]["trainer"]["resourcesPerNode"] == held


def test_several_nodes_are_given_to_the_pools_own_runtime() -> None:
    spec = named("TrainJob")["spec"]
    runtime = named("TrainingRuntime")
    assert spec["runtimeRef"]["name"] == runtime["metadata"]["name"]
    assert (spec["trainer"]["numNodes"], spec["trainer"]["numProcPerNode"]) == (2, 8)
    assert spec["trainer"]["command"][1:3] == ["-m", "infra.job_program"]
    assert JOB["spec"]["template"]["spec"]["containers"][0]["command"][1:3] == ["-m", "infra.job_program"]


def test_a_runtime_says_by_digest_of_which_block_it_is() -> None:
    other = training_runtime(PLACE.model_copy(update={"shm_gb": 8}))
    assert other["metadata"]["annotations"][DIGEST] != named("TrainingRuntime")["metadata"]["annotations"][DIGEST]


def test_the_workers_rights_are_in_its_namespace_and_no_more_than_it_uses() -> None:
    assert not any(one["kind"].startswith("Cluster") for one in manifests(PLACE, SETUP))
    rules = named("Role")["rules"]
    assert not any("*" in str(rule) for rule in rules)
    assert not any("secrets" in rule["resources"] or "patch" in rule["verbs"] for rule in rules)
    writes = {resource for rule in rules for resource in rule["resources"] if {"create", "delete"} & set(rule["verbs"])}
    assert writes == {"jobs", "trainjobs"}


def test_jobs_reach_each_other_names_and_the_object_store_and_nothing_else() -> None:
    jobs = named("NetworkPolicy", "nightshift-jobs")["spec"]
    assert jobs["ingress"] == [{"from": [{"podSelector": {"matchLabels": {"nightshift-part": "job"}}}]}]
    addresses = [peer["ipBlock"]["cidr"] for rule in jobs["egress"] for peer in rule["to"] if "ipBlock" in peer]
    assert addresses == ["198.51.100.0/24"]
    closed = named("NetworkPolicy", "nightshift-closed")["spec"]
    assert (closed["podSelector"], closed["ingress"], closed["egress"]) == ({}, [], [])


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"image": None}, "names no image"),
        ({"modules": ("rocm/7",)}, "a container has none"),
        ({"folder": "/home/me/night", "spec": "/home/me/night/spec.json"}, "doesn't lie under /srv/nightshift"),
        ({"secrets": ("no spaces please",)}, "neither NAME nor VARIABLE=NAME/KEY"),
    ],
)
def test_what_a_pod_could_not_do_is_refused_before_it_is_made(changed: dict[str, Any], match: str) -> None:
    launch = Launch.model_validate(examples.launch().model_dump() | changed)
    with pytest.raises(PoolError, match=match):
        pods.job_variables(launch, PLACE)


def test_tolerations_that_mean_something_else_are_refused() -> None:
    with pytest.raises(ValueError, match="operator Exists and value 'true'"):
        Toleration(key="spot", value="true")
    with pytest.raises(ValueError, match="seconds are for NoExecute"):
        Toleration(key="spot", effect="NoSchedule", seconds=3)


def placeholders(part: Any) -> set[str]:
    if isinstance(part, dict):
        return set().union(*map(placeholders, part.values())) if part else set()
    if isinstance(part, list):
        return set().union(*map(placeholders, part)) if part else set()
    return {part[3:-3]} if isinstance(part, str) and part.startswith("{{ ") else set()


def test_every_placeholder_of_the_template_is_a_variable_of_its_form_and_the_other_way_round() -> None:
    template = base_job_template()
    assert placeholders(template["job_configuration"]) == set(template["variables"]["properties"])
    given = set(pods.job_variables(examples.launch(), PLACE))
    assert given <= set(variables()["properties"])
    assert placeholders(job_manifest()) - given == {"finished_job_ttl"}  # it has a default


@settings(deadline=None, max_examples=25)
@given(
    st.builds(
        lambda nodes, gpus, cpus, memory, hours, spot, queue: (
            Launch.model_validate(
                examples.launch(nodes).model_dump()
                | {"gpus_per_node": gpus, "gpu": "h100" if gpus else None, "cpus_per_node": cpus}
                | {"memory_bytes": memory, "seconds": hours * 3600}
            ),
            PLACE.model_copy(update={"spot": spot, "queue": queue, "node_selector": {}, "runtime_class": None}),
        ),
        st.integers(1, 9),
        st.integers(0, 16),
        st.integers(1, 256),
        st.none() | st.integers(1, 2**43),
        st.integers(1, 100),
        st.booleans(),
        st.none() | st.just("nightly"),
    )
)
def test_whatever_is_asked_for_gives_a_valid_job(asked: tuple[Launch, Place]) -> None:
    launch, place = asked
    manifest = train_job(launch, place) if launch.nodes > 1 else examples.job(launch, place)
    assert problems(manifest) == []
    assert problems(training_runtime(place)) == []


def test_a_secret_is_never_read_by_us() -> None:
    found = secrets_of(("a", "B=c/d"))
    assert "data" not in str(found)
    assert found.env_from == [{"secretRef": {"name": "a"}}]
