"""A Kubernetes rollout, pure: the patch that starts it, what it says of itself, and what a person can do about it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from infra.errors import TargetError
from infra.targets.base import Pointer, read_pointer

MANAGER = "nightshift"
POINTER = "nightshift-pointer"  # annotation of the pod template: a change of it is a rollout
URL_VARIABLE = "NIGHTSHIFT_MODEL_URL"
NAME_VARIABLE = "NIGHTSHIFT_SERVED_NAME"

Object = Mapping[str, Any]

# why a container waits, where waiting longer helps nobody
STUCK = {
    "ImagePullBackOff": "the image can't be pulled: check its name, and the namespace's pull secret",
    "InvalidImageName": "the image's name is invalid: mend the target's `image`",
    "ErrImageNeverPull": "the image isn't on the node and is never pulled: load it there, or change imagePullPolicy",
    "CreateContainerConfigError": "a config map or secret that the pod names is missing: create it",
    "CreateContainerError": "the container can't be created: read the pod's events",
    "CrashLoopBackOff": "the server ends right after its start: read the pod's log",
}


class Names(NamedTuple):
    namespace: str
    deployment: str
    container: str


class Rollout(NamedTuple):
    """``problem``: why it will not end well. ``waits_for``: in words, while it goes on. Both None: it is done."""

    problem: str | None = None
    waits_for: str | None = None


def apply_patch(names: Names, to: Pointer, image: str | None) -> dict[str, Any]:
    """What server-side apply is sent: the fields we own and no other.

    Args:
        image: with ``{version}`` and ``{served_name}`` to fill in; None: the image is somebody else's field.
    """
    container: dict[str, Any] = {
        "name": names.container,
        "env": [
            {"name": NAME_VARIABLE, "value": to.served_name},
            {"name": URL_VARIABLE, "value": to.artefact},
        ],
    }
    if image is not None:
        container["image"] = image_of(image, to)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": names.deployment, "namespace": names.namespace},
        "spec": {
            "template": {
                "metadata": {"annotations": {POINTER: to.model_dump_json()}},
                "spec": {"containers": [container]},
            }
        },
    }


def image_of(image: str, to: Pointer) -> str:
    """The image of a version.

    Raises:
        TargetError: a brace in it stands for nothing.
    """
    try:
        return image.format(version=to.version, served_name=to.served_name)
    except (KeyError, IndexError, ValueError, AttributeError):
        raise TargetError(
            f"the target's image {image!r} has a brace that stands for nothing",
            do="use {version} and {served_name} only",
        ) from None


def merged(live: Object, patch: Object, container: str) -> dict[str, Any]:
    """The Deployment as it is after the patch, as far as our fields go: what can be validated against its schema.

    Raises:
        TargetError: it has no container of this name.
    """
    template = live["spec"]["template"]
    change = patch["spec"]["template"]
    ours = change["spec"]["containers"][0]
    names = [one["name"] for one in template["spec"]["containers"]]
    if container not in names:
        raise TargetError(
            f"the Deployment {live['metadata']['name']} has no container {container!r}, only {names}",
            do="set the target's `container` to one of these",
        )
    containers = [
        {**one, **ours, "env": _with_ours(one.get("env", []), ours["env"])} if one["name"] == container else one
        for one in template["spec"]["containers"]
    ]
    metadata = template.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), **change["metadata"]["annotations"]}
    new = {
        **template,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {**template["spec"], "containers": containers},
    }
    kept = {key: value for key, value in live.items() if key != "status"}
    return {**kept, "apiVersion": "apps/v1", "kind": "Deployment", "spec": {**live["spec"], "template": new}}


def _with_ours(env: Sequence[Object], ours: Sequence[Object]) -> list[Object]:
    names = {one["name"] for one in ours}
    return [*(one for one in env if one["name"] not in names), *ours]


def pointer_of(live: Object) -> Pointer | None:
    """What the pod template was last pointed to."""
    annotations = (live["spec"]["template"].get("metadata") or {}).get("annotations") or {}
    if POINTER not in annotations:
        return None
    return read_pointer(annotations[POINTER], f"the annotation {POINTER} of {live['metadata']['name']}")


def rollout(live: Object, pods: Sequence[Object], to: Pointer) -> Rollout:
    """How far the rollout is, from the Deployment and its pods.

    Old pods are left aside: what they suffer from isn't this version's. Until the controller has seen the change, the
    status is that of the version before.
    """
    wanted = live["spec"].get("replicas", 1)
    status = live.get("status") or {}
    if wanted == 0:
        return Rollout(problem="the Deployment has 0 replicas, so nothing would serve: scale it up")
    if status.get("observedGeneration", 0) < live["metadata"].get("generation", 1):
        return Rollout(waits_for="the controller to see the change")
    for condition in status.get("conditions") or []:
        if condition["type"] == "Progressing" and condition["status"] == "False":
            said = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
            return Rollout(problem=f"the rollout doesn't progress ({said}): see `kubectl describe` of it")
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return Rollout(problem=f"pods can't be created: {condition.get('message', '')}: quota or admission")
    stuck = [reason for pod in pods if _is_of(pod, to) and (reason := why_stuck(pod)) is not None]
    if stuck:
        return Rollout(problem=stuck[0])
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if updated < wanted:
        return Rollout(waits_for=f"new pods: {updated} of {wanted} there")
    if total > updated:
        return Rollout(waits_for=f"{total - updated} old pods to end")
    if available < updated:
        return Rollout(waits_for=f"new pods to be ready: {available} of {updated}")
    return Rollout()


def _is_of(pod: Object, to: Pointer) -> bool:
    annotations = pod["metadata"].get("annotations") or {}
    return POINTER in annotations and to.same(read_pointer(annotations[POINTER], "a pod"))


def why_stuck(pod: Object) -> str | None:
    """Why a pod will not start, with the next action; None where it may yet."""
    status, name = pod.get("status") or {}, pod["metadata"]["name"]
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in STUCK:
            return f"pod {name}, container {one['name']}: {waiting['reason']}: {STUCK[waiting['reason']]}"
    return None


def why_refused(status: int, answer: Object, names: Names) -> tuple[str, str]:
    """What an API server's refusal means: a sentence, and the next action."""
    where = f"the Deployment {names.deployment} in {names.namespace}"
    message = str(answer.get("message", ""))[:300]
    if status == 401:
        return f"the API server doesn't accept the token for {where}: {message}", "give the target a valid token"
    if status == 403:
        return (
            f"the token may not touch {where}: {message}",
            "bind the Role in infra/targets/kubernetes-role.yaml",
        )
    if status == 404:
        return f"there is no {where[4:]}: {message}", "create it once by hand: a target only points, it never creates"
    if status == 409:
        return (
            f"another manager owns a field of {where}: {message}",
            "take that field out of the other manager's manifest, or set force on the block",
        )
    if status == 422:
        return f"the API server finds {where} invalid: {message}", "mend the target's fields"
    return f"the API server says {status} to {where}: {message}", "see whether the API server is well"
