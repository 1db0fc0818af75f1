"""From a launch to a pod: one template for a Job of one node and for the pool's runtime of several."""

from typing import Any

from infra.kubernetes.place import (
    JOB_PART,
    LABEL_KEY,
    LABEL_PART,
    Manifest,
    Place,
    check_launch,
    secrets_of,
)
from infra.launch import Launch

# after its grace a program is killed, and the job program writes how it ended
_LAST_WORD_SECONDS = 30
_GIB = 2**30
KUEUE = "kueue.x-k8s.io/"
QUEUE_LABEL, PRIORITY_LABEL = f"{KUEUE}queue-name", f"{KUEUE}priority-class"
# caches of compilers and libraries go to the only place that is writable and not kept
SCRATCH = {"HOME": "/tmp", "USER": "nightshift"}


def labels(launch: Launch, place: Place, *, queued: bool = True) -> dict[str, str]:
    """Of a job, with Kueue's where the pool has a queue; of its pods, which Kueue must not queue once more."""
    kueue = {QUEUE_LABEL: place.queue, PRIORITY_LABEL: place.queue_priority if place.queue else None}
    return {LABEL_KEY: launch.key, LABEL_PART: JOB_PART} | {
        name: value for name, value in kueue.items() if value and queued
    }


def command(launch: Launch) -> list[str]:
    """What every pod runs; it finds out by itself which of several nodes it is."""
    return [launch.python, "-m", "infra.job_program", f"{launch.folder}/launch.json"]


def resources(launch: Launch, place: Place) -> Manifest:
    """Requests equal limits (class Guaranteed): the last to be evicted, and no neighbour slows a training."""
    held: dict[str, Any] = {"cpu": str(launch.cpus_per_node)}
    if launch.memory_bytes is not None:
        held["memory"] = str(launch.memory_bytes)
    if launch.gpus_per_node:
        held[place.gpu_resource] = str(launch.gpus_per_node)
    return {"requests": held, "limits": dict(held)}


def env(launch: Launch) -> list[Manifest]:
    """The launch's variables, which the job program reads too (where its home is), and where it may write."""
    values = launch.variables | SCRATCH | {"PYTHONPATH": launch.root, "PYTHONUNBUFFERED": "1"}
    return [{"name": name, "value": value} for name, value in values.items()] + secrets_of(launch.secrets).env


def env_from(secrets: tuple[str, ...]) -> list[Manifest]:
    return secrets_of(secrets).env_from


def volumes(place: Place) -> list[Manifest]:
    """The shared claim, the pool's mounts, shared memory (NCCL and data loaders need more than 64 MB), and /tmp."""
    claims = [{"name": "home", "persistentVolumeClaim": {"claimName": place.home_claim}}]
    claims += [
        {"name": f"mount-{at}", "persistentVolumeClaim": {"claimName": mount.source, "readOnly": mount.read_only}}
        for at, mount in enumerate(place.mounts)
    ]
    shm = {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(int(place.shm_gb * _GIB))}}
    tmp = {"name": "tmp", "emptyDir": {"sizeLimit": str(int(place.tmp_gb * _GIB))}}
    return [*claims, shm, tmp]


def volume_mounts(place: Place) -> list[Manifest]:
    mounts: list[Manifest] = [{"name": "home", "mountPath": place.home}]
    mounts += [
        {"name": f"mount-{at}", "mountPath": mount.target, "readOnly": mount.read_only}
        for at, mount in enumerate(place.mounts)
    ]
    return [*mounts, {"name": "shm", "mountPath": "/dev/shm"}, {"name": "tmp", "mountPath": "/tmp"}]


def pod_security(user: int) -> Manifest:
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",  # not a walk through all checkpoints at every start
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def pod_options(place: Place) -> Manifest:
    """All of a pod's spec that is the pool's, not a launch's, less volumes and the container."""
    options: Manifest = {
        "restartPolicy": "Never",  # a lost job is started again by the night, from its checkpoint
        "serviceAccountName": place.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": place.grace_seconds + _LAST_WORD_SECONDS,
        "securityContext": pod_security(place.user),
        "tolerations": place.all_tolerations(),
    }
    named = {
        "nodeSelector": dict(place.node_selector),
        "priorityClassName": place.priority_class,
        "runtimeClassName": place.runtime_class,
        "imagePullSecrets": [{"name": name} for name in place.pull_secrets],
    }
    return options | {name: value for name, value in named.items() if value}


def deadline(launch: Launch) -> int:
    """Seconds from a pod's start to the request to end; with the grace after it, the launch's time limit."""
    return launch.seconds - launch.grace_seconds


def job_variables(launch: Launch, place: Place) -> dict[str, Any]:
    """What fills the work pool's base job template for a launch of one node (``infra.kubernetes.template``)."""
    check_launch(launch, place)
    options = pod_options(place)
    found = {
        "key": launch.key,
        "namespace": place.namespace,
        "labels": labels(launch, place),
        "pod_labels": labels(launch, place, queued=False),
        "annotations": {"nightshift-name": launch.name},
        "image": launch.image,
        "program": command(launch),
        "pod_env": env(launch),
        "env_from": env_from(launch.secrets),
        "resources": resources(launch, place),
        "volumes": volumes(place),
        "volume_mounts": volume_mounts(place),
        "active_deadline_seconds": deadline(launch),
        "grace_period_seconds": options["terminationGracePeriodSeconds"],
        "service_account_name": place.service_account,
        "security_context": options["securityContext"],
        "tolerations": options["tolerations"],
        "node_selector": options.get("nodeSelector"),
        "priority_class_name": place.priority_class,
        "runtime_class_name": place.runtime_class,
        "image_pull_secrets": options.get("imagePullSecrets"),
        "queue_seconds": place.queue_seconds,
    }
    return {name: value for name, value in found.items() if value is not None and value != []}
