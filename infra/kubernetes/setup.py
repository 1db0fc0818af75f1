"""What a cluster's administrator makes once for a pool: rights, network, claim, worker, queue. Pure rendering.

Nothing here is applied by us. ``manifests`` gives the objects of the pool's own namespace, ``queue_manifests`` an
example of Kueue's, whose quotas are the cluster's affair.
"""

import ipaddress
from typing import Any

from pydantic import Field, field_validator

from infra.digest import Record
from infra.kubernetes import pods
from infra.kubernetes.place import JOB_PART, LABEL_PART, WORKER_PART, Manifest, Place
from infra.kubernetes.trainjob import training_runtime

KUEUE = "kueue.x-k8s.io/v1beta2"
# what the worker asks of the API, and nothing more; the tests ask the same of a simulated API
WORKER_RULES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("batch", ("jobs",), ("create", "delete", "get", "list")),
    ("trainer.kubeflow.org", ("trainjobs",), ("create", "delete", "get", "list")),
    ("", ("pods", "events"), ("list",)),
    ("", ("pods/log",), ("get",)),
)
# what the pool's check asks beside them: it reads names, never a secret
CHECK_RULES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("", ("persistentvolumeclaims", "serviceaccounts"), ("get",)),
    ("kueue.x-k8s.io", ("localqueues",), ("get",)),
    ("trainer.kubeflow.org", ("trainingruntimes",), ("get",)),
)


class Reach(Record):
    """An address outside that pods may call."""

    cidr: str
    port: int = Field(ge=1, le=65535)

    @field_validator("cidr")
    @classmethod
    def _network(cls, cidr: str) -> str:
        return str(ipaddress.ip_network(cidr))


class Setup(Record):
    """The rest of what a namespace needs.

    Attributes:
        worker_image: by digest; Nightshift's, without an accelerator's libraries if you like.
        worker_account: its service account.
        prefect_api: the API's URL.
        prefect_secret: a secret's name, with ``PREFECT_API_AUTH_STRING`` or ``PREFECT_API_KEY``.
        prefect, kubernetes: the addresses the worker reaches; ``objects``: those that jobs reach.
        storage_class: of the shared claim: one that lets several nodes write.
    """

    worker_image: str = Field(pattern=r"@sha256:[0-9a-f]{64}$")
    worker_account: str = "nightshift-worker"
    prefect_api: str
    prefect_secret: str | None = None
    prefect: tuple[Reach, ...]
    kubernetes: tuple[Reach, ...]
    objects: tuple[Reach, ...] = ()
    storage_class: str
    storage_gb: int = Field(default=2000, ge=1)


def manifests(place: Place, setup: Setup) -> list[Manifest]:
    """All of the pool's namespace, in the order in which they are applied."""
    return [
        _namespace(place),
        _claim(place, setup),
        _account(place, place.service_account),
        _account(place, setup.worker_account),
        _role(place, setup),
        _binding(place, setup),
        _closed(place),
        _job_network(place, setup),
        _worker_network(place, setup),
        training_runtime(place),
        _worker(place, setup),
    ]


def queue_manifests(place: Place, quota: dict[str, str]) -> list[Manifest]:
    """Kueue's flavor, quota and the namespace's queue: an example to fill in.

    Args:
        quota: resource → amount, e.g. ``{"cpu": "64", "memory": "1Ti", "nvidia.com/gpu": "8"}``.
    """
    name, queue = place.pool, place.queue or place.pool
    resources = [{"name": resource, "nominalQuota": amount} for resource, amount in quota.items()]
    flavor: dict[str, Any] = {"nodeLabels": dict(place.node_selector)} if place.node_selector else {}
    return [
        _object("ResourceFlavor", KUEUE, name, flavor),
        _object(
            "ClusterQueue",
            KUEUE,
            name,
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": place.namespace}},
                "queueingStrategy": "BestEffortFIFO",
                "preemption": {"withinClusterQueue": "LowerPriority"},
                "resourceGroups": [
                    {"coveredResources": list(quota), "flavors": [{"name": name, "resources": resources}]}
                ],
            },
        ),
        _object("LocalQueue", KUEUE, queue, {"clusterQueue": name}, place.namespace),
    ]


def _object(kind: str, api: str, name: str, spec: Manifest, namespace: str | None = None, **labels: str) -> Manifest:
    metadata: Manifest = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


def _namespace(place: Place) -> Manifest:
    # the API itself refuses a pod here that asks for more than ours do
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.namespace, "labels": level}}


def _claim(place: Place, setup: Setup) -> Manifest:
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": setup.storage_class,
        "resources": {"requests": {"storage": f"{setup.storage_gb}Gi"}},
    }
    return _object("PersistentVolumeClaim", "v1", place.home_claim, spec, place.namespace)


def _account(place: Place, name: str) -> Manifest:
    metadata = {"name": name, "namespace": place.namespace}
    # the job's has no rights, and no pod gets a token by itself
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": False}


def _role(place: Place, setup: Setup) -> Manifest:
    rules = [
        {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
        for group, resources, verbs in (*WORKER_RULES, *CHECK_RULES)
    ]
    metadata = {"name": setup.worker_account, "namespace": place.namespace}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules}


def _binding(place: Place, setup: Setup) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": setup.worker_account, "namespace": place.namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": setup.worker_account},
        "subjects": [{"kind": "ServiceAccount", "name": setup.worker_account, "namespace": place.namespace}],
    }


def _policy(place: Place, name: str, part: str | None, ingress: list[Manifest], egress: list[Manifest]) -> Manifest:
    spec = {
        "podSelector": {"matchLabels": {LABEL_PART: part}} if part else {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress,
        "egress": egress,
    }
    return _object("NetworkPolicy", "networking.k8s.io/v1", name, spec, place.namespace)


_DNS: Manifest = {
    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
}


def _closed(place: Place) -> Manifest:
    return _policy(place, "nightshift-closed", None, [], [])


def _job_network(place: Place, setup: Setup) -> Manifest:
    """A training's pods reach each other, DNS and the object store; neither Prefect nor the Kubernetes API."""
    peers = [{"podSelector": {"matchLabels": {LABEL_PART: JOB_PART}}}]
    egress: list[Manifest] = [{"to": peers}, _DNS, *map(_to, setup.objects)]
    return _policy(place, "nightshift-jobs", JOB_PART, [{"from": peers}], egress)


def _worker_network(place: Place, setup: Setup) -> Manifest:
    egress = [_DNS, *map(_to, setup.prefect), *map(_to, setup.kubernetes)]
    return _policy(place, "nightshift-worker", WORKER_PART, [], egress)


def _to(reach: Reach) -> Manifest:
    return {"to": [{"ipBlock": {"cidr": reach.cidr}}], "ports": [{"protocol": "TCP", "port": reach.port}]}


def _worker(place: Place, setup: Setup) -> Manifest:
    """One worker; a second beside it would follow the same jobs, so an update ends the old one first."""
    labels = {LABEL_PART: WORKER_PART, "nightshift-pool": place.pool}
    values = {
        **pods.SCRATCH,
        "NIGHTSHIFT_HOME": place.home,
        "PREFECT_API_URL": setup.prefect_api,
        "PREFECT_HOME": "/tmp/prefect",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    container: Manifest = {
        "name": "worker",
        "image": setup.worker_image,
        "command": ["python", "-m", "infra.kubernetes.worker_program", place.pool],
        "env": [{"name": name, "value": value} for name, value in values.items()],
        "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        "securityContext": pods.container_security(),
        "volumeMounts": [{"name": "home", "mountPath": place.home}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    if setup.prefect_secret:
        container["envFrom"] = [{"secretRef": {"name": setup.prefect_secret}}]
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "serviceAccountName": setup.worker_account,
                "automountServiceAccountToken": True,
                "enableServiceLinks": False,
                "securityContext": pods.pod_security(place.user),
                "volumes": [
                    {"name": "home", "persistentVolumeClaim": {"claimName": place.home_claim}},
                    {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
                ],
                "containers": [container],
            },
        },
    }
    return _object("Deployment", "apps/v1", f"nightshift-worker-{place.pool}"[:63].rstrip("-"), spec, place.namespace)
