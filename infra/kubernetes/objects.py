"""Reading the API's objects: JSON as it came, where a field may be missing."""

from datetime import datetime
from typing import Any

from infra.kubernetes.place import JOB_CONTAINER, NODE_CONTAINER

Object = dict[str, Any]


def seconds_of(stamp: str | None) -> float | None:
    """The API's time (RFC 3339) in seconds since the epoch."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() if stamp else None


def phase_of(pod: Object) -> str:
    return pod.get("status", {}).get("phase", "Pending")


def live(pods: list[Object]) -> list[Object]:
    return [pod for pod in pods if phase_of(pod) not in ("Failed", "Succeeded")]


def condition_of(pod: Object, kind: str) -> Object | None:
    return next((one for one in pod.get("status", {}).get("conditions", []) if one["type"] == kind), None)


def container_of(pod: Object) -> Object:
    """The status of the container that runs the program; sidecars of the cluster's may lie beside it."""
    found = pod.get("status", {}).get("containerStatuses", [])
    return next((one for one in found if one["name"] in (JOB_CONTAINER, NODE_CONTAINER)), {})


def terminated_of(pod: Object) -> Object | None:
    return container_of(pod).get("state", {}).get("terminated")


def waiting_of(pod: Object) -> Object | None:
    return container_of(pod).get("state", {}).get("waiting")


def is_about(event: Object, pod: Object) -> bool:
    return event.get("involvedObject", {}).get("name") == pod["metadata"]["name"]


def cause_first(pod: Object) -> tuple[bool, float]:
    """A disruption explains the ends of all other pods; then whoever ended first."""
    disrupted = condition_of(pod, "DisruptionTarget") is not None or bool(pod.get("status", {}).get("reason"))
    return not disrupted, seconds_of((terminated_of(pod) or {}).get("finishedAt")) or float("inf")
